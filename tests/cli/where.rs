//! `pmem where` over recorded trees: it adds up on each, reports what was missing, and shows two accounts side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

use super::recorded::{Machine, PAGE};
use crate::support::json::number;
use crate::support::run::{Finished, pmem};
use crate::support::text::assert_no_control;
use crate::support::tree::{Tree, fixtures};

/// The recorded trees that have this file.
fn trees_with(file: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut to_look_at = vec![fixtures()];
    while let Some(directory) = to_look_at.pop() {
        if directory.join("pmem-capture.json").exists() {
            found.extend(directory.join(file).exists().then_some(directory));
            continue;
        }
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        to_look_at.extend(entries.filter(|path| path.is_dir()));
    }
    assert!(found.len() >= 3, "{found:?}");
    found
}

fn where_of(tree: &Path, arguments: &[&str]) -> Finished {
    pmem([&["--root", tree.to_str().unwrap(), "where"], arguments].concat())
}

fn lines(data: &Value) -> &Vec<Value> {
    data["lines"].as_array().expect("lines")
}

fn line<'d>(data: &'d Value, name: &str) -> &'d Value {
    lines(data).iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no line {name}"))
}

/// The data of a document whose lines add up, each with a unique name, `unaccounted` last.
#[track_caller]
fn adds_up(finished: &Finished) -> Value {
    let document = finished.json();
    assert_eq!(document["schema"], "pmem.where/1");
    let data = document["data"].clone();
    let sum: i64 = lines(&data).iter().filter_map(|line| line["bytes"].as_i64()).sum();
    assert_eq!(sum as u64, number(&data["total_bytes"]));
    let names: Vec<&str> = lines(&data).iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names.last(), Some(&"unaccounted"));
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "{names:?}");
    assert!(
        lines(&data).iter().all(|line| line["name"] == "unaccounted" || line["bytes"].as_i64().is_none_or(|b| b >= 0))
    );
    assert!(lines(&data).iter().all(|line| line["source"].as_str().is_some_and(|source| !source.is_empty())));
    data
}

#[test]
fn it_adds_up_on_every_recorded_machine() {
    for tree in trees_with("proc/meminfo") {
        let text = std::fs::read_to_string(tree.join("proc/meminfo")).unwrap();
        let kib = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            value.map(|value| value.trim().trim_end_matches(" kB").parse::<u64>().unwrap())
        };
        let finished = where_of(&tree, &["--json"]).with_status(0);
        let data = adds_up(&finished);
        let what = tree.display();
        assert_eq!(data["total_bytes"], kib("MemTotal").unwrap() << 10, "{what}");
        assert_eq!(line(&data, "free")["bytes"], kib("MemFree").unwrap() << 10, "{what}");
        assert_eq!(
            line(&data, "file_cache")["bytes"],
            (kib("Cached").unwrap() - kib("Shmem").unwrap()) << 10,
            "{what}"
        );
        let slab: i64 = ["slab_reclaimable", "slab_unreclaimable", "large_kmalloc"]
            .iter()
            .filter_map(|name| line(&data, name)["bytes"].as_i64())
            .sum();
        assert_eq!(slab as u64, kib("Slab").unwrap() << 10, "{what}");
        let huge: u64 =
            ["used", "reserved", "free"].iter().map(|of| number(&line(&data, &format!("hugetlb_{of}"))["bytes"])).sum();
        assert_eq!(Some(huge), kib("Hugetlb").map(|kib| kib << 10), "{what}");
        let percent = line(&data, "unaccounted")["bytes"].as_i64().unwrap() * 100 / number(&data["total_bytes"]) as i64;
        assert!((0..=5).contains(&percent), "{what}: {percent} % are unaccounted");
        assert_eq!(data["other_keys"], serde_json::json!([]), "{what}: all keys of known kernels are known");
        for name in ["free", "anonymous", "unaccounted"] {
            assert!(where_of(&tree, &[]).with_status(0).text().contains(name), "{what}");
        }
    }
}

#[test]
fn what_can_be_had_is_what_the_kernel_computes() {
    for tree in trees_with("proc/zoneinfo").into_iter().filter(|tree| tree.join("proc/meminfo").exists()) {
        let data = adds_up(&where_of(&tree, &["--json"]).with_status(0));
        let available = &data["available"];
        // In most trees the files were not read at the same moment; in these, memory did not change.
        let exact = tree.ends_with("6.12/machine") || tree.ends_with("6.1/machine");
        let bound = if exact { 0 } else { number(&data["total_bytes"]) / 200 };
        let difference = available["difference_bytes"].as_i64().unwrap().unsigned_abs();
        assert!(difference <= bound, "{}: {available}", tree.display());
    }
}

#[test]
fn frames_are_a_second_account() {
    for machine in Machine::whole() {
        let data = adds_up(&machine.pmem(&["where", "--json"]).with_status(0));
        let mut expected = BTreeMap::<&str, u64>::new();
        let (mut mapped, mut ram) = (0, 0);
        for (frame, &class) in &machine.classes {
            let group = match class {
                "hole" => continue,
                "anon" | "ksm" => "anonymous",
                "shmem" => "shared memory",
                "page_table" => "page tables",
                "offline" => "off line",
                "free" | "file" | "slab" | "hugetlb" | "reserved" => class,
                _ => "without a flag",
            };
            *expected.entry(group).or_default() += PAGE;
            ram += PAGE;
            mapped += if class == "file" && machine.flags[frame] & 1 << 11 != 0 { PAGE } else { 0 };
        }
        let frames = &data["frames"];
        let groups = frames["groups"].as_array().unwrap();
        let found = groups.iter().map(|group| (group["name"].as_str().unwrap(), number(&group["frames_bytes"])));
        let found: BTreeMap<&str, u64> = found.filter(|(_, bytes)| *bytes > 0).collect();
        assert_eq!(found, expected, "{}", machine.tree);
        assert_eq!(
            (number(&frames["ram_bytes"]), number(&frames["file_mapped_bytes"])),
            (ram, mapped),
            "{}",
            machine.tree
        );
        let mut of_some_group: Vec<&Value> =
            groups.iter().flat_map(|group| group["lines"].as_array().unwrap()).collect();
        of_some_group.retain(|line| **line != "balloon");
        assert_eq!(of_some_group.len(), lines(&data).len() - 1, "each line but that of an empty balloon is in a group");
        for group in groups {
            let counters: i64 = group["lines"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|name| line(&data, name.as_str().unwrap())["bytes"].as_i64())
                .sum();
            let is = |field: &str| group[field].as_i64().unwrap();
            if !group["lines"].as_array().unwrap().is_empty() {
                assert_eq!(is("counters_bytes"), counters, "{group}");
            }
            assert_eq!(is("difference_bytes"), is("frames_bytes") - is("counters_bytes"), "{group}");
            assert_eq!(group["why"].is_null(), is("difference_bytes") == 0, "{group}");
            assert!(is("difference_bytes").abs() <= 2 << 20, "{}: {group}", machine.tree);
        }
        let table = machine.pmem(&["where"]).with_status(0);
        let differ = groups.iter().filter(|group| group["difference_bytes"] != 0);
        assert_eq!(table.text().matches("  frames, ").count(), differ.count(), "each is explained: {}", table.text());
    }
    let some = Machine::of_some_frames();
    some.pmem(&["where", "--frames"]).with_status(3);
}

#[test]
fn what_is_missing_is_null_and_what_is_new_is_listed() {
    let tree = Tree::like("6.12/kinds");
    let meminfo = std::fs::read_to_string(tree.path("proc/meminfo")).unwrap();
    let without: String =
        meminfo.lines().filter(|line| !line.starts_with("AnonPages")).map(|line| format!("{line}\n")).collect();
    tree.write("proc/meminfo", without + "Newest:      12 kB\nNew\x1b[2J_Things:   3\n");
    let run = tree.pmem(&["where", "--json"]).with_status(1);
    let data = adds_up(&run);
    assert!(line(&data, "anonymous")["bytes"].is_null());
    assert!(data["missing_keys"].as_array().unwrap().contains(&"AnonPages".into()), "{}", data["missing_keys"]);
    assert_eq!(data["other_keys"][0], serde_json::json!({"key": "Newest", "bytes": 12288}));
    assert_eq!(data["other_keys"][1], serde_json::json!({"key": "New\x1b[2J_Things", "count": 3}), "whole");
    assert_no_control(&run.stdout, "JSON");
    let table = tree.pmem(&["where"]).with_status(1);
    assert!(!table.text().contains("Newest") && table.stderr.contains("AnonPages"), "{}", table.stderr);
    let verbose = tree.pmem(&["where", "-v"]).with_status(1);
    assert!(verbose.text().contains("Newest"), "{}", verbose.text());
    assert_no_control(&verbose.stdout, "-v");
}

#[test]
fn without_a_total_there_is_no_ledger() {
    let tree = Tree::like("6.12/kinds");
    tree.write("proc/meminfo", "MemFree: 12 kB\n");
    let run = tree.pmem(&["where"]).with_status(1);
    assert!(run.stdout.is_empty() && run.stderr.contains("MemTotal"), "{}", run.stderr);
    tree.write("proc/meminfo", "MemTotal: 18446744073709551615 kB\n");
    let run = tree.pmem(&["where"]).with_status(1);
    assert!(run.stderr.contains("is not a plausible size"), "{}", run.stderr);
    tree.write("proc/meminfo", "MemTotal: 18014398509481983 kB\n");
    tree.pmem(&["where"]).with_status(3);
    tree.remove("proc/meminfo");
    let run = tree.pmem(&["where"]).with_status(3);
    assert!(run.stdout.is_empty() && run.stderr.contains("proc/meminfo"), "{}", run.stderr);
}

#[test]
fn what_is_less_than_nothing_has_a_minus_sign() {
    let tree = Tree::like("6.18/memory");
    let meminfo = std::fs::read_to_string(tree.path("proc/meminfo")).unwrap();
    let anonymous = meminfo.lines().find(|line| line.starts_with("AnonPages:")).unwrap();
    tree.replace("proc/meminfo", anonymous, "AnonPages:     240000000 kB");
    let table = tree.pmem(&["where", "--no-frames"]).with_status(0);
    let row = table.text().lines().find(|line| line.starts_with("unaccounted")).unwrap();
    assert!(row.matches('−').count() == 2 && !row.contains('-') && row.ends_with(" % of all"), "{row}");
}

#[test]
fn hostile_files_end_in_lines_that_add_up() {
    const NUMBERS: [&str; 4] = ["18446744073709551615", "9223372036854775807", "17592186044416", "0"];
    for number in NUMBERS {
        let tree = Tree::like("6.12/machine");
        for file in ["proc/meminfo", "proc/zoneinfo", "proc/slabinfo"] {
            let text = std::fs::read_to_string(tree.path(file)).unwrap();
            let mut hostile = String::new();
            for line in text.lines() {
                let keeps = line.starts_with("MemTotal") || line.starts_with("slabinfo") || line.starts_with('#');
                let words = line.split_inclusive(' ').map(|word| match word.trim_end().parse::<u64>() {
                    Ok(_) if !keeps => format!("{number} "),
                    _ => word.to_owned(),
                });
                hostile.extend(words);
                hostile.push('\n');
            }
            tree.write(file, hostile);
            // An impossible size is not a number, so the file counts as damaged.
            adds_up(&tree.pmem(&["where", "--json", "--no-frames"]));
            for format in ["table", "csv", "jsonl"] {
                assert_no_control(&tree.pmem(&["where", "--format", format]).stdout, format);
            }
        }
    }
    // Torn anywhere; files that are not valid; and an empty one.
    let whole = std::fs::read(fixtures().join("6.12/machine/proc/meminfo")).unwrap();
    let tree = Tree::like("6.12/machine");
    for cut in (40..whole.len()).step_by(97) {
        tree.write("proc/meminfo", &whole[..cut]);
        adds_up(&tree.pmem(&["where", "--json"]).with_status(1));
    }
    for junk in [&b"\xff\x00\x1b[2J\n"[..], b"", b"nr_zspages 18446744073709551615\n"] {
        for file in
            ["proc/zoneinfo", "proc/slabinfo", "proc/vmstat", "proc/vmallocinfo", "proc/iomem", "proc/kpageflags"]
        {
            tree.write(file, junk);
            let run = tree.pmem(&["where", "--json"]);
            adds_up(&run);
            assert!(run.status < 2, "{file}: {}", run.stderr);
            assert_no_control(&tree.pmem(&["where", "-v"]).stdout, file);
        }
    }
}

#[test]
fn every_form_says_the_same() {
    let machine = fixtures().join("6.12/machine");
    let data = adds_up(&where_of(&machine, &["--json"]).with_status(0));
    let csv = where_of(&machine, &["--format", "csv", "-o", "name,size,source"]).with_status(0);
    let records: Vec<&str> = csv.text().lines().collect();
    assert_eq!((records[0], records.len()), ("name,bytes,source", lines(&data).len() + 1));
    assert_eq!(records[1], format!("free,{},meminfo MemFree", line(&data, "free")["bytes"]));
    let jsonl = where_of(&machine, &["--format", "jsonl", "-s", "-size"]).with_status(0);
    let sizes: Vec<i64> = jsonl
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["bytes"].as_i64().unwrap_or(-1))
        .collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.len() == lines(&data).len(), "{sizes:?}");
    let table = where_of(&machine, &["--bytes"]).with_status(0);
    let total = table.text().lines().find(|line| line.starts_with("total ")).unwrap().replace(',', "");
    assert!(total.split_whitespace().any(|word| word.parse().ok() == data["total_bytes"].as_u64()), "{total}");
    let mib = where_of(&machine, &["-m", "--no-frames"]).with_status(0);
    assert!(mib.text().contains("SIZE MiB"), "{}", mib.text());
    for arguments in [&[][..], &["-v"], &["--no-frames"], &["-n", "2", "-d", "0.01"], &["-k"], &["-m", "-n", "2"]] {
        let run = where_of(&machine, arguments).with_status(0);
        assert_no_control(&run.stdout, "where");
        let notes = |line: &&str| line.starts_with("  ");
        let wide = run.text().lines().filter(|line| !notes(line)).find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{arguments:?}: 80 columns suffice");
    }
    for wrong in [&["--frames", "--no-frames"][..], &["-o", "nothing"], &["diff"], &["-d", "1", "diff", "x"]] {
        where_of(&machine, wrong).with_status(2);
    }
}

#[test]
fn rounds_show_how_lines_move() {
    let machine = fixtures().join("6.12/machine");
    let rounds = where_of(&machine, &["-n", "2", "-d", "0.01", "--format", "jsonl"]).with_status(0);
    let rows: Vec<Value> = rounds.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (first, second) = rows.split_at(rows.len() / 2);
    assert!(first.iter().all(|row| row["change_bytes"].is_null() && row["frames_bytes"].is_null()));
    // A tree does not change.
    assert!(
        second
            .iter()
            .all(|row| row["bytes"].is_null() || row["change_bytes"] == 0 && row["per_minute_bytes"].is_null())
    );
    let csv = where_of(&machine, &["-n", "2", "-d", "0.01", "--format", "csv"]).with_status(0);
    assert_eq!(csv.text().lines().filter(|line| line.starts_with("time,name,bytes,share_percent")).count(), 1);
    let frames = where_of(&machine, &["-n", "2", "-d", "0.01", "--frames"]).with_status(0);
    assert_eq!(frames.text().matches("FRAMES").count(), 2);
    assert_eq!(frames.text().lines().find(|line| line.chars().count() > 80), None, "80 columns suffice");
}

/// Two trees an hour and a half apart; the second has 30 MiB more anonymous memory and 20 MiB less free memory.
fn two_trees() -> (Tree, Tree) {
    let (before, after) = (Tree::like("6.12/machine"), Tree::like("6.12/machine"));
    let manifest = std::fs::read_to_string(after.path("pmem-capture.json")).unwrap();
    let time = manifest.lines().find(|line| line.contains("\"time\"")).unwrap().to_owned();
    before.replace("pmem-capture.json", &time, "  \"time\": \"2026-11-22T01:00:00Z\",");
    after.replace("pmem-capture.json", &time, "  \"time\": \"2026-11-22T02:30:00Z\",");
    let meminfo = std::fs::read_to_string(after.path("proc/meminfo")).unwrap();
    for (key, kib) in [("AnonPages:", 30 << 10), ("MemFree:", -(20 << 10))] {
        let old = meminfo.lines().find(|line| line.starts_with(key)).unwrap();
        let value: i64 = old[key.len()..].trim().trim_end_matches(" kB").parse().unwrap();
        after.replace("proc/meminfo", old, &format!("{key} {} kB", value + kib));
    }
    (before, after)
}

#[test]
fn a_difference_is_by_size_with_its_rate() {
    let (before, after) = two_trees();
    let (before, after) = (before.path(""), after.path(""));
    let diff = |trees: &[&Path], more: &[&str]| {
        let trees = trees.iter().map(|tree| tree.to_str().unwrap());
        pmem(["where", "diff"].into_iter().chain(trees).chain(more.iter().copied()))
    };
    assert!(diff(&[&before, &before], &[]).with_status(0).text().contains("no line has changed"));
    let document = diff(&[&before, &after], &["--json"]).with_status(1).json();
    assert_eq!(document["schema"], "pmem.where-diff/1");
    let data = &document["data"];
    assert_eq!(data["seconds"], 5400.0);
    let kernel = &document["host"]["kernel"];
    let origin = |time: &str| serde_json::json!({"time": time, "source": "recorded", "kernel": kernel});
    assert_eq!((&data["before"], &data["after"]), (&origin("2026-11-22T01:00:00Z"), &origin("2026-11-22T02:30:00Z")));
    let changed: Vec<(&str, i64, i64)> = lines(data)
        .iter()
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["change_bytes"].as_i64().unwrap_or(0),
                row["bytes_per_hour"].as_i64().unwrap_or(0),
            )
        })
        .filter(|row| row.1 != 0)
        .collect();
    let mib = |mib: i64| mib << 20;
    let expected =
        [("anonymous", mib(30), mib(20)), ("free", -mib(20), -mib(40) / 3), ("unaccounted", -mib(10), -mib(20) / 3)];
    assert_eq!(changed, expected);
    let table = diff(&[&before, &after], &[]).with_status(1);
    assert!(
        table
            .text()
            .lines()
            .any(|line| line.starts_with("anonymous") && line.contains("+30.0 MiB") && line.ends_with("+20.0 MiB"))
    );
    assert!(!table.text().contains("buffers"), "only what changed: {}", table.text());
    // Smaller changes are neither shown nor a difference.
    let large = diff(&[&before, &after], &["--min", "15M", "--json"]).with_status(1).json();
    let names: Vec<&Value> = lines(&large["data"]).iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["anonymous", "free"]);
    let none = diff(&[&before, &after], &["--min", "31M"]).with_status(0);
    assert!(none.text().contains("no line has changed by that much"), "{}", none.text());
    let csv = diff(&[&after, &before], &["--format", "csv", "-o", "name,change", "-s", "change"]).with_status(1);
    assert!(csv.text().contains("anonymous,-31457280\n"), "{}", csv.text());
    // The machine now, by --root.
    let now = pmem(["--root", after.to_str().unwrap(), "where", "diff", before.to_str().unwrap(), "--json"]);
    assert_eq!(now.with_status(1).json()["data"]["lines"], data["lines"]);
    // 1 means that something changed: an invalid tree is a different matter.
    let file = after.join("proc/meminfo");
    for (wrong, why) in
        [(Path::new("/nowhere"), "no such directory"), (&file, "not a directory; expected a 'pmem capture' tree")]
    {
        for trees in [&[wrong][..], &[&before, wrong]] {
            let run = diff(trees, &[]).with_status(2);
            assert!(run.stdout.is_empty() && run.stderr.contains(why), "{}", run.stderr);
        }
    }
}

#[test]
fn there_are_rates_on_one_boot_and_forwards_only() {
    let (before, after) = two_trees();
    let diff = |before: &Tree, after: &Tree| {
        let trees = [before.path(""), after.path("")];
        let trees = trees.iter().map(|tree| tree.to_str().unwrap());
        let run = pmem(["where", "diff"].into_iter().chain(trees).chain(["--json"])).with_status(1);
        let document = run.json();
        let rates = lines(&document["data"]).iter().any(|row| !row["bytes_per_hour"].is_null());
        let codes: Vec<String> = document["notes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|note| note["code"].as_str().unwrap().to_owned())
            .filter(|code| code != "line")
            .collect();
        (rates, document["data"]["same_boot"] == true, codes.join(" "))
    };
    assert_eq!(diff(&before, &after), (true, true, String::new()));
    assert_eq!(diff(&after, &before), (false, true, "time-backwards".to_owned()));
    before.replace("pmem-capture.json", "T01:00:00Z", "T02:30:00Z");
    assert_eq!(diff(&before, &after), (false, true, "time-none".to_owned()));
    before.replace("pmem-capture.json", "T02:30:00Z", "T01:00:00Z");
    let manifest = std::fs::read_to_string(before.path("pmem-capture.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["host"]["boot_id"] = "another".into();
    manifest["host"]["kernel"] = "6\x1b[2J".into();
    before.write("pmem-capture.json", manifest.to_string());
    let after_boot = std::fs::read_to_string(after.path("pmem-capture.json")).unwrap();
    let mut after_boot: Value = serde_json::from_str(&after_boot).unwrap();
    after_boot["host"]["boot_id"] = "one".into();
    after.write("pmem-capture.json", after_boot.to_string());
    assert_eq!(diff(&before, &after), (false, false, "different-boots different-kernels".to_owned()));
    let table = pmem([Path::new("where"), Path::new("diff"), &before.path(""), &after.path("")]).with_status(1);
    assert!(
        table.text().contains("different boots or machines") && table.text().contains(r"6\x1b[2J"),
        "{}",
        table.text()
    );
    assert_no_control(&table.stdout, "where diff");
}

#[test]
fn a_manifest_has_a_time() {
    let tree = Tree::like("6.12/machine");
    let manifest = std::fs::read_to_string(tree.path("pmem-capture.json")).unwrap();
    for wrong in ["x\x1b]0;pwn\x07", "", "yesterday"] {
        let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
        manifest["time"] = wrong.into();
        tree.write("pmem-capture.json", manifest.to_string());
        let tree = tree.path("");
        let run = pmem([Path::new("where"), Path::new("diff"), &tree, &fixtures().join("6.12/machine")]).with_status(1);
        assert!(run.stdout.is_empty() && run.stderr.contains("RFC 3339"), "{}", run.stderr);
        assert_no_control(run.stderr.as_bytes(), "standard error");
    }
}

#[test]
fn a_torn_source_is_told_and_gives_no_number() {
    let slab = |data: &Value| ["slab_unreclaimable", "large_kmalloc"].map(|name| line(data, name)["bytes"].as_i64());
    let whole = adds_up(&where_of(&fixtures().join("6.18/memory"), &["--json", "--no-frames"]).with_status(0));
    let [Some(caches), Some(large)] = slab(&whole) else { panic!("{whole}") };
    let slabinfo = std::fs::read_to_string(fixtures().join("6.18/memory/proc/slabinfo")).unwrap();
    let headers: String = slabinfo.lines().take(2).map(|line| format!("{line}\n")).collect();
    let middle = &slabinfo[..slabinfo.len() / 2];
    assert!(!middle.ends_with('\n'));
    let tree = Tree::like("6.18/memory");
    let told = |file: &str| {
        let run = tree.pmem(&["where", "--json", "--no-frames"]).with_status(1);
        assert!(run.stderr.contains(file), "{file}: {}", run.stderr);
        let notes = run.json()["notes"].take();
        let note = |note: &Value| note["code"] == "source-incomplete" && note["text"].as_str().unwrap().contains(file);
        assert!(notes.as_array().unwrap().iter().any(note), "{notes}");
        let rounds = tree.pmem(&["where", "-n", "2", "-d", "0.01"]).with_status(1);
        assert_eq!(rounds.stderr.matches(file).count(), 1, "once: {}", rounds.stderr);
        adds_up(&run)
    };
    for torn in [&headers, middle, "", "junk\n"] {
        tree.write("proc/slabinfo", torn);
        assert_eq!(slab(&told("proc/slabinfo")), [Some(caches + large), None], "in one line, as without the file");
    }
    tree.write("proc/slabinfo", &slabinfo);
    for file in ["proc/zoneinfo", "proc/vmallocinfo", "proc/vmstat"] {
        let text = std::fs::read(tree.path(file)).unwrap();
        tree.remove(file);
        tree.pmem(&["where"]).with_status(0);
        mkfifo(&tree.path(file), Mode::S_IRWXU).unwrap();
        told(file);
        tree.remove(file);
        tree.write(file, text);
    }
    tree.write("proc/vmallocinfo", "");
    told("proc/vmallocinfo");
    tree.remove("proc/vmallocinfo");
    let meminfo = std::fs::read(tree.path("proc/meminfo")).unwrap();
    tree.write("proc/meminfo", &meminfo[..meminfo.len() - 1]);
    told("proc/meminfo");
    tree.write("proc/meminfo", &meminfo[..415]);
    let data = told("proc/meminfo");
    assert_eq!(line(&data, "file_cache")["bytes"], Value::Null, "without Shmem it is not known");
    let text = tree.pmem(&["where"]).with_status(1).text().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("sizes are not known: 'anonymous', 'file cache', 'shared memory'"), "{text}");
    assert!(!text.contains("this kernel's"), "the file is torn: {text}");
}

#[test]
fn what_no_flag_names_is_a_row_of_its_own() {
    let machine = fixtures().join("6.12/machine");
    let run = where_of(&machine, &["-b"]).with_status(0);
    let numbers = |line: &str| -> Vec<i64> {
        let text = line.replace(',', "");
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let row = |name: &str| run.text().lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    let data = adds_up(&where_of(&machine, &["--json"]).with_status(0));
    let groups = data["frames"]["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"] == "without a flag").unwrap();
    let is = |field: &str| group[field].as_i64().unwrap();
    assert_eq!(numbers(row("all without a flag")), [is("counters_bytes"), is("frames_bytes")]);
    // In this order, the line with the number is below.
    let sorted = where_of(&machine, &["-s", "name"]).with_status(0);
    assert!(run.text().contains("↑ file") && !run.text().contains("↓ file"), "{}", run.text());
    assert!(sorted.text().contains("↓ file") && !sorted.text().contains("↑ file"), "{}", sorted.text());
    let rest = line(&data, "unaccounted");
    assert!(rest["frames_bytes"].is_null() && rest["frames_group"] == "without a flag", "{rest}");
    assert!(row("unaccounted").contains("↓ no flag"), "{}", run.text());
    assert!(run.text().lines().next().unwrap().contains(" B · "), "in the unit: {}", run.text());
    let pages = where_of(&machine, &["--pages"]).with_status(0);
    assert!(pages.text().contains("SIZE pages") && pages.text().contains("FRAMES pages"), "{}", pages.text());
    for arguments in [&["-b"][..], &["--pages"]] {
        let run = where_of(&machine, arguments).with_status(0);
        let wide = run.text().lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{arguments:?}: 80 columns suffice");
    }
    let noted = where_of(&machine, &["-o", "+note", "--no-headings"]).with_status(0);
    let row = noted.text().lines().find(|line| line.starts_with("per_cpu_data")).unwrap();
    assert!(
        row.split_whitespace().collect::<Vec<_>>().join(" ").contains("meminfo Percpu includes the first chunk"),
        "{row}"
    );
}

#[test]
fn what_only_one_could_read_is_no_difference() {
    let (before, after) = (Tree::like("6.12/machine"), Tree::like("6.12/machine"));
    after.remove("proc/slabinfo");
    after.remove("proc/zoneinfo");
    let diff = pmem([Path::new("where"), Path::new("diff"), &before.path(""), &after.path("")]).with_status(0);
    assert!(diff.text().contains("no line has changed"), "{}", diff.text());
    assert!(diff.text().contains("only one of the two has slabinfo, zoneinfo"), "{}", diff.text());
}
