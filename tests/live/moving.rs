//! Processes that end, replace themselves or change their mappings while they are read.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use serde_json::Value;

use crate::support::json::{hex_address, number};
use crate::support::run::{Finished, outcome, pmem};
use crate::support::scene::Scene;
use crate::support::skipped;
use crate::support::text::assert_no_control;

/// Fails unless a process (with its rows, or without) is consistent: mappings in ascending order without overlap, and
/// every page explained unless the process is reported to have changed.
#[track_caller]
fn assert_sound(process: &Value) {
    let mut end = 0;
    for row in process["vmas"].as_array().into_iter().flatten() {
        assert!(hex_address(&row["start"]) >= end, "mappings overlap: {row}");
        end = hex_address(&row["end"]);
        let count = |field: &str| row[field].as_u64().unwrap_or(0);
        assert!(count("present_pages") <= count("size_pages"), "more pages than the mapping has: {row}");
        assert!(
            count("zero_pages") <= count("present_pages") && count("huge_pages") <= count("present_pages"),
            "{row}"
        );
    }
    let ledger = &process["ledger"];
    if !ledger.is_null() {
        let explained = ledger["unexplained_pages"] == 0 || !ledger["statm_bound_pages"].is_null();
        assert!(explained || ledger["held_still"] == false, "unexplained, and said to have held still: {ledger}");
        assert!((1..=3).contains(&number(&ledger["attempts"])), "{ledger}");
    }
}

/// What a disturbed run may give: a complete document with status 0 or 1, or no process at all.
#[track_caller]
fn assert_whole(run: &Finished) {
    match run.status {
        42 => assert!(run.stdout.is_empty(), "no process, and yet output"),
        0 | 1 => {
            let document = run.json();
            let processes = document["data"]["processes"].as_array().unwrap();
            processes.iter().for_each(assert_sound);
            assert_eq!(processes.is_empty(), run.status == 1, "status {}: {}", run.status, run.stderr);
            assert_eq!(run.stderr.is_empty(), run.status == 0, "status {}: {}", run.status, run.stderr);
        }
        other => panic!("exit status {other}: {}", run.stderr),
    }
}

#[test]
fn a_process_that_maps_and_unmaps_is_clipped_and_said_to_move() {
    let scene = Scene::start(&["churn"]);
    let mut moved = 0;
    for _ in 0..20 {
        let run = pmem(["frames", "--verify", "--json", &scene.target()]).with_status(0);
        assert_whole(&run);
        let process = run.process();
        if process["ledger"]["held_still"] == false {
            moved += 1;
            let notes = run.json()["notes"].to_string();
            assert!(notes.contains("moving") || notes.contains("maps-torn") || notes.contains("mapped-meanwhile"));
        }
    }
    assert!(moved > 0, "the scene does not hold still, and pmem never saw it");
}

#[test]
fn owners_and_smaps_of_a_moving_process_are_no_panic() {
    let scene = Scene::start(&["churn"]);
    let owners = if nix::unistd::Uid::effective().is_root() { "--owners" } else { "--verify" };
    for format in ["table", "json", "jsonl", "csv"] {
        for _ in 0..3 {
            let run = pmem(["frames", owners, "-o", "+Rss,VmFlags", "--format", format, &scene.target()]);
            assert_no_control(&run.with_status(0).stdout, "standard output");
        }
    }
}

#[test]
fn a_process_that_replaces_itself_is_never_a_mixture() {
    let scene = Scene::start(&["exec-loop"]);
    let mut counted = 0;
    for _ in 0..40 {
        let run = pmem(["frames", "--verify", "--json", &scene.target()]);
        assert_ne!(run.status, 42, "it never goes away");
        assert_whole(&run);
        if run.status == 0 {
            counted += 1;
        } else {
            assert!(!run.stderr.contains("ended"), "it has not ended: {}", run.stderr);
        }
    }
    assert!(counted > 0, "it stands still for milliseconds, and pmem never got to count it");
}

#[test]
fn a_process_that_ends_by_itself_is_whole_or_gone() {
    // There are milliseconds between its line and its end; pmem takes some to start, and some to count.
    for milliseconds in 0..15 {
        let scene = Scene::start(&["dying", &milliseconds.to_string()]);
        assert_whole_or_zombie(&pmem(["frames", "--verify", "--json", &scene.target()]));
    }
}

#[test]
fn a_process_killed_in_the_middle_is_whole_or_gone() {
    let quiet = Scene::start(&["vmas", "10000"]);
    if let Some(reason) = quiet.skipped() {
        return skipped("a_process_killed_in_the_middle_is_whole_or_gone", reason);
    }
    let started = Instant::now();
    pmem(["frames", "--verify", "--summary", "--json", &quiet.target()]).with_status(0);
    let counted = started.elapsed();
    drop(quiet);

    // The kill comes in every part of the time a run takes.
    const PARTS: u32 = 10;
    let mut gone = 0;
    for part in 0..PARTS {
        let mut scene = Scene::start(&["vmas", "10000"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        // With only the ledger, nearly all of the time is spent counting.
        command.args(["frames", "--verify", "--summary", "--json", &scene.target()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The timing itself is tested here: nothing waits for anything.
        sleep(counted * part / PARTS);
        // Half of them stay zombies, half are reaped.
        if part % 2 == 0 {
            scene.kill();
        } else {
            scene.kill_and_reap();
        }
        let run = outcome(child);
        assert_whole_or_zombie(&run);
        gone += u32::from(run.status != 0);
    }
    eprintln!("{gone} of {PARTS} were gone before they were counted, which took {counted:?}");
}

/// The same as [`assert_whole`] for a process that may have become a zombie: that is an answer too.
#[track_caller]
fn assert_whole_or_zombie(run: &Finished) {
    if run.status == 0 && run.process()["no_address_space"] == "zombie" {
        return assert!(run.process()["ledger"].is_null());
    }
    assert_whole(run);
}

#[test]
fn every_format_of_every_process_while_processes_come_and_go() {
    let _moving = [Scene::start(&["churn"]), Scene::start(&["exec-loop"])];
    for format in ["table", "json", "jsonl", "csv"] {
        // All of every process is counted, but only some of it is shown, because some may be very large.
        let run = pmem(["frames", "--all", "--verify", "--kind", "heap,stack,special", "--format", format]);
        assert!([0, 1].contains(&run.status), "{format}: exit status {}: {}", run.status, run.stderr);
        assert_no_control(&run.stdout, "standard output");
        match format {
            "json" => run.json()["data"]["processes"].as_array().unwrap().iter().for_each(assert_sound),
            "jsonl" => run.text().lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap())),
            _ => {}
        }
    }
}

#[test]
fn a_watch_ends_when_its_process_does_and_tells_the_change_until_then() {
    let mut scene = Scene::start(&["dying", "1000"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
    command.args(["frames", "--summary", "--format", "jsonl", "-d", "0.05", &scene.target()]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It ends by itself. Until it is reaped it is a zombie, which is also a process.
    scene.wait();
    let run = outcome(child).with_status(1);
    assert!(run.stderr.contains(&scene.target()), "what ended: {}", run.stderr);
    let lines: Vec<Value> = run.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 1, "more than one round");
    assert!(lines[0]["change"].is_null());
    assert_eq!(lines[1]["change"]["resident_pages"], 0, "it holds still until it ends: {}", lines[1]);
}
