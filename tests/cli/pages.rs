//! `pmem pages` over recorded processes: every page compared with the words of its page map and of its frame.

use std::collections::BTreeMap;

use serde_json::Value;

use super::recorded::{Machine, PAGE, TAIL, first_page, pfn, pid, range, raw};
use crate::support::json::{hex_address, number, number_or_zero};

/// The runs of `pmem pages` of a process.
fn runs(machine: &Machine, pid: &str, arguments: &[&str]) -> Vec<Value> {
    let mut document = machine.pmem(&[&["pages", pid, "--json"], arguments].concat()).with_status(0).json();
    assert_eq!(document["data"]["pid"].to_string(), pid);
    std::mem::take(document["data"]["runs"].as_array_mut().unwrap())
}

/// How many pages are in these runs.
fn pages<'a>(runs: impl IntoIterator<Item = &'a Value>) -> u64 {
    runs.into_iter().map(|run| number(&run["pages"])).sum()
}

/// How many pages have each mapcount.
fn mapcounts(runs: &[Value]) -> BTreeMap<u64, u64> {
    let mut counted = BTreeMap::new();
    runs.iter().for_each(|run| *counted.entry(number_or_zero(&run["mapcount"])).or_default() += number(&run["pages"]));
    counted
}

#[test]
fn runs_are_the_pages_of_the_page_map() {
    for machine in Machine::all() {
        for process in machine.processes() {
            let mut words = process.pages.clone();
            for run in runs(machine, &process.pid.to_string(), &[]) {
                let first = hex_address(&run["address"]) / PAGE;
                for place in 0..number(&run["pages"]) {
                    let word = words.remove(&(first + place)).expect("a page that is in no other run");
                    assert_is_page(machine, &run, place, word);
                }
            }
            assert!(words.is_empty(), "{} {}: not in any run: {words:x?}", machine.tree, process.pid);
        }
    }
}

/// Compares page number `place` of a run with the word of the page map and of its frame.
fn assert_is_page(machine: &Machine, run: &Value, place: u64, word: u64) {
    let what = || format!("{}, page {place} of {run}, {word:#x}", machine.tree);
    let Some(frame) = pfn(word) else {
        assert_eq!(run["state"], "swapped", "{}", what());
        let (area, offset) = (number(&run["swap"]["type"]), number(&run["swap"]["offset"]) + place);
        assert_eq!(word, 1 << 62 | word & (1 << 61 | 1 << 55) | offset << 5 | area, "{}", what());
        assert!(run["pfn"].is_null() && run["class"].is_null() && run["mapcount"].is_null(), "{}", what());
        return;
    };
    assert_eq!((run["state"].as_str(), number(&run["pfn"]) + place), (Some("present"), frame), "{}", what());
    assert_eq!(hex_address(&run["physical_address"]) + place * PAGE, frame * PAGE);
    assert_eq!(run["exclusive"], word & 1 << 56 != 0, "{}", what());
    // The kernel keeps no mapcount for the zero page, and none is shown.
    let counted = (run["class"] != "zero_page").then(|| machine.counts.get(&frame).copied().unwrap_or(0));
    assert_eq!(run["mapcount"].as_u64(), counted, "{}", what());
    let flags = machine.shown(machine.flags[&frame]);
    // The flags are those of the first page: tails follow their head.
    let same_folio = flags & TAIL != 0 && place > 0;
    assert!(flags == raw(run) || same_folio, "{}: {flags:#x}", what());
    if let Some(class) = machine.classes.get(&frame) {
        assert_eq!(run["class"], *class, "{}", what());
    }
}

#[test]
fn a_parent_and_its_children_share_what_none_of_them_wrote() {
    for machine in Machine::all() {
        for scene in ["forks", "huge"].map(|scene| &machine.known[scene]).into_iter().filter(|scene| !scene.is_null()) {
            let all = number(&scene["pages"]);
            let of = |who: &Value| mapcounts(&runs(machine, &pid(who), &["--range", &range(scene)]));
            let shared = BTreeMap::from([(4, all - 20), (3, 10), (2, 10)]);
            assert_eq!(of(scene), shared, "{}", machine.tree);
            assert_eq!(of(&scene["children"][0]), shared);
            assert_eq!(of(&scene["children"][1]), BTreeMap::from([(4, all - 20), (3, 10), (1, 10)]));
            assert_eq!(of(&scene["children"][2]), BTreeMap::from([(4, all - 20), (1, 20)]));
        }
    }
}

#[test]
fn every_kind_of_memory_is_what_the_program_made() {
    for machine in Machine::whole() {
        let everything = &machine.known["everything"];
        for made in everything["mappings"].as_array().unwrap().iter().filter(|made| made["skipped"].is_null()) {
            let runs = runs(machine, &pid(everything), &["--range", &range(made)]);
            let in_state = |state: &str| pages(runs.iter().filter(|run| run["state"] == state));
            let of_class = |class: &str| pages(runs.iter().filter(|run| run["class"] == class));
            let (present, zero) = (number(&made["present"]), number(&made["zero"]));
            assert_eq!((in_state("present"), in_state("swapped")), (present, number(&made["swapped"])), "{made}");
            assert_eq!(of_class("zero_page"), zero, "{}: {made}", machine.tree);
            // The written pages of a private file mapping are anonymous.
            let anonymous = if made["what"] == "file, some written" { 8 } else { 0 };
            let class = made["kind"].as_str().unwrap();
            assert_eq!(of_class(class), present - zero - anonymous, "{}: {made}", machine.tree);
            assert!(made["exclusive"].is_null() || mapcounts(&runs)[&1] == number(&made["exclusive"]), "{made}");
        }
    }
}

#[test]
fn rarer_kinds_are_of_the_class_the_program_says() {
    for machine in Machine::whole() {
        let classes = &machine.known["classes"];
        let made: Vec<_> =
            classes["mappings"].as_array().unwrap().iter().filter(|made| made["skipped"].is_null()).collect();
        // Linux 6.1 has no secret memory unless it is enabled at boot.
        assert_eq!(made.len(), if machine.tells_ksm() { 6 } else { 7 });
        for made in made {
            let runs = runs(machine, &pid(classes), &["--range", &range(made)]);
            assert!(runs.iter().all(|run| run["class"] == made["class"]), "{}: {made}: {runs:?}", machine.tree);
            assert_eq!(pages(&runs), number(&made["pages"]), "{}: {made}", machine.tree);
            assert!(runs.iter().all(|run| run["cgroup"] == "/esc\u{1b}[31mred.slice" || run["cgroup"].is_null()));
        }
    }
}

#[test]
fn merged_pages_are_one_frame() {
    for machine in Machine::whole() {
        let merged = &machine.known["merged"];
        let made = &merged["ksm"];
        let runs = runs(machine, &pid(merged), &["--range", &range(made)]);
        assert_eq!(pages(&runs), 32);
        let class = if machine.tells_ksm() { "ksm" } else { "anon" };
        for run in &runs {
            assert_eq!((&run["pfn"], &run["mapcount"]), (&runs[0]["pfn"], &32.into()), "{}: {run}", machine.tree);
            assert_eq!((&run["class"], hex_address(&run["address"]) / PAGE < first_page(made)), (&class.into(), false));
        }
        let chosen = machine.pmem(&["pages", &pid(merged), "--json", "--class", "ksm"]).with_status(0).json();
        let of_ksm = chosen["data"]["runs"].as_array().unwrap();
        assert_eq!(pages(of_ksm), if machine.tells_ksm() { 32 } else { 0 }, "{}", machine.tree);
        let noted = chosen["notes"].as_array().unwrap().iter().any(|note| note["code"] == "ksm-flag-wrong");
        assert_eq!(noted, !machine.tells_ksm());
    }
}

/// For the tails of a huge page of shared memory, Linux 6.1 reports only MMAP and THP.
#[test]
fn a_huge_page_of_shared_memory_is_one_to_its_end() {
    for machine in Machine::whole() {
        let merged = &machine.known["merged"];
        for filter in [&["--range", &range(&merged["huge_file"])][..], &["--class", "shmem"]] {
            let runs = runs(machine, &pid(merged), filter);
            assert_eq!(pages(&runs), 1024, "{} {filter:?}", machine.tree);
            assert!(runs.iter().all(|run| run["class"] == "shmem"), "{}: {runs:?}", machine.tree);
            assert!(runs.iter().all(|run| run["cgroup"] == "/files.slice"), "{}: {runs:?}", machine.tree);
        }
    }
}

#[test]
fn filters_choose_pages_as_a_program_would() {
    for machine in Machine::whole() {
        let forks = &machine.known["forks"];
        let all = runs(machine, &pid(forks), &["--each"]);
        assert!(all.iter().all(|run| run["pages"] == 1));
        let chosen = |filter: &[&str]| runs(machine, &pid(forks), &[&["--each"], filter].concat());
        let as_if = |keep: &dyn Fn(&Value) -> bool| all.iter().filter(|run| keep(run)).cloned().collect::<Vec<_>>();
        assert_eq!(chosen(&["--mapcount", ">3"]), as_if(&|run| number_or_zero(&run["mapcount"]) > 3));
        assert_eq!(chosen(&["--class", "anon,file"]), as_if(&|run| run["class"] == "anon" || run["class"] == "file"));
        let bits = |run: &Value| (raw(run) >> 12 & 1, raw(run) >> 18 & 1);
        assert_eq!(chosen(&["--flags", "anon,!unevictable"]), as_if(&|run| bits(run) == (1, 0)));
        assert_eq!(chosen(&["--flags", "unevictable"]), as_if(&|run| bits(run).1 == 1));
        assert!(!chosen(&["--flags", "unevictable"]).is_empty());
    }
}

#[test]
fn a_thread_of_the_kernel_has_no_pages() {
    for machine in Machine::whole() {
        let document = machine.pmem(&["pages", "2", "--json"]).with_status(0).json();
        assert_eq!(document["data"]["runs"].as_array().unwrap().len(), 0);
        let notes = document["notes"].as_array().unwrap();
        assert!(notes.iter().any(|note| note["code"] == "no-address-space"), "{notes:?}");
    }
}
