//! `pmem frames` on one process: a dense, a sparse and a scattered one.

use super::race::{Bench, Costs, Limit, PMEM, ms, words};
use super::scene::Scene;

/// Runs `pmem frames`, and what it is compared with, on each scene.
pub fn frames(bench: &mut Bench) {
    let touched = scene(bench, "touched", "1 GiB of touched 4 KiB pages", bench.rounds);
    let ours = touched.of("pmem frames");
    let rollup = touched.of("cat smaps_rollup").map(|cost| cost.system + 5000);
    let target = "`frames` of 1 GiB: at most the kernel time of `cat smaps_rollup` and 5 ms";
    bench.ratio(target, ours.map(|cost| cost.wall), rollup, Limit::AtMost(1.0));
    faster(bench, &touched, "`frames` of 1 GiB: 10 × faster than `page-types -p`", "page-types -p", 10.0);

    // page-types takes over a second there.
    let sparse = scene(bench, "sparse", "1 TiB mapped, 100 pages touched", bench.rounds.min(11));
    let more = sparse.of("pmem frames").map_or(0, |cost| cost.wall.saturating_sub(bench.start.wall));
    let target = "`frames` of 1 TiB, sparse: at most 3 ms more than starting the binary";
    bench.target(target, format!("{} ms", ms(more)), more <= 3000);
    faster(bench, &sparse, "`frames` of 1 TiB, sparse: 500 × faster than `page-types -p`", "page-types -p", 500.0);

    let vmas = scene(bench, "vmas", "60,000 mappings of one page", bench.rounds);
    let wall = |name| vmas.of(name).map(|cost| cost.wall);
    let target = "`frames` of 60,000 mappings: at most 2 × `cat maps`";
    bench.ratio(target, wall("pmem frames"), wall("cat maps"), Limit::AtMost(2.0));
    faster(bench, &vmas, "`frames` of 60,000 mappings: 8 × faster than `pmap -x`", "pmap -x", 8.0);
    let resident = vmas.of("pmem frames").map_or(0, |cost| cost.resident_kib);
    let target = "`frames` of 60,000 mappings: peak RSS under 8 MiB and 176 bytes a row";
    let most = (8 << 10) + 60_000 * 176 / 1024;
    bench.target(target, format!("{:.1} MiB", resident as f64 / 1024.0), resident < most);
}

fn scene(bench: &mut Bench, name: &str, title: &str, rounds: usize) -> Costs {
    let target = Scene::start(name);
    let pid = target.pid();
    let proc_file = |file: &str| words(&["cat", &format!("/proc/{pid}/{file}")]);
    let mut field = vec![
        ("pmem frames", words(&[PMEM, "frames", &pid])),
        ("pmem frames --summary", words(&[PMEM, "frames", "--summary", &pid])),
        ("pmem frames --owners", words(&[PMEM, "frames", "--owners", &pid])),
        ("cat maps", proc_file("maps")),
        ("cat smaps_rollup", proc_file("smaps_rollup")),
        ("cat smaps", proc_file("smaps")),
        ("pmap -x", words(&["pmap", "-x", &pid])),
    ];
    bench.with_page_types(&mut field, "page-types -p", &["-p", &pid]);
    bench.section(title, rounds, field)
}

fn faster(bench: &mut Bench, costs: &Costs, target: &str, theirs: &str, times: f64) {
    let wall = |name| costs.of(name).map(|cost| cost.wall);
    bench.ratio(target, wall(theirs), wall("pmem frames"), Limit::AtLeast(times));
}
