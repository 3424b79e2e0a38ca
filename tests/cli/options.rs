//! The effect of options on the output, with one recorded tree.

use std::path::Path;

use serde_json::Value;

use crate::support::run::{Finished, pmem};

fn frames(arguments: &[&str]) -> Finished {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/6.18/sleep");
    pmem([&["--root", tree.to_str().unwrap(), "frames"], arguments].concat())
}

fn ledger(arguments: &[&str]) -> Value {
    frames(&[&["--json", "--verify"], arguments].concat()).with_status(0).process()["ledger"].take()
}

#[test]
fn a_range_that_divides_pages_shows_them_whole_and_leaves_the_ledger() {
    let whole = ledger(&[]);
    assert_eq!(whole["unexplained_pages"], 0);
    let process = frames(&["--json"]).with_status(0).process();
    let row = process["vmas"].as_array().unwrap().iter().find(|row| row["present_pages"] == row["size_pages"]).unwrap();
    let start = u64::from_str_radix(row["start"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let range = format!("{:x}-{:x}", start + 1, start + 2);
    assert_eq!(ledger(&["--range", &range]), whole);
    let cut = frames(&["--json", "--range", &range]).with_status(0).process();
    let [row] = &cut["vmas"].as_array().unwrap()[..] else { panic!("one page: {cut}") };
    assert_eq!((&row["size_pages"], &row["present_pages"]), (&1.into(), &1.into()));
}

#[test]
fn csv_has_permissions_as_they_are() {
    let csv = frames(&["--format", "csv", "-o", "perm,mapping"]).with_status(0);
    assert!(csv.text().contains(",--xp,[vsyscall]\n"), "{}", csv.text());
    assert!(csv.text().lines().any(|line| line.ends_with(',')), "anonymous mappings have no name: {}", csv.text());
}

#[test]
fn totals_are_sums_wherever_the_column_stands() {
    let process = frames(&["--json"]).with_status(0).process();
    let present = process["ledger"]["present_pages"].to_string();
    let table = frames(&["-o", "present,mapping", "--no-headings"]).with_status(0);
    let total = table.text().lines().find(|line| line.trim() == present);
    assert!(total.is_some(), "no total of {present}: {}", table.text());
    let nothing = frames(&["-o", "address,present", "--match", "no such name"]).with_status(0);
    assert!(nothing.text().lines().any(|line| line.split_whitespace().eq(["total", "·"])), "{}", nothing.text());
}

#[test]
fn units_stand_above_their_columns() {
    let table = frames(&["-k"]).with_status(0);
    assert!(table.text().contains("SIZE KiB  PRESENT KiB"), "{}", table.text());
    for wrong in [&["-k", "-b"][..], &["--json", "--format", "csv"], &["-q", "-v"], &["--force"], &["-o", "change"]] {
        frames(wrong).with_status(2);
    }
    frames(&["--summary", "--match", "x"]).with_status(2);
}

#[test]
fn a_column_asks_for_what_it_needs() {
    let owners = frames(&["-o", "address,pss", "--json"]).with_status(0).process();
    assert!(owners["vmas"][0]["pss_bytes"].is_u64(), "{owners}");
    assert_eq!(owners["exclusive_pages"].as_u64().unwrap() + owners["shared_pages"].as_u64().unwrap(), {
        let resident = owners["ledger"]["resident_pages"].as_u64();
        resident.unwrap()
    });
}

#[test]
fn columns_are_listed_without_arguments() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/6.12/machine");
    let on_tree = |arguments: &[&str]| pmem([&["--root", tree.to_str().unwrap()], arguments].concat());
    for (command, column) in [
        (&["page"][..], "folio.head_pfn"),
        (&["translate"], "physical_address"),
        (&["translate", "1"], "physical_address"),
        (&["rmap"], "shares_with"),
        (&["decode"], "physical_address"),
        (&["where", "diff"], "change_bytes"),
        (&["slab", "diff"], "active_objects_per_hour"),
    ] {
        for option in [&["-o", "help"][..], &["--columns=help"]] {
            let help = on_tree(&[command, option].concat()).with_status(0);
            assert!(help.text().contains(column), "{command:?}: {}", help.text());
        }
    }
    assert!(pmem(["file", "-o", "help"]).with_status(0).text().contains("cached_pages"));
    // Anything else needs them.
    for command in [&["page"][..], &["translate"], &["rmap"], &["decode"], &["where", "diff"], &["file"]] {
        for options in [&[][..], &["-o", "+help"], &["-o", "pid"], &["-o", "help", "--no-such-option"]] {
            let refused = pmem([command, options].concat()).with_status(2);
            assert!(refused.text().is_empty() && refused.stderr.contains("Usage: pmem"), "{command:?} {options:?}");
        }
    }
    // A command without columns stays incomplete.
    let refused = pmem(["capture", "-o", "help"]).with_status(2);
    assert!(refused.stderr.contains("<DIR>"), "{}", refused.stderr);
}
