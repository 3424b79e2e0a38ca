//! The largest processes of this machine, or of one that `pmem capture` recorded: `resident [DIR]`.

#![allow(clippy::print_stdout)]

use pmem::{Flags, Machine, Result};

fn main() -> Result<()> {
    let machine = match std::env::args_os().nth(1) {
        Some(tree) => Machine::recorded(tree.as_ref())?,
        None => Machine::live()?,
    };
    // Processes that have since ended, or that this user may not read, are left out.
    let mut processes: Vec<_> = machine.pids()?.into_iter().filter_map(|pid| machine.frames(pid).ok()).collect();
    processes.sort_by_key(|process| std::cmp::Reverse(process.resident_pages));
    for process in processes.iter().take(10) {
        let kib = process.resident_pages * machine.page_size() / 1024;
        println!("{:>7} {kib:>10} KiB  {} ({} mappings)", process.pid, process.name, process.mappings.len());
    }
    println!("a frame with 0x400005828 is {}", Flags(0x4_0000_5828).names().join(" "));
    Ok(())
}
