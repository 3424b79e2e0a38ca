//! Compares pmem with the tools its users have today, on the same memory, in one run.
//!
//! `cargo bench --bench peers` starts processes of known shapes, runs every command on them in turn, so that other load
//! on the machine affects all of them alike, and prints the medians and how they compare with the targets. Needs root.
//! `PAGE_TYPES=PATH` names a page-types to compare with; without it those rows are left out, and the output says so.
//! `OTHER=PATH` names another build of pmem; each command is then also compared with that build's, in pairs.
//! `ROUNDS=N` sets the number of rounds (21). `cargo bench --bench peers -- SECTION…` runs some sections only: frames,
//! phys, pages, rmap, slab.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::panic)]
#![allow(unreachable_pub, reason = "a program of several files has no other public items")]

mod frames;
mod physical;
mod race;
mod scan_all;
mod scene;
mod slab;

use race::Bench;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["scene", name] => scene::scene(name),
        ["once", ref command @ ..] => race::once(command),
        ["watch", seconds, ref command @ ..] => slab::watch(seconds.parse().unwrap(), command),
        ["scan-all", pfn] => scan_all::scan_all(pfn.parse().unwrap()),
        ref sections => compare(sections),
    }
}

fn compare(sections: &[&str]) {
    assert!(nix::unistd::geteuid().is_root(), "the frames of other processes, and all of memory, are for root only");
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap().split(' ').take(2).collect::<Vec<_>>().join(", ");
    let before = load();
    let mut bench = Bench::new();
    for (name, section) in [
        ("frames", frames::frames as fn(&mut Bench)),
        ("phys", physical::phys),
        ("pages", physical::pages),
        ("rmap", physical::rmap),
        ("slab", slab::slab),
    ] {
        if sections.is_empty() || sections.contains(&name) {
            section(&mut bench);
        }
    }
    bench.write_targets();
    println!(
        "\nLoad of the machine over one and five minutes: {before} before the first round, {} after the last.",
        load()
    );
}
