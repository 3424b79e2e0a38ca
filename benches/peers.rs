//! pmem beside the tools that its users have today, on the same processes, in one run.
//!
//! `cargo bench --bench peers` makes three processes, runs every command on them in turn, so that what else the machine
//! does hits all alike, and prints medians. `PAGE_TYPES=PATH` names a page-types to compare with; without one those rows
//! are left out, and said to be. `ROUNDS=N` sets how often (21).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use pmem::kernel::memory::Mapping;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["scene", name] => scene(name),
        ["once", ref command @ ..] => once(command),
        _ => compare(),
    }
}

/// A process with memory of a known shape, which ends with its standard input.
fn scene(name: &str) {
    set_pdeathsig(Signal::SIGKILL).unwrap();
    let page = page_size();
    let touch =
        |mapping: &Mapping, apart: usize| (0..mapping.length()).step_by(apart).for_each(|at| mapping.write(at, 1));
    let mut kept = Vec::new();
    match name {
        "touched" => {
            let mapping = Mapping::private(1 << 30).unwrap();
            mapping.advise(0, mapping.length(), MmapAdvise::MADV_NOHUGEPAGE).unwrap();
            touch(&mapping, page);
            kept.push(mapping);
        }
        "sparse" => {
            let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
            let mapping =
                Mapping::anonymous(1 << 40, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags, None).unwrap();
            (0..100).for_each(|number| mapping.write(number * (10 << 30), 1));
            kept.push(mapping);
        }
        "vmas" => {
            for number in 0..60_000 {
                let address = 0x2100_0000_0000 + 2 * number * page;
                let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
                let mapping = Mapping::anonymous(page, protection, MapFlags::MAP_PRIVATE, Some(address)).unwrap();
                mapping.write(0, 1);
                kept.push(mapping);
            }
        }
        other => panic!("no scene {other}"),
    }
    println!("ready");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    // The end of the process takes the mappings away faster than their destructors.
    std::mem::forget(kept);
}

/// Runs a command once and prints what it cost: wall, user and system time in µs, peak resident memory in KiB.
///
/// A process of its own, because getrusage tells the largest of all children.
fn once(command: &[&str]) {
    let began = Instant::now();
    let status = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let wall = began.elapsed().as_micros();
    status.expect("the command runs");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    println!(
        "{wall} {} {} {}",
        usage.user_time().num_microseconds(),
        usage.system_time().num_microseconds(),
        usage.max_rss()
    );
}

/// What a command cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: u64,
    user: u64,
    system: u64,
    resident_kib: u64,
}

struct Contestant {
    name: &'static str,
    command: Vec<String>,
    costs: Vec<Cost>,
}

fn compare() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(21);
    let page_types = std::env::var("PAGE_TYPES").ok();
    let pmem = env!("CARGO_BIN_EXE_pmem");
    println!(
        "{rounds} rounds, medians. Linux {}",
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim()
    );
    let version = race(rounds, vec![("pmem --version", vec![pmem.to_owned(), "--version".to_owned()])]);
    for name in ["touched", "sparse", "vmas"] {
        let target = Scene::start(name);
        let pid = target.0.id().to_string();
        let proc_file = |file: &str| vec!["cat".to_owned(), format!("/proc/{pid}/{file}")];
        let words = |line: &[&str]| line.iter().map(|&word| word.to_owned()).chain([pid.clone()]).collect::<Vec<_>>();
        let mut field = vec![
            ("pmem frames", words(&[pmem, "frames"])),
            ("pmem frames --summary", words(&[pmem, "frames", "--summary"])),
            ("pmem frames --owners", words(&[pmem, "frames", "--owners"])),
            ("cat maps", proc_file("maps")),
            ("cat smaps_rollup", proc_file("smaps_rollup")),
            ("cat smaps", proc_file("smaps")),
            ("pmap -x", words(&["pmap", "-x"])),
        ];
        match &page_types {
            Some(path) => field.push(("page-types -p", words(&[path, "-p"]))),
            None => println!("\npage-types is left out: PAGE_TYPES does not name one"),
        }
        let costs = race(if name == "sparse" { rounds.min(11) } else { rounds }, field);
        report(name, version[0].1, &costs);
    }
}

/// Runs every command once a round and gives the median of each.
fn race(rounds: u32, field: Vec<(&'static str, Vec<String>)>) -> Vec<(&'static str, Cost)> {
    let mut contestants: Vec<Contestant> =
        field.into_iter().map(|(name, command)| Contestant { name, command, costs: Vec::new() }).collect();
    // One round more: the first brings files and caches in.
    for round in 0..=rounds {
        for contestant in &mut contestants {
            let output = Command::new(std::env::current_exe().unwrap()).arg("once").args(&contestant.command).output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
            let [wall, user, system, resident_kib] = numbers[..] else { panic!("{}: {text:?}", contestant.name) };
            if round > 0 {
                contestant.costs.push(Cost { wall, user, system, resident_kib });
            }
        }
    }
    contestants.into_iter().map(|c| (c.name, median(&c.costs))).collect()
}

fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> u64| {
        let mut all: Vec<u64> = costs.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    Cost {
        wall: middle(|c| c.wall),
        user: middle(|c| c.user),
        system: middle(|c| c.system),
        resident_kib: middle(|c| c.resident_kib),
    }
}

fn report(scene: &str, version: Cost, costs: &[(&'static str, Cost)]) {
    let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
    println!("\n### {}\n", title(scene));
    println!("| command | wall ms | user ms | system ms | peak RSS MiB |\n| --- | ---: | ---: | ---: | ---: |");
    let row = |name: &str, c: &Cost| {
        let resident = c.resident_kib as f64 / 1024.0;
        println!("| `{name}` | {} | {} | {} | {resident:.1} |", ms(c.wall), ms(c.user), ms(c.system));
    };
    row("pmem --version", &version);
    costs.iter().for_each(|(name, cost)| row(name, cost));
    let of = |wanted: &str| costs.iter().find(|(name, _)| *name == wanted).map(|(_, cost)| *cost);
    let Some(ours) = of("pmem frames") else { return };
    let times = |name| of(name).map(|theirs| format!("{:.1} ×", theirs.wall as f64 / ours.wall as f64));
    let faster =
        |name| println!("- faster than `{name}`: {}", times(name).unwrap_or_else(|| "not measured".to_owned()));
    println!();
    match scene {
        "sparse" => println!("- more than starting the binary: {} ms", ms(ours.wall.saturating_sub(version.wall))),
        "touched" => {
            let rollup = of("cat smaps_rollup").map_or(0, |c| c.system);
            println!("- kernel time of `cat smaps_rollup` and 5 ms: {} ms", ms(rollup + 5000));
        }
        _ => println!("- of `cat maps`: {:.2} ×", ours.wall as f64 / of("cat maps").map_or(1, |c| c.wall) as f64),
    }
    faster("pmap -x");
    faster("page-types -p");
}

fn title(scene: &str) -> &'static str {
    match scene {
        "touched" => "1 GiB of touched 4 KiB pages",
        "sparse" => "1 TiB mapped, 100 pages touched",
        _ => "60,000 mappings of one page",
    }
}

fn page_size() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
    usize::try_from(size).unwrap()
}

/// A running scene, killed and reaped when dropped.
struct Scene(Child);

impl Scene {
    fn start(name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(["scene", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the scene {name} was not made");
        Self(child)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
