//! The slab caches: the table compared with a bare read and with slabtop, and what a live screen costs while it runs.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::race::{Bench, Limit, PMEM, words};

/// `pmem slab` compared with a bare read of slabinfo, and with slabtop.
pub fn slab(bench: &mut Bench) {
    let mut field = vec![
        ("pmem slab", words(&[PMEM, "slab"])),
        ("pmem slab --json", words(&[PMEM, "slab", "--json"])),
        ("cat slabinfo", words(&["cat", "/proc/slabinfo"])),
    ];
    let has_slabtop = Command::new("slabtop").arg("--version").stdout(Stdio::null()).status().is_ok();
    if has_slabtop {
        field.push(("slabtop -o", words(&["slabtop", "-o"])));
    }
    let costs = bench.section("The slab caches", 5 * bench.rounds, field);
    let wall = |name| costs.of(name).map(|cost| cost.wall);
    let (start, bare) = (bench.start.wall, wall("cat slabinfo"));
    let target = "`slab`: wall time at most 1.5 × `cat /proc/slabinfo` and starting the binary";
    bench.ratio(target, wall("pmem slab").map(|wall| wall.saturating_sub(start)), bare, Limit::AtMost(1.5));
    let target = "`slabtop -o` takes at least as long as `slab`";
    bench.ratio(target, wall("slabtop -o"), wall("pmem slab"), Limit::AtLeast(1.0));
    if !has_slabtop {
        println!("\nslabtop is left out: there is none");
    }
    screens(bench, has_slabtop);
}

/// How long each screen runs.
const SECONDS: u64 = 30;

/// `pmem slab --top` compared with slabtop and sleep, each on its own terminal.
fn screens(bench: &mut Bench, has_slabtop: bool) {
    let seconds = SECONDS.to_string();
    let mut field =
        vec![("pmem slab --top", vec![PMEM, "slab", "--top", "-d", "1"]), ("sleep", vec!["sleep", "infinity"])];
    if has_slabtop {
        field.insert(1, ("slabtop -d 1", vec!["slabtop", "-d", "1"]));
    }
    println!("\n### A screen for {SECONDS} seconds, refreshed every second\n");
    println!("| command | processor ms | of one processor |\n| --- | ---: | ---: |");
    for (name, command) in field {
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own).args(["watch", &seconds]).args(command).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let spent: u64 = text.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let percent = spent as f64 / (SECONDS * 10_000) as f64;
        println!("| `{name}` | {:.1} | {percent:.2} % |", spent as f64 / 1000.0);
        if name == "pmem slab --top" {
            bench.target(
                "`slab --top` at one second: under 1 % of a processor",
                format!("{percent:.2} %"),
                percent < 1.0,
            );
        }
    }
}

/// Runs a command on a terminal of 80 by 24 for this many seconds, kills it, and prints the processor time it took in
/// µs.
pub fn watch(seconds: u64, command: &[&str]) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let side = || Stdio::from(terminal.slave.try_clone().unwrap());
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .env("TERM", "xterm-256color")
        .stdin(side())
        .stdout(side())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    // Reads and discards what it draws, as a terminal would.
    let mut drawn = File::from(terminal.master);
    std::thread::spawn(move || std::io::copy(&mut drawn, &mut std::io::sink()));
    std::thread::sleep(Duration::from_secs(seconds));
    assert!(child.try_wait().unwrap().is_none(), "{command:?} has ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    println!("{}", usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
}
