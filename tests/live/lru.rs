//! `lru`: the LRU lists, against the kernel's own counters for them.

use serde_json::Value;

use crate::support::counters::{Compared, assert_same_as_counters, meminfo};
use crate::support::frames::visible;
use crate::support::json::number;
use crate::support::run::pmem;
use crate::support::scene::{Scene, made};

#[track_caller]
fn lru() -> Value {
    let mut document = pmem(["lru", "--json"]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.lru/1");
    document["data"].take()
}

/// The frames of the states that are chosen.
#[track_caller]
fn frames(lru: &Value, chosen: impl Fn(&Value) -> bool) -> u64 {
    let states = lru["states"].as_array().unwrap().iter();
    states.filter(|state| chosen(state)).map(|state| number(&state["frames"])).sum()
}

#[test]
fn the_lists_are_as_long_as_the_kernel_says() {
    const TEST: &str = "the_lists_are_as_long_as_the_kernel_says";
    if !visible(TEST) {
        return;
    }
    let _scenes = [Scene::start(&["everything"]), Scene::start(&["classes"])];
    // Name, whether it is active, whether it has file pages, and how much of it a run of pmem takes itself.
    const LISTS: [(&str, bool, bool, u64); 4] = [
        ("Active(anon)", true, false, 64),
        ("Inactive(anon)", false, false, 1024),
        ("Active(file)", true, true, 64),
        ("Inactive(file)", false, true, 64),
    ];
    let kernel = || LISTS.map(|(name, ..)| meminfo(name));
    assert_same_as_counters(TEST, || {
        let (before, unevictable) = (kernel(), meminfo("Unevictable"));
        let lru = lru();
        let (after, unevictable) = (kernel(), [unevictable, meminfo("Unevictable")]);
        // A folio that is moved between lists has no flag but is still counted: each CPU collects up to 31, of any
        // size.
        let on_their_way = number(&lru["not_on_lru_frames"]).min(1 << 16);
        let lists = LISTS.iter().enumerate().map(|(at, &(name, active, of_files, own))| Compared {
            name,
            ours: frames(&lru, |state| state["active"] == active && (state["class"] == "file") == of_files),
            kernel: [before[at], after[at]],
            own: own + on_their_way,
        });
        let last =
            Compared { name: "Unevictable", ours: number(&lru["unevictable_frames"]), kernel: unevictable, own: 0 };
        lists.chain([last]).collect()
    });
}

#[test]
fn the_states_are_each_there_once() {
    if !visible("the_states_are_each_there_once") {
        return;
    }
    let lru = lru();
    let states = lru["states"].as_array().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for state in states {
        let (active, referenced) = (state["active"].as_bool().unwrap(), state["referenced"].as_bool().unwrap());
        let class = state["class"].as_str().unwrap();
        assert!(["anon", "file", "shmem"].contains(&class), "{state}");
        assert!(seen.insert((active, referenced, class)), "twice: {state}");
    }
    assert_eq!(seen.len(), 12, "four states of three classes");
    assert!(lru["not_on_lru_frames"].is_u64(), "{lru}");
}

#[test]
fn all_memory_of_processes_and_files_is_in_one_state_or_on_no_list() {
    const TEST: &str = "all_memory_of_processes_and_files_is_in_one_state_or_on_no_list";
    if !visible(TEST) {
        return;
    }
    let by_class = || {
        let phys = pmem(["phys", "--json"]).with_status(0).json();
        let classes = phys["data"]["classes"].as_array().unwrap().iter();
        let of_lists = classes.filter(|row| ["anon", "ksm", "shmem", "file"].contains(&row["class"].as_str().unwrap()));
        of_lists.map(|row| number(&row["frames"])).sum()
    };
    assert_same_as_counters(TEST, || {
        let before = by_class();
        let lru = lru();
        let ours = frames(&lru, |_| true) + number(&lru["not_on_lru_frames"]) + number(&lru["unevictable_frames"]);
        vec![Compared { name: "all states, and the classes of phys", ours, kernel: [before, by_class()], own: 64 }]
    });
}

#[test]
fn locked_and_secret_pages_are_unevictable() {
    if !visible("locked_and_secret_pages_are_unevictable") {
        return;
    }
    let scene = Scene::start(&["classes"]);
    let (made, _) = made(&scene.report);
    let never = made.iter().filter(|made| ["locked", "secret memory"].contains(&made.what));
    let pages: u64 = never.map(|made| made.number("pages")).sum();
    assert!(number(&lru()["unevictable_frames"]) >= pages);
}
