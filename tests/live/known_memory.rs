//! Processes that report what memory they have: pmem must report the same, to the page.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::Uid;
use serde_json::Value;

use crate::support::json::{hex_address, number, number_or_zero, resident, row_at, rows};
use crate::support::kernel::{smaps, smaps_resident, statm_resident, status_pages};
use crate::support::run::{pmem, workload};
use crate::support::scene::{Scene, made};
use crate::support::skipped;

/// Fails unless every mapping that was made is a row with exactly the numbers the scene claims.
#[track_caller]
pub(crate) fn assert_as_made(process: &Value, report: &Value) {
    let (made, skipped_things) = made(report);
    for made in made {
        let row = row_at(process, made.address);
        let found = |field: &str| number(&row[format!("{field}_pages")]);
        for (field, claim) in [("size", "size_pages"), ("present", "present"), ("zero", "zero"), ("huge", "huge")] {
            assert_eq!(found(field), made.number(claim), "{field} pages of {}: {row}", made.what);
        }
        assert_eq!(found("swapped"), made.number("swapped"), "swapped pages of {}: {row}", made.what);
        assert_eq!(found("guard"), made.number("guard"), "guard pages of {}: {row}", made.what);
        assert_eq!(row["kind"], made.claims["kind"], "kind of {}: {row}", made.what);
    }
    for (what, reason) in skipped_things {
        skipped(what, reason);
    }
}

/// Fails unless the rows are the mappings of `smaps`, and have as many frames and huge pages as it says.
#[track_caller]
pub(crate) fn assert_as_smaps(process: &Value, pid: u32) {
    let smaps = smaps(pid).unwrap();
    let bounds = |row: &Value| (hex_address(&row["start"]), hex_address(&row["end"]));
    let ours: Vec<_> = rows(process).iter().map(bounds).collect();
    let theirs: Vec<_> = smaps.iter().map(|mapping| (mapping.start, mapping.end)).collect();
    assert_eq!(ours, theirs, "the mappings");
    for (row, mapping) in rows(process).iter().zip(&smaps) {
        assert_eq!(resident(row), mapping.pages(&["Rss"]), "Rss of {row}");
        let hugetlb = mapping.pages(&["Private_Hugetlb", "Shared_Hugetlb"]);
        if row["kind"] == "hugetlb" {
            assert_eq!(number(&row["present_pages"]), hugetlb, "hugetlb pages of {row}");
        } else {
            assert_eq!(hugetlb, 0, "smaps counts hugetlb pages in {row}");
            let huge = mapping.pages(&["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"]);
            // The huge zero page is also mapped by a PMD, but smaps leaves it out.
            let huge_zero = number_or_zero(&row["huge_pages"]).min(number_or_zero(&row["zero_pages"]));
            assert_eq!(number_or_zero(&row["huge_pages"]) - huge_zero, huge, "huge pages of {row}");
        }
        // smaps also counts swapped-out shared memory, which leaves no entry.
        if row["kind"] == "anon" {
            assert_eq!(number(&row["swapped_pages"]), mapping.pages(&["Swap"]), "Swap of {row}");
        }
    }
}

/// Fails unless the ledger is the sum of the rows, equals every counter of the kernel, and leaves nothing unexplained.
#[track_caller]
pub(crate) fn assert_ledger(process: &Value, pid: u32) {
    let ledger = &process["ledger"];
    let sum = |field: &str| rows(process).iter().map(|row| number_or_zero(&row[field])).sum::<u64>();
    for field in ["present_pages", "zero_pages", "swapped_pages", "guard_pages"] {
        assert_eq!(number(&ledger[field]), sum(field), "{field} of the ledger: {ledger}");
    }
    let counted: u64 = rows(process).iter().map(resident).sum();
    assert_eq!(number(&ledger["resident_pages"]), counted, "the rows' frames: {ledger}");
    assert_eq!(number(&ledger["resident_pages"]), statm_resident(pid).unwrap(), "statm: {ledger}");
    assert_eq!(number(&ledger["resident_pages"]), smaps_resident(pid).unwrap(), "smaps: {ledger}");
    assert_eq!(number(&ledger["statm_resident_pages"]), statm_resident(pid).unwrap(), "what statm is said to say");
    assert_eq!(number(&ledger["smaps_rss_pages"]), smaps_resident(pid).unwrap(), "what smaps is said to say");
    assert_eq!(number(&ledger["swapped_pages"]), status_pages(pid, "VmSwap").unwrap(), "VmSwap: {ledger}");
    let hugetlb = status_pages(pid, "HugetlbPages").unwrap_or(0);
    assert_eq!(number(&ledger["hugetlb_pages"]), hugetlb, "HugetlbPages: {ledger}");
    assert_eq!(ledger["unexplained_pages"], 0, "{ledger}");
    assert_eq!(ledger["held_still"], true, "{ledger}");
}

#[test]
fn every_kind_of_memory_is_counted_to_the_page() {
    let scene = Scene::start(&["everything"]);
    let process = pmem(["frames", "--verify", "--json", &scene.target()]).with_status(0).process();
    assert_eq!(process["pid"], scene.pid());
    assert_as_made(&process, &scene.report);
    assert_as_smaps(&process, scene.pid());
    assert_ledger(&process, scene.pid());
}

#[test]
fn a_child_that_writes_shares_the_rest() {
    let scene = Scene::start(&["everything"]);
    let child = &scene.report["child"];
    let pid = u32::try_from(number(&child["pid"])).unwrap();
    let process = pmem(["frames", "--verify", "--json", &pid.to_string()]).with_status(0).process();
    assert_as_made(&process, child);
    assert_as_smaps(&process, pid);
    assert_ledger(&process, pid);
}

#[test]
fn hugetlb_pages_are_present_and_not_resident() {
    if !Uid::effective().is_root() {
        return skipped("hugetlb_pages_are_present_and_not_resident", "only root can give the machine hugetlb pages");
    }
    // In its own process group, and not made to end with the test: it restores the setting when the test is gone.
    let lent = Scene::from_command(Command::new(workload()).args(["hugepages", "4"]).process_group(0));
    if let Some(reason) = lent.skipped() {
        return skipped("hugetlb_pages_are_present_and_not_resident", reason);
    }
    let scene = Scene::start(&["everything", "with-hugetlb"]);
    let process = pmem(["frames", "--verify", "--json", &scene.target()]).with_status(0).process();
    assert_as_made(&process, &scene.report);
    assert_as_smaps(&process, scene.pid());
    assert_ledger(&process, scene.pid());
    drop(scene);
    drop(lent);
}

#[test]
fn the_table_says_what_json_says() {
    let scene = Scene::start(&["everything"]);
    let process = pmem(["frames", "--json", &scene.target()]).with_status(0).process();
    let table = pmem(["frames", "--pages", &scene.target()]).with_status(0);
    let grouped = |number: u64| {
        let digits = number.to_string();
        let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
        groups.join(",")
    };
    let lines: Vec<Vec<&str>> = table.text().lines().map(|line| line.split_whitespace().collect()).collect();
    for row in rows(&process) {
        let address = format!("{:08x}", hex_address(&row["start"]));
        let line = lines.iter().find(|words| words.first() == Some(&address.as_str())).expect(&address);
        let present = match row["present_pages"].as_u64() {
            None => "-".to_owned(),
            Some(0) => "·".to_owned(),
            Some(pages) => grouped(pages),
        };
        assert_eq!(
            line[1..4],
            [row["perm"].as_str().unwrap(), &grouped(number(&row["size_pages"])), &present],
            "{row}"
        );
    }
    let ledger = &process["ledger"];
    for (field, words) in [
        ("present_pages", "page-table entries are present"),
        ("resident_pages", "frames resident"),
        ("statm_resident_pages", "statm agrees"),
        ("guard_pages", "are guard regions"),
    ] {
        let pages = grouped(number(&ledger[field]));
        let said = |line: &str| line.contains(words) && line.trim_start().starts_with(&pages);
        let nothing_to_say = field == "guard_pages" && pages == "0";
        assert!(nothing_to_say || table.text().lines().any(said), "{pages} {words}: {}", table.text());
    }
}

#[test]
fn the_kernel_tells_statm_exactly_or_the_ledger_says_how_far_it_may_be_off() {
    let scene = Scene::start(&["everything"]);
    let process = pmem(["frames", "--json", "--summary", &scene.target()]).with_status(0).process();
    let ledger = &process["ledger"];
    let off = number(&ledger["resident_pages"]).abs_diff(statm_resident(scene.pid()).unwrap());
    assert!(off <= ledger["statm_bound_pages"].as_u64().unwrap_or(0), "statm is off by {off} pages: {ledger}");
}
