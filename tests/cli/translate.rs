//! `pmem translate` over recorded trees: every page size and number of levels, computed by hand; and trees that lie.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::json::{hex_address, number};
use crate::support::run::{Finished, finish, pmem};
use crate::support::text::assert_no_control;

fn fixture(tree: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(tree)
}

/// The only process in a tree.
fn process_of(root: &Path) -> String {
    let names = std::fs::read_dir(root.join("proc")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut pids = names.filter_map(|name| name.into_string().ok()).filter(|name| name.parse::<u32>().is_ok());
    pids.next().expect("a process")
}

fn translate(tree: &str, arguments: &[&str]) -> Finished {
    let root = fixture(tree);
    pmem([&["--root", root.to_str().unwrap(), "translate", &process_of(&root)], arguments].concat())
}

fn data(tree: &str, address: &str) -> Value {
    let document = translate(tree, &["--json", address]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.translate/1");
    document["data"].clone()
}

/// `PGD 254 PUD 89 …`
fn walk(data: &Value) -> String {
    let steps = data["levels"].as_array().expect("levels");
    let steps: Vec<String> =
        steps.iter().map(|step| format!("{} {}", step["name"].as_str().unwrap(), step["index"])).collect();
    steps.join(" ")
}

/// What the trees made by hand contain. Indices are computed from the digits of the address: with 4 KiB pages the
/// lowest 12 bits and then 9 for each level, with 16 KiB 14 and 11, with 64 KiB 16 and 13.
#[test]
fn every_walk_is_the_one_done_by_hand() {
    // Tree, address, walk, byte, state, frame, size of the page.
    type Case<'a> = (&'a str, &'a str, &'a str, u64, &'a str, Option<u64>, u64);
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("x86-64-la57", "0xab7f1668a3c123", "PGD 171 P4D 254 PUD 89 PMD 325 PTE 60", 0x123, "present", Some(0x14_9efe), 4096),
        ("x86-64-la57", "ab7f1668a3d000", "PGD 171 P4D 254 PUD 89 PMD 325 PTE 61", 0, "zero", Some(0xe00), 4096),
        ("x86-64-la57", "ab7f1668a3f001", "PGD 171 P4D 254 PUD 89 PMD 325 PTE 63", 1, "swapped", None, 0),
        ("x86-64-la57", "ab7f1668a40fff", "PGD 171 P4D 254 PUD 89 PMD 325 PTE 64", 0xfff, "guard", None, 0),
        ("x86-64-la57", "ab7f1668a41000", "PGD 171 P4D 254 PUD 89 PMD 325 PTE 65", 0, "none", None, 0),
        ("x86-64-la57", "ab7f1668c12345", "PGD 171 P4D 254 PUD 89 PMD 326", 0x1_2345, "present", Some(0x4_0012), 2 << 20),
        ("x86-64-la57", "ab7fc012345678", "PGD 171 P4D 255 PUD 256", 0x1234_5678, "present", Some(0x9_2345), 1 << 30),
        ("x86-64-la57", "[vvar]+0x10", "PGD 0 P4D 255 PUD 511 PMD 447 PTE 449", 0x10, "not_shown", None, 0),
        ("x86-64-la57", "[stack]-0x1", "PGD 0 P4D 255 PUD 511 PMD 511 PTE 510", 0xfff, "present", Some(0x2302), 4096),
        ("x86-64-la57", "ffffffffff600000", "PGD 511 P4D 511 PUD 511 PMD 507 PTE 0", 0, "not_shown", None, 0),
        ("x86-64-la57", "1000", "PGD 0 P4D 0 PUD 0 PMD 0 PTE 1", 0, "no_mapping", None, 0),
        ("arm64-4k", "0xffff9f3d2345", "PGD 511 PUD 510 PMD 249 PTE 466", 0x345, "present", Some(0x14_9f00), 4096),
        // The same with a tag in the byte that arm64 ignores.
        ("arm64-4k", "0xb400ffff9f3d2345", "PGD 511 PUD 510 PMD 249 PTE 466", 0x345, "present", Some(0x14_9f00), 4096),
        ("arm64-4k", "ffff70012345", "PGD 511 PUD 509 PMD 384", 0x1_2345, "present", Some(0x14_0012), 2 << 20),
        // A hugetlb page of 64 KiB is 16 adjacent entries.
        ("arm64-4k", "ffff80001234", "PGD 511 PUD 510 PMD 0 PTE 1", 0x234, "present", Some(0x10_8001), 64 << 10),
        ("arm64-16k", "0xffff9f3d2345", "PGD 1 PUD 2047 PMD 1999 PTE 1268", 0x2345, "present", Some(0x14_9efe), 16384),
        ("arm64-16k", "0x500000004001", "PGD 0 PUD 1280 PMD 0 PTE 1", 1, "present", Some(0x10_2400), 16384),
        ("arm64-16k", "ffff70012345", "PGD 1 PUD 2047 PMD 1976", 0x1_2345, "present", Some(0x14_0004), 32 << 20),
        ("arm64-16k", "ffff80012345", "PGD 1 PUD 2047 PMD 1984 PTE 4", 0x2345, "present", Some(0x10_8004), 2 << 20),
        ("arm64-64k", "ffff70012345", "PGD 63 PMD 8187 PTE 4097", 0x2345, "present", Some(0x3001), 65536),
        ("arm64-64k", "ffff703c0000", "PGD 63 PMD 8187 PTE 4156", 0, "zero", Some(0xe0), 65536),
        ("arm64-64k", "ffff80012345", "PGD 63 PMD 8188 PTE 1", 0x2345, "present", Some(0x8001), 2 << 20),
        ("arm64-64k", "scene+0x10000", "PGD 42 PMD 5462 PTE 1444", 0, "present", Some(0x1001), 65536),
    ];
    for &(tree, address, expected, byte, state, pfn, mapped) in cases {
        let found = data(&format!("{tree}/scene"), address);
        let what = format!("{tree}, {address}: {found}");
        assert_eq!(walk(&found), expected, "{what}");
        assert_eq!((number(&found["page_offset"]), found["state"].as_str().unwrap()), (byte, state), "{what}");
        assert_eq!(
            (found["pfn"].as_u64(), found["mapped_bytes"].as_u64()),
            (pfn, Some(mapped).filter(|&m| m > 0)),
            "{what}"
        );
        // The indices and the byte make up the address.
        let steps = found["levels"].as_array().unwrap().iter();
        let sum = steps.map(|step| number(&step["index"]) << number(&step["shift"])).sum::<u64>() + byte;
        let bits = if tree == "x86-64-la57" { 57 } else { 48 };
        assert_eq!(sum, hex_address(&found["address"]) & ((1 << bits) - 1), "{what}");
        if let Some(pfn) = pfn {
            let page: u64 =
                [("arm64-16k", 16384), ("arm64-64k", 65536)].iter().find(|p| p.0 == tree).map_or(4096, |p| p.1);
            let physical = pfn * page + hex_address(&found["address"]) % page;
            assert_eq!(hex_address(&found["physical_address"]), physical, "{what}");
        }
    }
}

/// Trees of every kernel: how a walk ends is known from a scan, and before Linux 6.7 from smaps, words and flags.
#[test]
fn huge_pages_end_the_walk_at_their_level_on_every_kernel() {
    for (tree, address, state, levels) in [
        ("4.19/scene", "7f2a40000000", "present", 3),
        // What the programs of these trees made: a huge page, the huge zero page, a split one, and two hugetlb pages.
        ("6.1/kinds", "200100000123", "present", 3),
        ("6.1/kinds", "200180000123", "zero", 3),
        ("6.1/kinds", "200200001123", "present", 4),
        ("6.1/kinds", "200400000123", "present", 3),
        ("6.1/kinds", "200480000123", "present", 3),
        ("6.1/user", "200100000123", "present", 3),
        ("6.1/user", "200180000123", "zero", 3),
        ("6.1/user", "200200001123", "present", 4),
        ("6.18/kinds", "200100000123", "present", 3),
        ("6.18/kinds", "200180000123", "zero", 3),
        ("6.18/kinds", "200200001123", "present", 4),
        ("6.18/kinds", "200400000123", "present", 3),
        ("6.18/kinds", "200480000123", "present", 3),
        ("6.14/scene", "7f2a40000123", "zero", 3),
        ("6.14/user", "7f2a40000123", "zero", 3),
        ("6.14/scene", "7f2a40400000", "present", 3),
        ("6.14/scene", "7f2a50000000", "zero", 4),
    ] {
        let run = translate(tree, &["--json", address]);
        let found = run.json()["data"].clone();
        let what = format!("{tree}, {address}: {found}");
        assert_eq!(
            (found["state"].as_str().unwrap(), found["levels"].as_array().unwrap().len()),
            (state, levels),
            "{what}"
        );
        assert_eq!(run.status, if tree.ends_with("user") { 4 } else { 0 }, "{what}");
    }
}

/// Up to Linux 6.10 a huge page has no bit 61, and up to 6.16 scans do not report the huge zero page: without frame
/// flags it looks like any other shared huge page.
#[test]
fn what_may_be_the_huge_zero_page_is_not_called_a_fact() {
    let without_bit_61 =
        |text: String| text.replace("7f2a40000 200 a0", "7f2a40000 200 80").replace("7f2a50020 7 81", "7f2a50020 7 80");
    let told = |text: String| text.replace("\"scan_huge_zero\": false", "\"scan_huge_zero\": true");
    let old = [("proc/PID/pagemap", &without_bit_61 as &dyn Fn(String) -> String)];
    let new = [old[0], ("pmem-capture.json", &told)];
    for (changes, address, noted) in [
        (&old[..], "7f2a40000123", true),
        (&new, "7f2a40000123", false),
        // Mapped once, which the zero page never is; and a small page, which scans do report.
        (&old, "7f2a40400000", false),
        (&old, "7f2a50020000", false),
    ] {
        let document = of_changed("6.14/user", changes, &["--json", address]).with_status(4).json();
        assert_eq!(document["data"]["state"], "present", "{document}");
        assert_eq!(document["notes"].to_string().contains("zero-unknown"), noted, "{address}: {document}");
    }
    let table = of_changed("6.14/user", &old, &["7f2a40000123"]).with_status(4);
    assert!(table.text().contains("may also be the huge zero page"), "{}", table.text());
}

/// What the programs in these trees made: the `.known` files next to them.
#[test]
fn what_is_no_frame_is_told_apart() {
    for (tree, address, state, swap, part) in [
        ("6.18/swapped", "200180000000", "swapped", json!({"type": 0, "offset": 1}), "swapped out"),
        ("6.18/swapped", "20018000a000", "swapped", json!({"type": 0, "offset": 11}), "swapped out"),
        ("6.18/swapped", "200100003000", "marker", Value::Null, "userfaultfd"),
        ("6.18/swapped", "200280001000", "zero", Value::Null, "zero page"),
        // Shared memory that was swapped out leaves no trace.
        ("6.18/swapped", "200200000000", "none", Value::Null, "swapped-out shared memory, which leaves no trace"),
        ("6.18/kinds", "[vvar]", "not_shown", Value::Null, "shows no entries"),
        ("6.1/user", "200b80000000", "swapped", Value::Null, "or a marker"),
        ("6.14/scene", "7f2a51010000", "guard", Value::Null, "guard region"),
        ("6.14/user", "7f2a51010000", "special", Value::Null, "hidden from this user"),
    ] {
        let run = translate(tree, &["--json", address]);
        let found = &run.json()["data"];
        assert_eq!((&found["state"], &found["swap"]), (&json!(state), &swap), "{tree}, {address}: {found}");
        assert!(found["why"].as_str().unwrap().contains(part), "{tree}, {address}: {}", found["why"]);
        assert_eq!(run.status, if tree.ends_with("user") { 4 } else { 0 }, "{tree}, {address}: {}", run.stderr);
    }
}

#[test]
fn what_a_frame_is_stands_beside_the_walk() {
    let found = data("x86-64-la57/scene", "ab7f1668a3c123");
    assert_eq!(found["entry"], "0x8000000000149efe");
    assert_eq!((&found["class"], number(&found["mapcount"])), (&json!("anon"), 7));
    assert_eq!(
        (&found["cgroup"], &found["zone"], &found["node"]),
        (&json!("/user.slice"), &json!("Normal"), &json!(0))
    );
    assert_eq!((&found["vma"]["start"], &found["vma"]["kind"]), (&json!("0xab7f1668a3c000"), &json!("anon")));
    let huge = data("x86-64-la57/scene", "ab7f1668c12345");
    assert_eq!(huge["folio"], json!({"head_pfn": 0x4_0000, "order": 9, "frames": 512, "index": 18}));
    let swapped = data("x86-64-la57/scene", "ab7f1668a3f000");
    assert_eq!(swapped["swap"], json!({"type": 0, "offset": 0x52}));
    let program = data("x86-64-la57/scene", "/usr/bin/scene+0x2010");
    assert_eq!((&program["address"], &program["file_offset"]), (&json!("0x555555556010"), &json!(0x2010)));
    let none = data("x86-64-la57/scene", "0x100000000");
    assert_eq!((&none["below"], &none["above"]["start"]), (&Value::Null, &json!("0x555555554000")));
}

#[test]
fn what_is_no_address_of_a_process_is_said_to_be_none() {
    for (tree, address, part) in [
        ("x86-64-la57/scene", "100000000000000", "not canonical"),
        ("x86-64-la57/scene", "fffffffffff000", "end of user space"),
        ("x86-64-la57/scene", "ff00000000000000", "kernel half"),
        ("6.18/sleep", "7ffffffff000", "end of user space"),
        ("6.18/sleep", "800000000000", "not canonical"),
        ("6.18/sleep", "ffff888000000000", "kernel half"),
        ("arm64-16k/scene", "1000000000000", "not canonical"),
        ("arm64-16k/scene", "ffff000000000000", "kernel half"),
    ] {
        let found = data(tree, address);
        assert_eq!((&found["state"], &found["levels"]), (&json!("not_user"), &Value::Null), "{tree}, {address}");
        assert!(found["why"].as_str().unwrap().contains(part), "{tree}, {address}: {}", found["why"]);
    }
}

/// The kernels counted the tables of these processes themselves.
#[test]
fn the_tables_that_are_needed_are_those_that_vm_pte_counts() {
    for tree in [
        "6.1/kinds",
        "6.1/ksm",
        "6.1/sparse",
        "6.1/tmpfs",
        "6.1/user",
        "6.12/kinds",
        "6.12/ksm",
        "6.12/user",
        "6.18/bash",
        "6.18/kinds",
        "6.18/names",
        "6.18/sleep",
        "6.18/sparse",
        "6.18/swapped",
        "6.18/user",
        "x86-64-la57/scene",
        "arm64-4k/scene",
        "arm64-16k/scene",
    ] {
        let run = translate(tree, &["--tables", "--json"]).with_status(0);
        let found = &run.json()["data"];
        let counted = found["tables"].as_array().unwrap().iter().filter(|level| level["in_vm_pte"] == true);
        let sum: u64 = counted.map(|level| number(&level["tables"])).sum();
        assert_eq!(number(&found["needed_tables"]), sum, "{tree}");
        assert_eq!((number(&found["vm_pte_tables"]), &found["unneeded_tables"]), (sum, &json!(0)), "{tree}: {found}");
        let table = translate(tree, &["--tables"]).with_status(0);
        assert!(table.text().contains("agrees"), "{tree}: {}", table.text());
    }
    let more = translate("arm64-64k/scene", &["--tables"]).with_status(0);
    assert!(more.text().contains("6 more") && more.text().contains("MADV_DONTNEED"), "{}", more.text());
}

/// A huge page of shared memory has no table for small ones, and only a scan recognises it: VmPTE is smaller by these
/// tables.
#[test]
fn without_a_scan_tables_may_be_too_many_and_that_is_said() {
    let fewer = |text: String| {
        let kib = text.lines().find_map(|line| line.strip_prefix("VmPTE:")).unwrap().trim().to_owned();
        let less = kib.trim_end_matches(" kB").parse::<u64>().unwrap() - 4;
        text.replace(&kib, &format!("{less} kB"))
    };
    for (tree, told) in [("6.1/kinds", false), ("6.18/kinds", true)] {
        let exact = translate(tree, &["--tables"]).with_status(0);
        assert!(!exact.text().contains("huge pages are not recognised"), "{tree}: {}", exact.text());
        let table = of_changed(tree, &[("proc/PID/status", &fewer)], &["--tables"]).with_status(0);
        let document = of_changed(tree, &[("proc/PID/status", &fewer)], &["--tables", "--json"]).with_status(0).json();
        let data = &document["data"];
        assert_eq!(data["unneeded_tables"], -1, "{data}");
        let why = data["why_unneeded"].as_str().unwrap();
        assert_eq!(why.contains("huge pages of files and shared memory"), !told, "{tree}: {why}");
        assert_eq!(document["notes"].to_string().contains("huge-not-told"), !told, "{tree}: {document}");
        assert_eq!(data["tables"][2]["deposited"].is_u64(), told, "{tree}: {data}");
        assert_eq!(table.text().contains("huge pages are not recognised"), !told, "{tree}: {}", table.text());
    }
}

#[test]
fn names_are_found_as_they_are_and_as_they_are_shown() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let root = fixture("6.18/names");
    let ask = |name: &[u8]| {
        let start: [OsString; 5] =
            ["--root".into(), root.clone().into(), "translate".into(), process_of(&root).into(), "--".into()];
        pmem(start.into_iter().chain([OsString::from_vec(name.to_vec())]))
    };
    for name in [&b"bad\xff\xfeutf8+0x10"[..], b"bad\\xff\\xfeutf8+0x10", b"esc\x1b[31m\x07red", b"  spaces  +0x0"] {
        let run = ask(name).with_status(0);
        assert_no_control(&run.stdout, &name.escape_ascii().to_string());
        assert!(run.text().contains("  in  "), "{}", run.text());
    }
    let unknown = ask(b"no\x1bsuch").with_status(2);
    assert!(unknown.stderr.contains("\\x1b") && unknown.stdout.is_empty(), "{}", unknown.stderr);
}

#[test]
fn the_answer_reads_as_it_should() {
    for (arguments, expected) in [
        (
            &["ab7f1668c12345"][..],
            "scene (1234)
0xab7f1668c12345  in  ab7f1668c00000-ab7f1668e00000 rw-p [anon]

  PGD 171 → P4D 254 → PUD 89 → PMD 326 → byte 0x12345 of 2.0 MiB
  present, mapped once                     pagemap 0x8100000000040012
  frame 0x40012 = physical 0x40012345      node 0, zone DMA32
",
        ),
        (
            &["ab7f1668a3f001"],
            "scene (1234)
0xab7f1668a3f001  in  ab7f1668a3c000-ab7f1668a44000 rw-p [anon]

  PGD 171 → P4D 254 → PUD 89 → PMD 325 → PTE 63 → byte 0x1
  not present, not empty                   pagemap 0x4000000000000a40
  swapped out: area 0, page 0x52
",
        ),
        (
            &["1000"],
            "scene (1234)
0x1000  in no mapping
  below it  none
  above it  555555554000-555555556000 r-xp /usr/bin/scene, 0x555555553000 bytes away

  PGD 0 → P4D 0 → PUD 0 → PMD 0 → PTE 1 → byte 0x0
",
        ),
        (
            &["--tables"],
            "scene (1234)

  page tables that its entries need
  P4D      2  not counted by VmPTE
  PUD      4
  PMD      3
  PTE      5  1 of them kept for splitting huge pages
  needed  12  = 48.0 KiB
  VmPTE   12  agrees
",
        ),
    ] {
        let run = translate("x86-64-la57/scene", arguments).with_status(0);
        assert!(run.text().starts_with(expected), "{arguments:?}:\n{}", run.text());
    }
}

#[test]
fn one_row_has_columns_for_scripts() {
    let tree = "x86-64-la57/scene";
    let csv =
        translate(tree, &["ab7f1668a3c123", "--format", "csv", "-o", "address,pfn,physical,state,page"]).with_status(0);
    assert_eq!(
        csv.text(),
        "address,pfn,physical_address,state,mapped_bytes\n0xab7f1668a3c123,1351422,0x149efe123,present,4096\n"
    );
    let table = translate(tree, &["ab7f1668a3c123", "-o", "pfn", "--no-headings"]).with_status(0);
    assert_eq!(table.text(), "0x149efe\n");
    let line = translate(tree, &["ab7f1668a3c123", "--format", "jsonl"]).with_status(0).json();
    assert_eq!(line["pfn"], 1_351_422);
    assert!(translate(tree, &["-o", "help", "0"]).with_status(0).text().contains("Physical address of the byte"));
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &[][..],
        &["nothing like this"],
        &[""],
        &["0x10-0x20"],
        &["1", "2"],
        &["ab", "-o", "no-such-column"],
        &["10000000000000000"],
    ] {
        let run = translate("6.18/sleep", arguments);
        assert_eq!((run.status, run.stdout.is_empty()), (2, true), "{arguments:?}: {}", run.stderr);
    }
}

/// Runs pmem on a copy of a tree with changed files, with little memory and little time.
fn of_changed(tree: &str, changes: &[(&str, &dyn Fn(String) -> String)], arguments: &[&str]) -> Finished {
    let top = TempDir::new().unwrap();
    let root = top.path().join("tree");
    assert!(Command::new("cp").arg("-r").arg(fixture(tree)).arg(&root).status().unwrap().success());
    let pid = process_of(&root);
    for (file, change) in changes {
        let path = root.join(file.replace("PID", &pid));
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "{file} is as before");
        std::fs::write(path, changed).unwrap();
    }
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 400000; ulimit -t 10; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_pmem"), "--root"]);
    command.arg(&root).args(["translate", &pid]).args(arguments);
    finish(&mut command)
}

#[test]
fn trees_that_lie_are_answered_or_refused() {
    let set = |from: &'static str, to: &'static str| move |text: String| text.replace(from, to);
    let manifest = "pmem-capture.json";
    // Levels that no machine has, and endless address spaces.
    let levels = of_changed(
        "x86-64-la57/scene",
        &[(manifest, &set("levels\": 5", "levels\": 99"))],
        &["--tables", "ab7f1668a3c123"],
    );
    assert!([0, 3].contains(&levels.status), "{}", levels.stderr);
    for arch in ["x86_64", "aarch64", "ppc64le", "\\u001b[31m"] {
        for end in ["0", "1", "18446744073709551615", "9223372036854771712"] {
            let to_arch = format!("\"arch\": \"{arch}\"");
            let to_end = format!("\"user_end\": {end}");
            let change = |text: String| {
                let text =
                    text.replace("\"arch\": \"x86_64\"", &to_arch).replace("\"user_end\": 140737488351232", &to_end);
                text + "\n"
            };
            for address in ["ffffffffffffffff", "0", "[heap]", "8000000000000000"] {
                let run = of_changed("6.18/sleep", &[(manifest, &change)], &[address, "--tables"]);
                assert_no_control(&run.stdout, arch);
                assert!([0, 3].contains(&run.status), "{arch}, {end}, {address}: {}", run.stderr);
            }
        }
    }
    // A page larger than everything, and a mapping of everything in which every page is present.
    let large = of_changed(
        "x86-64-la57/scene",
        &[("proc/PID/smaps", &set("1048576 kB", "18014398509481983 kB"))],
        &["--tables", "ab7fc012345678"],
    );
    assert_no_control(&large.with_status(0).stdout, "a large page");
    let everything = |_: String| "00001000-7ffffffffffff000 rw-p 00000000 00:00 0 \n".to_owned();
    let words = |_: String| "pmem-words 1 holes=zero\n1 7fffffffffffe 8000000000000001 0\n".to_owned();
    let scan = |_: String| "pmem-words 1 holes=zero\n1 7fffffffffffe 8 0\n".to_owned();
    let run = of_changed(
        "6.18/sleep",
        &[("proc/PID/maps", &everything), ("proc/PID/pagemap", &words), ("proc/PID/pagemap_scan", &scan)],
        &["--tables", "7ffffffffff000"],
    );
    assert_no_control(&run.stdout, "everything");
    assert!([0, 1].contains(&run.status), "{}", run.stderr);
    let nothing = of_changed("6.18/sleep", &[("proc/PID/maps", &|_| String::new())], &["1000"]);
    assert_eq!(nothing.status, 1, "{}", nothing.stderr);
}

#[test]
fn where_the_first_thread_has_ended_another_tells() {
    let top = TempDir::new().unwrap();
    let root = top.path().join("tree");
    assert!(Command::new("cp").arg("-r").arg(fixture("x86-64-la57/scene")).arg(&root).status().unwrap().success());
    let process = root.join("proc/1234");
    let thread = process.join("task/1235");
    std::fs::create_dir_all(&thread).unwrap();
    for file in ["status", "maps", "smaps", "pagemap", "pagemap_scan"] {
        std::fs::rename(process.join(file), thread.join(file)).unwrap();
    }
    std::fs::copy(process.join("stat"), thread.join("stat")).unwrap();
    let stat = std::fs::read_to_string(process.join("stat")).unwrap();
    std::fs::write(process.join("stat"), stat.replacen(") S ", ") Z ", 1)).unwrap();
    let ask =
        || pmem(["--root", root.to_str().unwrap(), "translate", "1234", "ab7f1668a3c123", "--json"]).with_status(0);
    let document = ask().json();
    assert_eq!((&document["data"]["pid"], &document["data"]["pfn"]), (&json!(1234), &json!(0x14_9efe)), "{document}");
    assert_eq!(
        (&document["notes"][0]["code"], &document["notes"][0]["pid"]),
        (&json!("first-thread-ended"), &json!(1234))
    );
    // And all of its threads with it.
    std::fs::remove_dir_all(process.join("task")).unwrap();
    let none = ask().json()["data"].clone();
    assert_eq!((&none["no_address_space"], &none["state"]), (&json!("zombie"), &Value::Null), "{none}");
}

/// Linux up to about 6.11 does not report how many levels an x86-64 machine has; a tree from a pmem before this
/// command, which does not record it, is read anyway.
#[test]
fn levels_that_are_not_known_are_not_guessed() {
    let unknown = |text: String| text.replace("\"user_end\": 140737488351232", "\"user_end\": 9223372036854771712");
    let run = of_changed("6.18/sleep", &[("pmem-capture.json", &unknown)], &["[heap]", "--json"]).with_status(0).json();
    assert_eq!((&run["data"]["levels"], &run["data"]["state"]), (&Value::Null, &json!("present")));
    assert!(run["notes"].to_string().contains("levels-unknown"));
    of_changed("6.18/sleep", &[("pmem-capture.json", &unknown)], &["--tables"]).with_status(3);
}
