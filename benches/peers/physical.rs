//! Commands about frames: all of memory, the pages of a process with their frames, and who maps a frame.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::race::{Bench, Limit, PMEM, words};
use super::scene::{Scene, page_size};

/// `pmem phys` compared with a bare read of its files, and with page-types.
pub fn phys(bench: &mut Bench) {
    let read = |files: &[&str]| {
        let dd = |file: &&str| format!("dd if=/proc/{file} of=/dev/null bs=2M");
        words(&["sh", "-c", &files.iter().map(dd).collect::<Vec<_>>().join(" && ")])
    };
    // So that something is mapped, whatever else the machine does.
    let _touched = Scene::start("touched");
    let mut field = vec![
        ("pmem page 1", words(&[PMEM, "page", "1"])),
        ("pmem phys", words(&[PMEM, "phys"])),
        ("pmem phys --mapcounts --cgroups", words(&[PMEM, "phys", "--mapcounts", "--cgroups"])),
        ("dd kpageflags", words(&["dd", "if=/proc/kpageflags", "of=/dev/null", "bs=2M"])),
        ("dd kpageflags, kpagecount, kpagecgroup", read(&["kpageflags", "kpagecount", "kpagecgroup"])),
    ];
    bench.with_page_types(&mut field, "page-types", &[]);
    let costs = bench.section("All of memory (1 GiB of it touched 4 KiB pages)", bench.rounds, field);
    let (ours, dd) = (costs.of("pmem phys"), costs.of("dd kpageflags"));
    let wall = |name| costs.of(name).map(|cost| cost.wall);
    let target = "`phys`: wall time at most 0.6 × `dd if=/proc/kpageflags of=/dev/null bs=2M`";
    bench.ratio(target, wall("pmem phys"), wall("dd kpageflags"), Limit::AtMost(0.6));
    let target = "`phys`: processor time at most 1.1 × that of the same";
    bench.ratio(target, ours.map(|c| c.processor()), dd.map(|c| c.processor()), Limit::AtMost(1.1));
    let all = "pmem phys --mapcounts --cgroups";
    let target = "`phys --mapcounts --cgroups`: wall time at most 0.6 × `dd` over the three files";
    bench.ratio(target, wall(all), wall("dd kpageflags, kpagecount, kpagecgroup"), Limit::AtMost(0.6));
    let resident = [ours, costs.of(all)].into_iter().flatten().map(|cost| cost.resident_kib).max().unwrap_or(0);
    let here = format!("{:.1} MiB", resident as f64 / 1024.0);
    bench.target("`phys`, with both too: peak RSS under 16 MiB", here, resident < 16 << 10);
    let target = "`page-types` takes at least 2.2 × the wall time of `phys`";
    bench.ratio(target, wall("page-types"), wall("pmem phys"), Limit::AtLeast(2.2));
}

/// `pmem pages` compared with page-types, on 1 GiB of small pages.
pub fn pages(bench: &mut Bench) {
    let target = Scene::start("touched");
    let pid = target.pid();
    let mut field = vec![
        ("pmem pages", words(&[PMEM, "pages", &pid])),
        ("pmem pages --each", words(&[PMEM, "pages", "--each", &pid])),
        ("pmem pages --json", words(&[PMEM, "pages", "--json", &pid])),
        ("pmem pages --format csv", words(&[PMEM, "pages", "--format", "csv", &pid])),
    ];
    bench.with_page_types(&mut field, "page-types -L -N -p", &["-L", "-N", "-p", &pid]);
    let costs = bench.section("The pages of 1 GiB of touched 4 KiB pages", bench.rounds, field);
    let wall = |name| costs.of(name).map(|cost| cost.wall);
    let target = "`pages` of 1 GiB: at least 2.5 × faster than `page-types -p PID -L -N`";
    bench.ratio(target, wall("page-types -L -N -p"), wall("pmem pages"), Limit::AtLeast(2.5));
}

/// `pmem rmap` compared with one plain scan of the page tables of 300 processes.
pub fn rmap(bench: &mut Bench) {
    let children: Vec<Scene> = (0..300).map(|_| Scene::start("small")).collect();
    let child = &children[150];
    let pfn = pfn(&child.pid(), child.address);
    let scan_all = std::env::current_exe().unwrap();
    let field = vec![
        ("pmem page PFN", words(&[PMEM, "page", &pfn])),
        ("pmem rmap PFN", words(&[PMEM, "rmap", &pfn])),
        ("scan-all", words(&[scan_all.to_str().unwrap(), "scan-all", &pfn])),
    ];
    let costs = bench.section("One frame among 300 processes of 4 MiB each", bench.rounds, field);
    let (ours, scan) = (costs.of("pmem rmap PFN"), costs.of("scan-all"));
    let target = "`rmap` of a frame, 300 processes: wall time at most 1.3 × one scan of their page tables";
    bench.ratio(target, ours.map(|c| c.wall), scan.map(|c| c.wall), Limit::AtMost(1.3));
    let target = "… and processor time";
    bench.ratio(target, ours.map(|c| c.processor()), scan.map(|c| c.processor()), Limit::AtMost(1.3));
}

/// The frame behind an address of a process.
fn pfn(pid: &str, address: u64) -> String {
    let mut word = [0; 8];
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).unwrap();
    pagemap.read_exact_at(&mut word, address / page_size() as u64 * 8).unwrap();
    let pfn = u64::from_ne_bytes(word) & ((1 << 55) - 1);
    assert_ne!(pfn, 0, "frame numbers are hidden: this needs CAP_SYS_ADMIN in the first user namespace");
    pfn.to_string()
}
