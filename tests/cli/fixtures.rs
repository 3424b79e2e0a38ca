//! The recorded trees in `fixtures/`: the results for each are unchanged, and what is known about it holds.
//!
//! The expected results are next to each tree: `NAME.txt`, `NAME.csv` and `NAME.json` are pmem's output (updated by
//! `SNAPSHOTS=overwrite cargo test`), and if a program made the memory, `NAME.known` is what it reported.

mod hostile;
mod round_trip;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use snapbox::{Assert, Data};

use crate::support::json::{name_bytes, number, number_or_zero, row_at, rows};
use crate::support::run::{Finished, finish, pmem};
use crate::support::text::assert_no_control;
use crate::support::tree::fixtures;

/// The numbers of a ledger, in this order.
const LEDGER: [&str; 10] = [
    "present_pages",
    "zero_pages",
    "hugetlb_pages",
    "resident_pages",
    "statm_resident_pages",
    "smaps_rss_pages",
    "swapped_pages",
    "guard_pages",
    "marker_pages",
    "special_pages",
];

/// Every tree and its ledger. Those made by hand were made with these numbers. For the others, the programs report
/// which pages are zero, hugetlb, swapped out, guards and markers, and the kernel's own statm (exact on 6.12 and 6.18)
/// and smaps (exact everywhere) how many are resident; `fixtures/README.md` has the calculations.
const TREES: &[(&str, [u64; 10])] = &[
    ("4.19/scene", [565, 20, 0, 545, 540, 545, 0, 0, 0, 0]),
    ("5.4/scene", [555, 20, 512, 23, 14, 23, 14, 0, 0, 0]),
    ("5.10/scene", [555, 20, 512, 23, 14, 23, 14, 0, 0, 0]),
    ("6.1/kinds", [3000, 555, 1024, 1421, 1361, 1421, 523, 0, 5, 0]),
    ("6.1/ksm", [222, 16, 0, 206, 195, 206, 0, 0, 0, 0]),
    ("6.1/sparse", [272, 0, 0, 272, 211, 272, 0, 0, 0, 0]),
    ("6.1/tmpfs", [346, 40, 0, 306, 273, 306, 0, 0, 0, 0]),
    // Without privilege swap types are hidden: the five markers look like swapped-out pages.
    ("6.1/user", [1971, 555, 0, 1416, 1363, 1416, 528, 0, 0, 0]),
    ("6.12/kinds", [2998, 555, 1024, 1419, 1419, 1419, 523, 0, 5, 0]),
    ("6.12/ksm", [220, 16, 0, 204, 204, 204, 0, 0, 0, 0]),
    ("6.12/user", [1970, 555, 0, 1415, 1415, 1415, 528, 0, 0, 0]),
    ("6.14/scene", [1075, 532, 0, 543, 513, 543, 10, 4, 0, 0]),
    // Without swap types and without bit 58, the four guard pages cannot be identified.
    ("6.14/user", [1075, 532, 0, 543, 513, 543, 0, 0, 0, 4]),
    ("6.18/bash", [777, 0, 0, 777, 777, 777, 0, 0, 0, 0]),
    ("6.18/kinds", [2966, 555, 1024, 1387, 1387, 1387, 0, 4, 5, 0]),
    ("6.18/names", [295, 0, 0, 295, 295, 295, 0, 0, 0, 0]),
    ("6.18/sleep", [358, 0, 0, 358, 358, 358, 0, 0, 0, 0]),
    ("6.18/sparse", [277, 0, 0, 277, 277, 277, 0, 0, 0, 0]),
    ("6.18/swapped", [818, 511, 0, 307, 307, 307, 12, 4, 5, 0]),
    ("6.18/user", [1937, 555, 0, 1382, 1382, 1382, 0, 4, 0, 0]),
    ("arm64-16k/scene", [2186, 1, 128, 2057, 2057, 2057, 2, 1, 0, 0]),
    ("arm64-4k/scene", [538, 1, 16, 521, 521, 521, 2, 1, 0, 0]),
    ("arm64-64k/scene", [107, 11, 32, 64, 44, 64, 0, 0, 0, 0]),
    ("x86-64-la57/scene", [262_667, 1, 262_144, 522, 522, 522, 2, 1, 0, 0]),
];

/// The trees with several processes, which the tests of other commands use.
const SEVERAL_PROCESSES: [&str; 3] = ["6.1/machine", "6.12/machine", "6.18/forks"];

/// `pmem frames` on a tree.
fn frames(tree: &str, arguments: &[&str]) -> Finished {
    let root = fixtures().join(tree);
    pmem(["--root", root.to_str().unwrap(), "frames", "--verify"].iter().chain(arguments)).with_status(0)
}

/// Whether a tree was recorded by a user who may see frames.
fn has_frames(tree: &str) -> bool {
    fixtures().join(tree).join("proc/kpagecount").exists()
}

/// Compares output with the file next to a tree.
#[track_caller]
fn assert_as_before(actual: &str, tree: &str, extension: &str) {
    // Unmodified: backslashes in escaped names are not path separators.
    let expected = Data::read_from(&fixtures().join(format!("{tree}.{extension}")), None).raw();
    Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(Data::text(actual).raw(), expected);
}

#[test]
fn every_tree_gives_the_tables_it_always_gave() {
    for (tree, _) in TREES {
        let owners: &[&str] = if has_frames(tree) { &["--owners"] } else { &[] };
        let table = frames(tree, owners);
        assert_no_control(&table.stdout, tree);
        assert_as_before(table.text(), tree, "txt");
        let csv = frames(tree, &[owners, &["--format", "csv", "-o", CSV_COLUMNS]].concat());
        assert_no_control(&csv.stdout, tree);
        assert_as_before(csv.text(), tree, "csv");
        let mut document = frames(tree, &["--json", "--summary"]).json();
        document["time"] = json!("now");
        assert_as_before(&(serde_json::to_string_pretty(&document).unwrap() + "\n"), tree, "json");
    }
}

/// Everything in a row, and two keys of smaps of which some kernels have only one.
const CSV_COLUMNS: &str =
    "address,perm,size,present,zero,huge,swap,guard,kind,Rss,Pss_Dirty,THPeligible,VmFlags,mapping";

#[test]
fn every_ledger_is_what_is_known_of_the_process() {
    for (tree, expected) in TREES {
        let process = frames(tree, &["--json"]).process();
        let ledger = &process["ledger"];
        let found = LEDGER.map(|name| number(&ledger[name]));
        assert_eq!(found, *expected, "{tree}: {LEDGER:?}");
        assert_eq!(found[0] - found[1] - found[2], found[3], "{tree}: present less zero less hugetlb is resident");
        assert_eq!(ledger["unexplained_pages"], 0, "{tree}");
        // Each mapping is as the kernel counts it in its own walk.
        for row in rows(&frames(tree, &["--json", "-o", "+Rss,Private_Hugetlb,Shared_Hugetlb"]).process()) {
            assert_row_is_as_in_smaps(tree, row);
        }
    }
}

/// smaps counts what is present in a mapping, without zero pages.
fn assert_row_is_as_in_smaps(tree: &str, row: &Value) {
    let page = match tree {
        "arm64-64k/scene" => 65536,
        "arm64-16k/scene" => 16384,
        _ => 4096,
    };
    let in_smaps = ["Rss_bytes", "Private_Hugetlb_bytes", "Shared_Hugetlb_bytes"].map(|key| number(&row["smaps"][key]));
    let present = number_or_zero(&row["present_pages"]);
    assert_eq!(present - number_or_zero(&row["zero_pages"]), in_smaps.iter().sum::<u64>() / page, "{tree}: {row}");
    assert_eq!(row["kind"] == "hugetlb" && present > 0, in_smaps[1] + in_smaps[2] > 0, "{tree}: {row}");
}

#[test]
fn every_mapping_is_what_the_program_made() {
    for (tree, _) in TREES {
        let Ok(known) = fs::read_to_string(fixtures().join(format!("{tree}.known"))) else { continue };
        let owners: &[&str] = if has_frames(tree) { &["--json", "--owners"] } else { &["--json"] };
        let process = frames(tree, owners).process();
        for line in known.lines().filter(|line| !line.starts_with('#')) {
            let (place, claims) = line.split_at(line.match_indices(' ').nth(2).unwrap().0);
            let [what, address, length] = place.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let hex = |text| u64::from_str_radix(text, 16).unwrap();
            let row = row_at(&process, hex(address));
            assert_eq!(number(&row["size_pages"]), hex(length) / 4096, "{tree}, {what}");
            // Nothing is known about a mapping that was skipped.
            if row["present_pages"].is_null() {
                assert!(tree.starts_with("6.1/") && number(&row["size_pages"]) > 1 << 18, "{tree}, {what}: {row}");
                continue;
            }
            let claims: Vec<_> = claims.split_whitespace().map(|claim| claim.split_once('=').unwrap()).collect();
            for (key, value) in &claims {
                let field = if *key == "kind" { "kind".to_owned() } else { format!("{key}_pages") };
                // Owners are known only if frames are.
                if !row[&field].is_null() || has_frames(tree) {
                    let found = row[&field].as_str().map_or_else(|| number(&row[&field]).to_string(), str::to_owned);
                    assert_eq!(found, *value, "{tree}, {what}: {field}");
                }
            }
            // What it does not claim must not be there.
            for other in ["zero", "swapped", "guard", "marker", "special"] {
                let claimed = claims.iter().any(|(key, _)| *key == other);
                assert!(claimed || row[format!("{other}_pages")] == 0, "{tree}, {what}: {other}, {row}");
            }
        }
    }
}

#[test]
fn a_range_of_rows_leaves_the_ledger_as_it_is() {
    // If zero pages are only inferred from what smaps leaves out, those in part of a mapping are not known.
    for (tree, expected) in TREES.iter().filter(|(tree, _)| *tree != "6.1/user") {
        // Begins and ends within mappings in most trees.
        let process = frames(tree, &["--json", "--range", "200080003000-7f2a50010000"]).process();
        assert_eq!(LEDGER.map(|name| number(&process["ledger"][name])), *expected, "{tree}");
    }
}

#[test]
fn owners_are_the_pss_of_smaps() {
    for (tree, _) in TREES.iter().filter(|(tree, _)| has_frames(tree)) {
        let process = frames(tree, &["--json", "--owners", "-o", "+Pss"]).process();
        for row in rows(&process).iter().filter(|row| row["kind"] != "hugetlb" && !row["present_pages"].is_null()) {
            // smaps has it in kB, rounded down.
            assert_eq!(number(&row["pss_bytes"]) / 1024, number(&row["smaps"]["Pss_bytes"]) / 1024, "{tree}: {row}");
            let owned = number(&row["exclusive_pages"]) + number(&row["shared_pages"]);
            assert_eq!(owned, number(&row["present_pages"]) - number(&row["zero_pages"]), "{tree}: {row}");
        }
    }
}

#[test]
fn owners_of_a_tree_without_frames_are_refused() {
    for (tree, _) in TREES.iter().filter(|(tree, _)| !has_frames(tree)) {
        let root = fixtures().join(tree);
        let refused = pmem(["--root", root.to_str().unwrap(), "frames", "--owners"]).with_status(4);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("CAP_SYS_ADMIN"), "{}", refused.stderr);
    }
}

#[test]
fn names_are_whole_in_json() {
    let process = frames("6.18/names", &["--json"]).process();
    assert_eq!(name_bytes(&process, "comm"), b"a) R 1 (\x1b[2J");
    let names: Vec<_> = rows(&process).iter().map(|row| name_bytes(row, "name")).collect();
    // maps itself writes a newline as \012, so the second and the last look the same.
    for name in [
        &b"esc\x1b[31m\x07red"[..],
        b"new\\012line",
        b"bad\xff\xfeutf8",
        b"gone (deleted)",
        b"really gone (deleted)",
        b"SYSVx",
        "rtl\u{202e}override".as_bytes(),
        b"  spaces  ",
        b"lit\\012eral",
    ] {
        let path = [b"/home/user/w/", name].concat();
        assert!(names.contains(&path), "{}", path.escape_ascii());
    }
    let kinds: BTreeSet<_> = rows(&process).iter().filter_map(|row| row["kind"].as_str()).collect();
    assert!(!kinds.contains("shmem"), "a file is no shared memory because of its name");
}

#[test]
fn a_tree_is_read_by_the_rules_of_its_own_machine() {
    // 64 KiB pages: 128 KiB is two of them.
    let document = frames("arm64-64k/scene", &["--json"]).json();
    assert_eq!(document["host"]["page_size"], 65536);
    let process = &document["data"]["processes"][0];
    assert_eq!(row_at(process, 0xaaaa_c5a3_0000)["size_pages"], 2);
    // Linux 4.19 does not have these keys: that is reported, and does not count as zero.
    let old = frames("4.19/scene", &["-o", "+THPeligible,Pss_Dirty", "--json"]);
    assert!(rows(&old.process()).iter().all(|row| row["smaps"]["THPeligible"].is_null()));
    assert!(old.text().contains("no THPeligible on this kernel"), "{}", old.text());
    // One line of 5.4 has tabs where other kernels have spaces.
    let eligible = |tree: &str| rows(&frames(tree, &["-o", "+THPeligible", "--json"]).process())[0]["smaps"].clone();
    assert_eq!(eligible("5.4/scene"), eligible("5.10/scene"));
    assert_eq!(eligible("5.4/scene")["THPeligible"], 0);
    for tree in ["4.19/scene", "5.10/scene", "6.1/kinds", "6.14/scene"] {
        assert!(number(&frames(tree, &["--json"]).process()["ledger"]["statm_bound_pages"]) > 0, "{tree}");
    }
}

#[test]
fn the_bound_of_statm_holds() {
    for (tree, numbers) in TREES {
        let bound = &frames(tree, &["--json"]).process()["ledger"]["statm_bound_pages"];
        assert!(numbers[3].abs_diff(numbers[4]) <= number_or_zero(bound), "{tree}: bound {bound}");
    }
    // 10 faults on a cached file mapped 348 pages that statm did not include yet: a fault maps the 16 pages around it.
    let bound = number(&frames("6.1/kinds", &["--json"]).process()["ledger"]["statm_bound_pages"]);
    assert!(bound >= 562, "562 were seen missing on this kernel, and the bound is {bound}");
}

#[test]
fn no_tree_is_forgotten_or_tells_of_the_machine_it_was_made_on() {
    let mut found = BTreeSet::new();
    let mut bytes = 0;
    let mut waiting = vec![fixtures()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(path);
                continue;
            }
            assert!(kind.is_file(), "{}: no links or anything else", path.display());
            let text = fs::read(&path).unwrap();
            bytes += text.len();
            let holds = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
            for place in [&b"/work"[..], b"/tmp/", b"/root/."] {
                assert!(!holds(place), "{} holds {}", path.display(), place.escape_ascii());
            }
            if path.ends_with("pmem-capture.json") {
                let manifest: Value = serde_json::from_slice(&text).unwrap();
                assert!(manifest["origin"].as_str().is_some_and(|origin| origin.len() > 40), "{}", path.display());
                found.insert(path.parent().unwrap().strip_prefix(fixtures()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    // The trees of whole machines' memory are tested in memory_trees.rs.
    found.retain(|tree| !tree.ends_with("/memory"));
    let nodes = super::numa::TREES.iter().map(|(tree, _)| *tree);
    let known = TREES.iter().map(|(tree, _)| *tree).chain(SEVERAL_PROCESSES).chain(nodes);
    assert_eq!(found, known.map(str::to_owned).collect());
    assert!(bytes < 2_800_000, "fixtures take {bytes} bytes");
}

#[test]
fn the_local_time_does_not_matter_to_a_tree() {
    let root = fixtures().join("4.19/scene");
    let in_zone = |zone: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        finish(command.env("TZ", zone).arg("--root").arg(&root).arg("frames")).with_status(0).stdout
    };
    assert_eq!(in_zone("UTC"), in_zone("Pacific/Auckland"));
}
