//! Very many mappings, and a very large empty address space.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::json::{hex_address, number, rows};
use crate::support::kernel::{smaps_resident, statm_resident};
use crate::support::page_size;
use crate::support::run::{Finished, pmem};
use crate::support::scene::Scene;
use crate::support::skipped;
use crate::support::text::assert_no_control;

const COUNT: u64 = 60_000;

/// The scene with 60,000 mappings, unless the machine does not allow it.
fn scene(test: &str) -> Option<Scene> {
    let scene = Scene::start(&["vmas", &COUNT.to_string()]);
    match scene.skipped() {
        Some(reason) => {
            skipped(test, reason);
            None
        }
        None => Some(scene),
    }
}

/// Every mapping that the scene made: where it begins, and whether its only page is a zero page.
fn expected(report: &Value) -> BTreeMap<u64, u64> {
    let (first, stride) = (hex_address(&report["address"]), number(&report["stride_pages"]) * page_size());
    let read_every = number(&report["read_every"]);
    (0..number(&report["count"])).map(|n| (first + n * stride, u64::from(n % read_every == 0))).collect()
}

/// Fails unless exactly the mappings that were made are shown in their range, and correctly: address, end, present,
/// zero.
#[track_caller]
fn assert_all(shown: impl Iterator<Item = (u64, u64, u64, u64)>, report: &Value) {
    let mut expected = expected(report);
    let (first, last) = (*expected.first_key_value().unwrap().0, *expected.last_key_value().unwrap().0);
    for (start, end, present, zero) in shown.filter(|row| (first..=last).contains(&row.0)) {
        let claimed = expected.remove(&start).unwrap_or_else(|| panic!("{start:#x} is shown twice or was not made"));
        assert_eq!((end, present, zero), (start + page_size(), 1, claimed), "the mapping at {start:#x}");
    }
    assert!(expected.is_empty(), "{} of {COUNT} mappings are missing: {:?}", expected.len(), expected.iter().next());
}

fn numbers(row: &Value) -> (u64, u64, u64, u64) {
    let count = |field: &str| row[field].as_u64().unwrap_or(0);
    (hex_address(&row["start"]), hex_address(&row["end"]), count("present_pages"), count("zero_pages"))
}

#[track_caller]
fn run(arguments: &[&str]) -> Finished {
    let run = pmem(arguments).with_status(0);
    assert_no_control(&run.stdout, "standard output");
    run
}

#[test]
fn all_of_60_000_mappings_are_there_and_right_in_json() {
    let Some(scene) = scene("60,000 mappings in JSON") else { return };
    let process = run(&["frames", "--json", "--verify", &scene.target()]).process();
    assert_all(rows(&process).iter().map(numbers), &scene.report);
    let ledger = &process["ledger"];
    assert_eq!(number(&ledger["resident_pages"]), statm_resident(scene.pid()).unwrap(), "{ledger}");
    assert_eq!(number(&ledger["resident_pages"]), smaps_resident(scene.pid()).unwrap(), "{ledger}");
    assert_eq!(ledger["unexplained_pages"], 0, "{ledger}");
}

#[test]
fn all_of_60_000_mappings_are_there_and_right_in_every_other_format() {
    let Some(scene) = scene("60,000 mappings in other formats") else { return };
    let lines = run(&["frames", "--format", "jsonl", &scene.target()]);
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["pid"] == scene.pid() && line["time"].is_string()));
    assert_all(lines.iter().map(numbers), &scene.report);

    let csv = run(&["frames", "--format", "csv", "-o", "address,end,present,zero,mapping", &scene.target()]);
    let mut csv = csv::Reader::from_reader(&csv.stdout[..]);
    assert_eq!(csv.headers().unwrap(), vec!["pid", "comm", "start", "end", "present_pages", "zero_pages", "name"]);
    let records: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap();
    let count = |text: &str| text.parse().unwrap_or(0);
    assert_all(records.iter().map(|r| (hex(&r[2]), hex(&r[3]), count(&r[4]), count(&r[5]))), &scene.report);

    let table = run(&["frames", "-o", "address,end,present,zero,mapping", &scene.target()]);
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hex = |word: &str| u64::from_str_radix(word, 16).ok();
        let count = |word: &str| if word == "·" { 0 } else { word.replace(',', "").parse().unwrap_or(0) };
        let [address, end, present, zero, ..] = words[..] else { return None };
        Some((hex(address)?, hex(end)?, count(present), count(zero)))
    };
    assert_all(table.text().lines().filter_map(row), &scene.report);
}

#[test]
fn a_tebibyte_of_nothing_is_right() {
    let scene = Scene::start(&["sparse"]);
    if let Some(reason) = scene.skipped() {
        return skipped("a_tebibyte_of_nothing_is_right", reason);
    }
    let report = &scene.report;
    let (start, touched) = (hex_address(&report["address"]), number(&report["touched"]));
    let process = run(&["frames", "--json", "--verify", &scene.target()]).process();
    let row = rows(&process).iter().find(|row| hex_address(&row["start"]) == start).unwrap();
    assert_eq!(number(&row["size_pages"]), number(&report["size_pages"]));
    assert_eq!((number(&row["present_pages"]), number(&row["zero_pages"])), (touched, 0), "{row}");
    assert_eq!(number(&process["ledger"]["resident_pages"]), statm_resident(scene.pid()).unwrap());
    assert_eq!(process["ledger"]["unexplained_pages"], 0);

    // Each page is where it was touched.
    for number_of in [0, 1, touched / 2, touched - 1] {
        let page = start + number_of * number(&report["apart_bytes"]);
        for (from, present) in [(page, 1), (page + page_size(), 0)] {
            let range = format!("{from:x}-{:x}", from + page_size());
            let process = run(&["frames", "--json", "--range", &range, &scene.target()]).process();
            assert_eq!(rows(&process).len(), 1, "{process}");
            assert_eq!(number(&rows(&process)[0]["present_pages"]), present, "at {range}");
        }
    }
}
