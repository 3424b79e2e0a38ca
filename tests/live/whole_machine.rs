//! Every process of the machine that does not change.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::json::number;
use crate::support::kernel::{pids, smaps_resident, statm_resident};
use crate::support::run::pmem;
use crate::support::scene::Scene;
use crate::support::skipped;

/// How often processes that change are read again, at most.
const ROUNDS: usize = 5;

/// What the kernel reports for each readable process: statm, and the sum of smaps.
fn kernel_says() -> BTreeMap<u32, (u64, u64)> {
    let says = |pid: u32| Some((pid, (statm_resident(pid)?, smaps_resident(pid)?)));
    pids().into_iter().filter_map(says).collect()
}

#[test]
fn what_holds_still_has_the_same_frames_by_every_count() {
    let scene = Scene::start(&["everything"]);
    let mut right = BTreeMap::new();
    let mut moving = BTreeMap::new();
    for _ in 0..ROUNDS {
        let before = kernel_says();
        let run = pmem(["frames", "--all", "--summary", "--verify", "--json"]);
        assert!([0, 1].contains(&run.status), "exit status {}: {}", run.status, run.stderr);
        let after = kernel_says();
        for process in run.json()["data"]["processes"].as_array().unwrap() {
            let pid = u32::try_from(number(&process["pid"])).unwrap();
            let still = before.get(&pid).filter(|numbers| after.get(&pid) == Some(numbers));
            match still {
                // The kernel's numbers before and after are the same: pmem must have them too, or say that the process
                // changed.
                Some(&(statm, smaps)) if process["ledger"]["held_still"] == true => {
                    assert_same(process, statm, smaps);
                    moving.remove(&pid);
                    right.insert(pid, ());
                }
                Some(_) if !right.contains_key(&pid) => drop(moving.insert(pid, process.to_string())),
                _ => {}
            }
        }
        // What changes once may not change the next time.
        if moving.is_empty() {
            break;
        }
    }
    for process in moving.values() {
        skipped("a process that moved every time", process);
    }
    eprintln!("{} processes held still and were right; {} moved", right.len(), moving.len());
    assert!(right.contains_key(&scene.pid()), "the scene holds still and is among them");
}

#[track_caller]
fn assert_same(process: &Value, statm: u64, smaps: u64) {
    let ledger = &process["ledger"];
    let [ours, their_statm, their_smaps, unexplained] =
        ["resident_pages", "statm_resident_pages", "smaps_rss_pages", "unexplained_pages"]
            .map(|field| ledger[field].as_i64().unwrap());
    // Up to Linux 6.15 statm is not exact, and pmem says by how much.
    let bound = ledger["statm_bound_pages"].as_u64().unwrap_or(0);
    let [statm, smaps] = [statm, smaps].map(|pages| i64::try_from(pages).unwrap());
    assert!(
        ours == smaps && their_smaps == smaps && unexplained == 0 && their_statm.abs_diff(statm) <= bound,
        "pmem has {ours}, the kernel {statm} by statm and {smaps} by smaps: {process:#}"
    );
    assert!(ours.abs_diff(statm) <= bound, "statm is further off than it may be: {process:#}");
}
