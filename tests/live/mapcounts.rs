//! `pages`: mapcounts of memory shared by fork, to the page; filters; and processes that cannot be read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::frames::{FrameFile, frames_of, pages, range, visible};
use crate::support::json::{hex_address, number};
use crate::support::kernel::{is_kernel_thread, pids};
use crate::support::ordinary::Ordinary;
use crate::support::run::{outcome, pmem};
use crate::support::scene::{Scene, made_as};
use crate::support::{page_size, skipped};

/// How many pages have which mapcount.
type Histogram = BTreeMap<u64, u64>;

/// The mapcounts of the pages of an arena, according to pmem.
#[track_caller]
fn histogram(pid: u64, address: u64, count: u64) -> Histogram {
    let mut histogram = Histogram::new();
    let shown = pages(&[&pid.to_string(), "--range", &range(address, count)]);
    assert_eq!(shown.len() as u64, count, "every page is shown once");
    for page in shown {
        assert_eq!((&page.run["state"], page.class()), (&Value::from("present"), "anon"), "{page:?}");
        *histogram.entry(number(&page.run["mapcount"])).or_default() += 1;
    }
    histogram
}

#[track_caller]
fn assert_histograms(scene: &Scene) {
    let report = &scene.report;
    let (address, count) = (hex_address(&report["address"]), number(&report["pages"]));
    let children = report["children"].as_array().unwrap();
    // The first 20 pages were written by some of the children, so fewer processes share them.
    let rest = count - 20;
    for (pid, expected) in [
        (&report["pid"], vec![(2, 10), (3, 10), (4, rest)]),
        (&children[0]["pid"], vec![(2, 10), (3, 10), (4, rest)]),
        (&children[1]["pid"], vec![(1, 10), (3, 10), (4, rest)]),
        (&children[2]["pid"], vec![(1, 20), (4, rest)]),
    ] {
        assert_eq!(histogram(number(pid), address, count), Histogram::from_iter(expected), "{pid} of {report}");
    }
}

#[test]
fn mapcounts_after_three_forks_are_right_to_the_page() {
    if visible("mapcounts_after_three_forks_are_right_to_the_page") {
        let scene = Scene::start(&["forks"]);
        assert_eq!(scene.report["pages"], 1000);
        assert_histograms(&scene);
    }
}

#[test]
fn mapcounts_of_huge_pages_after_three_forks_are_right_to_the_page() {
    const TEST: &str = "mapcounts_of_huge_pages_after_three_forks_are_right_to_the_page";
    if !visible(TEST) {
        return;
    }
    let scene = Scene::start(&["forks", "huge"]);
    match scene.skipped() {
        Some(reason) => skipped(TEST, reason),
        None => assert_histograms(&scene),
    }
}

#[test]
fn each_page_has_the_frame_and_the_counts_that_the_kernel_says() {
    if !visible("each_page_has_the_frame_and_the_counts_that_the_kernel_says") {
        return;
    }
    let scene = Scene::start(&["forks"]);
    let (flags, counts) = (FrameFile::open("kpageflags"), FrameFile::open("kpagecount"));
    let (address, count) = (hex_address(&scene.report["address"]), number(&scene.report["pages"]));
    for pid in scene.report["children"].as_array().unwrap().iter().map(|child| number(&child["pid"])) {
        let frames = frames_of(pid, address, count);
        for (page, pfn) in pages(&[&pid.to_string(), "--range", &range(address, count)]).iter().zip(frames) {
            assert_eq!(page.pfn, pfn, "{page:?}");
            let pfn = pfn.unwrap();
            assert_eq!(number(&page.run["mapcount"]), counts.word(pfn).unwrap(), "{page:?}");
            // The kernel may change which list it is on, and whether it was used, in the meantime.
            let changes = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 25);
            let raw = hex_address(&page.run["flags"]["raw"]);
            assert_eq!(raw | changes, flags.word(pfn).unwrap() | changes, "{page:?}");
            // A page that only this process maps was written by it, and is known to be exclusive.
            assert_eq!(page.run["exclusive"], page.run["mapcount"] == 1, "{page:?}");
        }
    }
}

#[test]
fn each_shows_the_same_pages_one_by_one() {
    if !visible("each_shows_the_same_pages_one_by_one") {
        return;
    }
    let scene = Scene::start(&["forks"]);
    let (target, all) = (scene.target(), range(hex_address(&scene.report["address"]), 1000));
    let runs = pages(&[&target, "--range", &all]);
    let each = pages(&[&target, "--range", &all, "--each"]);
    assert!(each.iter().all(|page| page.run["pages"] == 1));
    let place = |pages: &[crate::support::frames::Page]| -> Vec<_> {
        pages.iter().map(|page| (page.address, page.pfn, page.run["mapcount"].clone())).collect()
    };
    assert_eq!(place(&each), place(&runs));
    // Two runs that could be one must be one.
    let document = pmem(["pages", "--json", &target, "--range", &all]).json();
    let list = document["data"]["runs"].as_array().unwrap();
    for (before, after) in list.iter().zip(&list[1..]) {
        let end = |field: &str, unit| before[field].as_u64().map(|first| first + number(&before["pages"]) * unit);
        let follows = hex_address(&before["address"]) + number(&before["pages"]) * page_size()
            == hex_address(&after["address"])
            && end("pfn", 1) == after["pfn"].as_u64();
        let alike =
            ["state", "class", "flags", "mapcount", "cgroup", "exclusive"].iter().all(|f| before[f] == after[f]);
        assert!(!(follows && alike), "one run is shown as two: {before} {after}");
    }
}

#[test]
fn filters_show_exactly_what_they_name() {
    if !visible("filters_show_exactly_what_they_name") {
        return;
    }
    let scene = Scene::start(&["forks"]);
    let report = &scene.report;
    let child = |at: usize| number(&report["children"][at]["pid"]).to_string();
    let all = range(hex_address(&report["address"]), 1000);
    let shown = |pid: &str, filter: &[&str]| pages(&[&[pid, "--range", &all], filter].concat()).len();
    for (pid, filter, expected) in [
        (scene.target(), &["--mapcount", ">1"][..], 1000),
        (scene.target(), &["--mapcount", ">3"], 980),
        (scene.target(), &["--mapcount", "3"], 10),
        (child(1), &["--mapcount", ">1"], 990),
        (child(2), &["--mapcount", ">1"], 980),
        (child(2), &["--mapcount", "1"], 20),
        (child(2), &["--mapcount", "1", "--class", "anon"], 20),
        (child(2), &["--mapcount", "1", "--class", "file,shmem"], 0),
        (child(2), &["--class", "shmem,anon"], 1000),
        (child(2), &["--flags", "anon,swapbacked"], 1000),
        (child(2), &["--flags", "anon,!swapbacked"], 0),
        (child(2), &["--state", "present"], 1000),
        (child(2), &["--state", "swapped,guard"], 0),
    ] {
        assert_eq!(shown(&pid, filter), expected, "{filter:?} of {pid}: {report}");
    }
}

#[test]
fn a_range_need_not_begin_where_a_page_does() {
    let scene = Scene::start(&["forks"]);
    let address = hex_address(&scene.report["address"]);
    // It touches three pages.
    let range = format!("{:#x}-{:#x}", address + page_size() - 1, address + 2 * page_size() + 1);
    let run = pmem(["pages", "--json", "--range", &range, &scene.target()]);
    assert!([0, 4].contains(&run.status), "status {}: {}", run.status, run.stderr);
    let document = run.json();
    let runs = document["data"]["runs"].as_array().unwrap();
    assert_eq!(hex_address(&runs[0]["address"]), address, "{document}");
    assert_eq!(runs.iter().map(|run| number(&run["pages"])).sum::<u64>(), 3, "{document}");
}

#[test]
fn pages_that_are_freed_lazily_are_found_by_their_flags() {
    const TEST: &str = "pages_that_are_freed_lazily_are_found_by_their_flags";
    if !visible(TEST) {
        return;
    }
    let scene = Scene::start(&["classes"]);
    let skip = crate::support::scene::made(&scene.report).1.into_iter().find(|(what, _)| *what == "freed lazily");
    if let Some((_, reason)) = skip {
        return skipped(TEST, reason);
    }
    let made = made_as(&scene.report, "freed lazily");
    let found = pages(&[&scene.target(), "--flags", "anon,!swapbacked"]);
    let expected: Vec<u64> = (0..made.number("pages")).map(|page| made.address + page * page_size()).collect();
    assert_eq!(found.iter().map(|page| page.address).collect::<Vec<_>>(), expected, "of the whole process");
}

#[test]
fn guards_are_found_by_their_state_without_privilege() {
    const TEST: &str = "guards_are_found_by_their_state_without_privilege";
    let user = Ordinary::new();
    let scene = user.scene(&["everything"]);
    let (made, skip) = crate::support::scene::made(&scene.report);
    if let Some((_, reason)) = skip.into_iter().find(|(what, _)| *what == "guard region") {
        return skipped(TEST, reason);
    }
    let guarded = made.iter().find(|made| made.what == "guard region").unwrap();
    // Frame numbers are hidden, and nothing that was requested needs them: whether that is status 0 or 4 is not tested
    // here.
    let run = user.pmem(&["pages", "--json", &scene.target(), "--state", "guard"]);
    assert!([0, 4].contains(&run.status), "status {}: {}", run.status, run.stderr);
    let run = run.json();
    let runs = run["data"]["runs"].as_array().unwrap();
    let found: Vec<_> = runs.iter().map(|run| (hex_address(&run["address"]), number(&run["pages"]))).collect();
    // The scene puts it after the present pages.
    assert_eq!(found, [(guarded.address + guarded.number("present") * page_size(), guarded.number("guard"))], "{run}");
}

#[test]
fn without_frame_numbers_pages_are_shown_and_nothing_is_made_up() {
    let user = Ordinary::new();
    let scene = user.scene(&["forks"]);
    let address = hex_address(&scene.report["address"]);
    let run = user.pmem(&["pages", "--json", &scene.target(), "--range", &range(address, 1000)]).with_status(4);
    assert!(run.stderr.contains("CAP_SYS_ADMIN"), "{}", run.stderr);
    let run = run.json();
    let mut shown = 0;
    for run in run["data"]["runs"].as_array().unwrap() {
        assert_eq!(run["state"], "present", "{run}");
        for unknown in ["pfn", "physical_address", "class", "flags", "mapcount", "cgroup"] {
            assert!(run[unknown].is_null(), "{unknown} is not known: {run}");
        }
        shown += number(&run["pages"]);
    }
    assert_eq!(shown, 1000);
    assert!(run["notes"].as_array().unwrap().iter().any(|note| note["code"] == "pfn-hidden"), "{}", run["notes"]);
    for filter in [["--flags", "anon"], ["--class", "anon"], ["--mapcount", ">1"]] {
        let run = user.pmem(&[&["pages", "--json", &scene.target()][..], &filter].concat()).with_status(4);
        assert!(run.stdout.is_empty(), "{filter:?}: nothing is chosen by what is not known");
        assert!(run.stderr.contains("CAP_SYS_ADMIN"), "{}", run.stderr);
    }
}

#[test]
fn a_process_that_is_not_there_is_42() {
    for command in [&["pages"][..], &["pages", "--each", "--json"]] {
        let run = pmem([command, &["4194305"]].concat()).with_status(42);
        assert!(run.stdout.is_empty());
    }
}

#[test]
fn a_kernel_thread_has_no_pages_and_it_is_said() {
    const TEST: &str = "a_kernel_thread_has_no_pages_and_it_is_said";
    let Some(pid) = pids().into_iter().find(|&pid| is_kernel_thread(pid)) else {
        return skipped(TEST, "there is none in this PID namespace");
    };
    for format in ["table", "json", "jsonl", "csv"] {
        let run = pmem(["pages", "--format", format, &pid.to_string()]);
        let said = format!("{}{}", run.text(), run.stderr);
        let words = ["a kernel thread", "kernel-thread"];
        assert!(words.iter().any(|words| said.contains(words)), "{format}: no pages, and not a word why: {said}");
    }
}

#[test]
fn a_process_that_dies_meanwhile_is_whole_or_incomplete() {
    // There are milliseconds between its line and its end; pmem takes some to start, and some to read the pages.
    for milliseconds in 0..15 {
        let scene = Scene::start(&["dying", &milliseconds.to_string()]);
        let run = pmem(["pages", "--each", "--format", "jsonl", &scene.target()]);
        assert!([0, 1, 4, 42].contains(&run.status), "exit status {}: {}", run.status, run.stderr);
        assert_eq!(run.status == 0, run.stderr.is_empty() || run.stderr.contains("zombie"), "{}", run.stderr);
        let lines: Vec<Value> = run.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if run.stderr.is_empty() {
            let written: Vec<_> = lines.iter().filter(|page| hex_address(&page["address"]) >> 45 == 1).collect();
            assert_eq!(written.len(), 4000, "status 0, not a word, and not every page");
            let other = written.iter().find(|page| page["class"] != "anon" || page["mapcount"] != 1);
            assert_eq!(other, None, "status 0, not a word, and a frame that is no longer its own");
        }
    }
}

#[test]
fn all_forms_show_the_same_pages() {
    let scene = Scene::start(&["forks"]);
    let all = range(hex_address(&scene.report["address"]), 1000);
    let run = |format: &str, more: &[&str]| {
        let arguments = ["pages", "--range", &all, "--format", format, &scene.target()];
        pmem([&arguments[..], more].concat())
    };
    // Each page by itself, and everything except its flags: DAMON sets and clears IDLE in the meantime, which splits
    // runs.
    let json = run("json", &["--each"]).json();
    let runs = json["data"]["runs"].as_array().unwrap();
    let jsonl = run("jsonl", &["--each"]);
    let lines: Vec<Value> = jsonl.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), runs.len());
    for (line, run) in lines.iter().zip(runs) {
        assert_eq!(line["pid"], scene.pid());
        let same = |(field, value): (&String, &Value)| field == "flags" || line[field] == *value;
        assert!(run.as_object().unwrap().iter().all(same), "{line} {run}");
    }
    let csv = run("csv", &["--each"]);
    assert_eq!(csv::Reader::from_reader(&csv.stdout[..]).records().map(Result::unwrap).count(), 1000);
    // In the table each row begins with an address.
    let table = run("table", &["--each", "--pages"]);
    let is_row = |line: &&str| line.split(' ').next().is_some_and(|word| word.starts_with("20000"));
    assert_eq!(table.text().lines().filter(is_row).count(), 1000, "{}", table.text());
}

#[test]
fn a_reader_of_pages_that_has_had_enough_is_0() {
    let scene = Scene::start(&["forks"]);
    for format in ["table", "json", "jsonl", "csv"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        command.args(["pages", "--each", "--format", format, &scene.target()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
        stdout.read_line(&mut first).unwrap();
        drop(stdout);
        let run = outcome(child);
        assert!(!first.is_empty());
        assert_eq!(run.status, 0, "{format}: {}", run.stderr);
        assert!(!run.stderr.contains("pipe"), "{format}: {}", run.stderr);
    }
}
