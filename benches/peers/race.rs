//! Runs commands in turn, measures what they cost, and prints it.

use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The pmem that is measured.
pub const PMEM: &str = env!("CARGO_BIN_EXE_pmem");

/// A command with its name in the tables.
pub type Contestant = (&'static str, Vec<String>);

/// A command line from its words.
pub fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|&word| word.to_owned()).collect()
}

/// Runs a command once and prints what it cost: wall, user and system time in µs, peak resident memory in KiB.
///
/// Runs in a process of its own, because getrusage reports the maximum over all children.
pub fn once(command: &[&str]) {
    let began = Instant::now();
    let status = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let wall = began.elapsed().as_micros();
    assert!(status.expect("the command runs").success(), "{command:?} failed");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    println!(
        "{wall} {} {} {}",
        usage.user_time().num_microseconds(),
        usage.system_time().num_microseconds(),
        usage.max_rss()
    );
}

/// What a command cost, in µs and KiB.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub wall: u64,
    pub user: u64,
    pub system: u64,
    pub resident_kib: u64,
    /// The quartiles of the wall times, which show how noisy the run was.
    quartiles: (u64, u64),
}

impl Cost {
    /// User plus system time. The sum is exact; the kernel rounds each of the two to ticks.
    pub fn processor(&self) -> u64 {
        self.user + self.system
    }

    fn medians(costs: &[Self]) -> Self {
        let at = |quarter: usize, of: fn(&Self) -> u64| {
            let mut all: Vec<u64> = costs.iter().map(of).collect();
            all.sort_unstable();
            all[(all.len() - 1) * quarter / 4]
        };
        Self {
            wall: at(2, |c| c.wall),
            user: at(2, |c| c.user),
            system: at(2, |c| c.system),
            resident_kib: at(2, |c| c.resident_kib),
            quartiles: (at(1, |c| c.wall), at(3, |c| c.wall)),
        }
    }
}

/// What the commands of one section cost.
pub struct Costs(Vec<(&'static str, Cost)>);

impl Costs {
    /// What a command cost; `None` where it was left out.
    pub fn of(&self, name: &str) -> Option<Cost> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, cost)| *cost)
    }
}

/// A whole run: its settings, and the results so far.
pub struct Bench {
    /// How often every command runs.
    pub rounds: usize,
    /// The page-types to compare with.
    pub page_types: Option<String>,
    /// Another build of pmem to compare every command of this one with.
    other: Option<String>,
    /// What it costs to start pmem.
    pub start: Cost,
    targets: Vec<(String, String, bool)>,
}

impl Bench {
    pub fn new() -> Self {
        let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(21);
        let page_types = std::env::var("PAGE_TYPES").ok();
        let other = std::env::var("OTHER").ok();
        let read = |file| std::fs::read_to_string(file).unwrap();
        let memory = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap();
        println!(
            "{rounds} rounds, medians. Linux {}, {}, {} CPUs, {} GiB",
            read("/proc/sys/kernel/osrelease").trim(),
            std::env::consts::ARCH,
            std::thread::available_parallelism().unwrap(),
            (memory >> 20) + 1
        );
        if page_types.is_none() {
            println!("\npage-types is left out: PAGE_TYPES does not name one");
        }
        let mut bench = Self { rounds, page_types, other, start: Cost::default(), targets: Vec::new() };
        let version = ("pmem --version", words(&[PMEM, "--version"]));
        bench.compare_builds(rounds, std::slice::from_ref(&version));
        bench.start = bench.race(rounds, vec![version]).0[0].1;
        bench
    }

    /// Adds page-types with these arguments to a field of commands, if there is a page-types.
    pub fn with_page_types(&self, field: &mut Vec<Contestant>, name: &'static str, arguments: &[&str]) {
        field.extend(self.page_types.iter().map(|path| (name, words(&[&[path.as_str()], arguments].concat()))));
    }

    /// Runs every command once a round and prints a table of what they cost.
    pub fn section(&mut self, title: &str, rounds: usize, field: Vec<Contestant>) -> Costs {
        println!("\n### {title}\n");
        self.compare_builds(rounds, &field);
        let costs = self.race(rounds, field);
        println!("| command | wall ms | quartiles | user ms | system ms | peak RSS MiB |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        for (name, cost) in [("pmem --version", self.start)].iter().chain(&costs.0) {
            let (wall, quartiles) = (ms(cost.wall), format!("{}–{}", ms(cost.quartiles.0), ms(cost.quartiles.1)));
            let (user, system, resident) = (ms(cost.user), ms(cost.system), cost.resident_kib as f64 / 1024.0);
            println!("| `{name}` | {wall} | {quartiles} | {user} | {system} | {resident:.1} |");
        }
        costs
    }

    fn race(&self, rounds: usize, field: Vec<Contestant>) -> Costs {
        let mut costs = vec![Vec::new(); field.len()];
        // One extra round: the first only warms the caches.
        for round in 0..=rounds {
            for ((name, command), costs) in field.iter().zip(&mut costs) {
                let cost = apart(name, command);
                if round > 0 {
                    costs.push(cost);
                }
            }
        }
        Costs(field.into_iter().zip(costs).map(|((name, _), costs)| (name, Cost::medians(&costs))).collect())
    }

    /// Runs each command of pmem in pairs with the other build, if there is one, and records the ratio as a target.
    ///
    /// The order within a pair alternates, and the result is the median over the pairs' ratios: load that comes and goes
    /// affects both halves of a pair.
    fn compare_builds(&mut self, rounds: usize, field: &[Contestant]) {
        let Some(other) = self.other.clone() else { return };
        for (name, command) in field.iter().filter(|(_, command)| command[0] == PMEM) {
            let others = [std::slice::from_ref(&other), &command[1..]].concat();
            let mut ratios: Vec<(f64, f64)> = (0..=4 * rounds)
                .map(|round| {
                    let first = (round % 2 == 1).then(|| apart(name, &others));
                    let ours = apart(name, command);
                    let theirs = first.unwrap_or_else(|| apart(name, &others));
                    let of = |one: u64, two: u64| one as f64 / two.max(1) as f64;
                    (of(ours.wall, theirs.wall), of(ours.processor(), theirs.processor()))
                })
                .skip(1)
                .collect();
            let mut median = |of: fn(&(f64, f64)) -> f64| {
                ratios.sort_by(|one, two| of(one).total_cmp(&of(two)));
                of(&ratios[ratios.len() / 2])
            };
            let (wall, processor) = (median(|pair| pair.0), median(|pair| pair.1));
            let here = format!("{wall:.3} × (processor {processor:.3} ×)");
            self.target(&format!("`{name}`: at most 1.03 × the other build"), here, wall <= 1.03);
        }
    }

    /// Records the result for a target, for [`write_targets`](Self::write_targets).
    pub fn target(&mut self, target: &str, here: String, met: bool) {
        self.targets.push((target.to_owned(), here, met));
    }

    /// A target for the ratio of `one` to `other`, with `limit` as its bound. Does nothing if either number is missing.
    pub fn ratio(&mut self, target: &str, one: Option<u64>, other: Option<u64>, limit: Limit) {
        if let (Some(one), Some(other)) = (one, other) {
            let ratio = one as f64 / other as f64;
            let met = match limit {
                Limit::AtMost(limit) => ratio <= limit,
                Limit::AtLeast(limit) => ratio >= limit,
            };
            self.target(target, format!("{ratio:.2} ×"), met);
        }
    }

    /// Prints the results for all targets.
    pub fn write_targets(&self) {
        println!("\n## Against the targets\n\n| target | here | |\n| --- | --- | --- |");
        for (target, here, met) in &self.targets {
            println!("| {target} | {here} | {} |", if *met { "met" } else { "missed" });
        }
    }
}

/// What a command costs when it runs once, in a process of its own.
fn apart(name: &str, command: &[String]) -> Cost {
    let output = Command::new(std::env::current_exe().unwrap()).arg("once").args(command).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let [wall, user, system, resident_kib] = numbers[..] else {
        panic!("{name}: {}", String::from_utf8_lossy(&output.stderr))
    };
    Cost { wall, user, system, resident_kib, ..Cost::default() }
}

/// The bound of a ratio.
#[derive(Clone, Copy)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// Microseconds as milliseconds.
pub fn ms(us: u64) -> String {
    format!("{:.1}", us as f64 / 1000.0)
}
