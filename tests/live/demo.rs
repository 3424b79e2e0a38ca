//! Every demo: its numbers are as expected, by two sources for each step; a fault in it is detected; it leaves nothing
//! behind.

use std::collections::BTreeMap;

use pmem::internal::{DEMOS, Demo};
use serde_json::Value;

use crate::support::ordinary::Ordinary;
use crate::support::run::{Finished, pmem};
use crate::support::skipped;

/// All demos except one: whether `ksm` can be shown changes while the tests run, so it has its own test.
fn demos() -> impl Iterator<Item = &'static Demo> {
    DEMOS.iter().copied().filter(|demo| demo.name != "ksm")
}

/// The demos that need something that not every machine has, or not every user may do.
const MAY_LACK: [&str; 14] = [
    "brk",
    "malloc",
    "stack",
    "page-tables",
    "mlock",
    "major-fault",
    "thp",
    "cow-thp",
    "tlb",
    "ksm",
    "swap",
    "limit",
    "working-set",
    "slab",
];

/// The demos that have no memory at the first place, or all of it from the beginning: there is no page too many.
const NO_PAGE_TOO_MANY: [&str; 4] = ["slab", "stack", "malloc", "tlb"];

/// The report of a demo, or why it cannot be shown here.
pub(super) fn report(demo: &Demo, run: &Finished) -> Result<Value, String> {
    let report = run.json()["data"].take();
    assert_eq!(report["demo"], demo.name);
    match run.status {
        3 => {
            assert_eq!(report["verdict"], "skipped", "{report:#}");
            assert!(MAY_LACK.contains(&demo.name), "every machine can show it: {report:#}");
            Err(report["reason"].as_str().expect("a reason").to_owned())
        }
        0 => Ok(report),
        status => panic!("{}: status {status}: {report:#}\n{}", demo.name, run.stderr),
    }
}

pub(super) fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

/// What was observed of a quantity: each source and its value.
fn seen<'s>(step: &'s Value, expected: &Value) -> BTreeMap<&'s str, i64> {
    let name = |value: &Value| (value["quantity"].clone(), value["of"].clone());
    let seen = list(&step["observed"]).iter().filter(|observed| name(observed) == name(expected));
    seen.map(|observed| (observed["source"].as_str().unwrap(), observed["value"].as_i64().unwrap())).collect()
}

/// Whether it is a step that is done, rather than a remark on what this machine cannot show.
fn is_shown(step: &Value) -> bool {
    !step["action"].as_str().unwrap().starts_with("not shown here: ")
}

pub(super) fn assert_true(demo: &Demo, report: &Value) {
    assert_eq!(report["verdict"], "ok", "{report:#}");
    let steps = list(&report["steps"]);
    assert!(!steps.is_empty(), "{} has steps", demo.name);
    for step in steps.iter().filter(|step| is_shown(step)) {
        assert_eq!(step["verdict"], "ok", "{step:#}");
        let mut most_sources = 0;
        for expected in list(&step["expected"]) {
            let seen = seen(step, expected);
            let holds = |value: &i64| {
                expected["min"].as_i64().is_none_or(|min| min <= *value)
                    && expected["max"].as_i64().is_none_or(|max| *value <= max)
            };
            assert!(seen.values().all(holds), "{}: {seen:?} against {expected:#}", demo.name);
            if expected["rule"] != "informative" {
                most_sources = most_sources.max(seen.len());
            }
        }
        assert!(most_sources >= 2, "{}: nothing that is demanded has two sources: {step:#}", demo.name);
    }
}

#[test]
fn every_demo_comes_true() {
    for demo in demos() {
        match report(demo, &pmem(["demo", demo.name, "--json"])) {
            Ok(report) => assert_true(demo, &report),
            Err(reason) => skipped(&format!("demo {}", demo.name), &reason),
        }
    }
}

#[test]
fn every_demo_comes_true_for_an_ordinary_user() {
    let user = Ordinary::new();
    for demo in demos() {
        match report(demo, &user.pmem(&["demo", demo.name, "--json"])) {
            Ok(report) => assert_true(demo, &report),
            Err(reason) => skipped(&format!("demo {} for an ordinary user", demo.name), &reason),
        }
    }
}

/// Leaves out each step of a demo in turn: that must be detected, and nothing worse may happen.
#[test]
fn a_step_that_is_left_out_is_found_out() {
    for demo in demos() {
        let Ok(whole) = report(demo, &pmem(["demo", demo.name, "--json"])) else { continue };
        let steps = list(&whole["steps"]).iter().zip(1..).filter(|(step, _)| is_shown(step));
        for (_, step) in steps {
            let spoilt = pmem(["demo", demo.name, "--json", "--spoil", &format!("leave-out:{step}")]);
            let report = &spoilt.json()["data"];
            assert_eq!((report["verdict"].as_str(), spoilt.status), (Some("off"), 1), "{step}: {report:#}");
        }
    }
}

/// Writes an additional page after each step in turn.
#[test]
fn a_page_too_many_is_found_out() {
    let mut tried = 0;
    for demo in demos().filter(|demo| !NO_PAGE_TOO_MANY.contains(&demo.name)) {
        let Ok(whole) = report(demo, &pmem(["demo", demo.name, "--json"])) else { continue };
        let steps = 1..=list(&whole["steps"]).len();
        let spoilt = |step| pmem(["demo", demo.name, "--json", "--spoil", &format!("extra-page:{step}")]);
        let found_out = steps.map(spoilt).any(|run| {
            let report = &run.json()["data"];
            let off = |expected: &Value| expected["held"] == false;
            let by_number = list(&report["steps"]).iter().any(|step| list(&step["expected"]).iter().any(off));
            run.status == 1 && report["verdict"] == "off" && by_number
        });
        assert!(found_out, "{}", demo.name);
        tried += 1;
    }
    assert!(tried > 0);
}
