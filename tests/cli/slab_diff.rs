//! `pmem slab diff` over two trees made with known caches.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::run::{Finished, pmem};
use crate::support::terminal::Terminal;
use crate::support::text::assert_no_control;
use crate::support::tree::{Tree, fixtures};

const HEAD: &str = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> …\n";

/// A line of slabinfo: objects in use, all objects, their size, objects and pages per slab, slabs.
fn line(name: &str, [active, all, size, per_slab, pages, slabs]: [u64; 6]) -> String {
    let tunables = "tunables    0    0    0 : slabdata";
    format!("{name:17} {active:6} {all:6} {size:6} {per_slab:4} {pages:4} : {tunables} {slabs:6} {slabs:6}      0\n")
}

const SYSFS: &str = "\
:A-0001152\treclaim_account\t0
UNIX\t->\t:A-0001152
UNIX-STREAM\t->\t:A-0001152
signal_cache\t->\t:A-0001152
dentry\treclaim_account\t1
kmalloc-64\treclaim_account\t0
new_cache\treclaim_account\t1
";

fn slabinfo(after: bool) -> String {
    let lines = match after {
        false => [
            line("old_cache", [21, 21, 192, 21, 1, 1]),
            line("signal_cache", [100, 112, 1152, 28, 8, 4]),
            line("kmalloc-64", [640, 640, 64, 64, 1, 10]),
            line("dentry", [1000, 1050, 192, 21, 1, 50]),
        ],
        true => [
            line("new_cache", [42, 42, 192, 21, 1, 2]),
            line("signal_cache", [2100, 2100, 1152, 28, 8, 75]),
            line("kmalloc-64", [640, 640, 64, 64, 1, 10]),
            line("dentry", [800, 840, 192, 21, 1, 40]),
        ],
    };
    HEAD.to_owned() + &lines.concat()
}

fn tree(time: &str, slabinfo: &str, [reclaimable, unreclaimable]: [u64; 2]) -> Tree {
    let tree = Tree::like("6.18/sleep");
    tree.replace("pmem-capture.json", "2026-11-22T00:00:00Z", time);
    tree.write("proc/slabinfo", slabinfo);
    let slab = reclaimable + unreclaimable;
    let meminfo = format!("Slab: {slab} kB\nSReclaimable: {reclaimable} kB\nSUnreclaim: {unreclaimable} kB\n");
    tree.write("proc/meminfo", meminfo);
    // A cache in sysfs is in slabinfo, too.
    let there = |line: &&str| !line.starts_with("new_cache") || slabinfo.contains("new_cache");
    tree.write("slab_sysfs", SYSFS.split_inclusive('\n').filter(there).collect::<String>());
    tree
}

/// The two trees, an hour and a half apart.
fn trees() -> [Tree; 2] {
    [
        tree("2026-11-22T00:00:00Z", &slabinfo(false), [6000, 4000]),
        tree("2026-11-22T01:30:00Z", &slabinfo(true), [5968, 6272]),
    ]
}

fn diff(trees: &[Tree; 2], arguments: &[&str]) -> Finished {
    let [before, after] = [0, 1].map(|which| trees[which].path("").to_str().unwrap().to_owned());
    trees[0].pmem(&[&["slab", "diff", &before, &after], arguments].concat())
}

fn codes(document: &Value) -> Vec<&str> {
    let notes = document["notes"].as_array().unwrap().iter();
    notes.map(|note| note["code"].as_str().unwrap()).filter(|code| *code != "active-objects-upper-bound").collect()
}

#[test]
fn what_grew_comes_first_under_all_of_its_names() {
    let run = diff(&trees(), &[]).with_status(1);
    let expected = "\
Slab grew by 2.2 MiB to 12.0 MiB in 1 h 30 min: reclaimable −32.0 KiB, not
reclaimable +2.2 MiB.
All caches together: +2.2 MiB; the other +4.0 KiB is not in any cache: large
kmalloc (over 8 KiB), and counters that lag.
The largest growth is in signal_cache = UNIX = UNIX-STREAM: +2.2 MiB, +2,000
objects, +1.5 MiB an hour. Not reclaimable: a leak candidate if it continues.
That is one cache under 3 names, merged by the kernel: the objects can belong to
any of them, not only to signal_cache.

   CHANGE   PER HOUR  ACTIVE        NOW  RECL        NAMES
 +2.2 MiB   +1.5 MiB  +2,000    2.3 MiB  no          signal_cache = UNIX = UNIX-STREAM
 +8.0 KiB   +5.3 KiB     +42    8.0 KiB  yes   new   new_cache
 −4.0 KiB   −2.7 KiB     −21          ·  -     gone  old_cache
−40.0 KiB  −26.7 KiB    −200  160.0 KiB  yes         dentry
";
    let text: Vec<&str> = run.text().lines().map(str::trim_end).collect();
    assert_eq!(text, expected.lines().collect::<Vec<_>>(), "{}", run.text());
    assert!(run.stderr.is_empty(), "{}", run.stderr);
}

#[test]
fn numbers_are_told_whole() {
    let document = diff(&trees(), &["--json", "--all"]).with_status(1).json();
    assert_eq!(document["schema"], "pmem.slab-diff/1");
    let data = &document["data"];
    assert_eq!(data["seconds"], 5400.0);
    assert_eq!(data["before"], json!({"time": "2026-11-22T00:00:00Z", "source": "recorded", "kernel": "6.18.44"}));
    assert_eq!(
        data["caches"][0],
        json!({
            "name": "signal_cache", "aliases": ["UNIX", "UNIX-STREAM"],
            "reclaimable": false, "new": false, "gone": false,
            "before": {"active_objects": 100, "objects": 112, "slabs": 4, "bytes": 131_072},
            "after": {"active_objects": 2100, "objects": 2100, "slabs": 75, "bytes": 2_457_600},
            "change": {"active_objects": 2000, "objects": 1988, "slabs": 71, "bytes": 2_326_528},
            "bytes_per_hour": 1_551_018, "objects_per_hour": 1325, "active_objects_per_hour": 1333,
        })
    );
    let names: Vec<_> = data["caches"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["signal_cache", "new_cache", "kmalloc-64", "old_cache", "dentry"]);
    assert_eq!(data["totals"]["change"]["bytes"], 2_289_664);
    assert_eq!(data["meminfo"]["after"]["unreclaimable_bytes"], 6272 << 10);
    assert!(codes(&document).is_empty(), "{document}");
    let gone = &data["caches"][3];
    assert_eq!((&gone["gone"], &gone["new"], &gone["after"]["objects"]), (&json!(true), &json!(false), &json!(0)));
}

#[test]
fn rows_are_caches() {
    let trees = trees();
    let csv = diff(&trees, &["--format", "csv"]).with_status(1);
    let lines: Vec<&str> = csv.text().lines().collect();
    let head = "name,aliases,reclaimable,new,gone,before.active_objects,before.objects,before.slabs,before.bytes,\
                after.active_objects,after.objects,after.slabs,after.bytes,change.active_objects,change.objects,\
                change.slabs,change.bytes,bytes_per_hour,objects_per_hour,active_objects_per_hour";
    assert_eq!(lines[0], head);
    let first = "signal_cache,UNIX = UNIX-STREAM,false,false,false,100,112,4,131072,2100,2100,75,2457600,2000,1988,71,\
                 2326528,1551018,1325,1333";
    assert_eq!(lines[1], first);
    assert_eq!(lines.len(), 5);
    let jsonl = diff(&trees, &["--format", "jsonl", "-s", "name"]).with_status(1);
    let rows: Vec<Value> = jsonl.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows.iter().map(|row| &row["name"]).collect::<Vec<_>>(),
        ["dentry", "new_cache", "old_cache", "signal_cache"]
    );
    let kib = diff(&trees, &["-k", "-o", "change,name", "-s", "change"]).with_status(1);
    assert!(kib.text().trim_start().starts_with("CHANGE KiB  NAME\n"), "{}", kib.text());
    assert!(kib.text().contains("−40  dentry\n"), "{}", kib.text());
}

#[test]
fn the_status_is_that_of_diff() {
    let trees = trees();
    for (arguments, status, rows) in [
        (&["--min", "2M"][..], 1, 1),
        (&["--min", "8K"], 1, 3),
        (&["--min", "10M"], 0, 0),
        (&["--filter", "^UNIX$"], 1, 1),
        (&["--filter", "kmalloc"], 0, 0),
        (&["--filter", "kmalloc", "--all"], 0, 1),
    ] {
        let run = diff(&trees, &[arguments, &["--format", "csv", "--no-headings"]].concat()).with_status(status);
        assert_eq!(run.text().lines().count(), rows, "{arguments:?}: {}", run.text());
    }
    for wrong in
        [&["--all", "--min", "1"][..], &["-d", "1"], &["--filter", "("], &["--min", "x"], &["-o", "x"], &["third"]]
    {
        diff(&trees, wrong).with_status(2);
    }
    let same = [0, 1].map(|_| tree("2026-11-22T00:00:00Z", &slabinfo(false), [6000, 4000]));
    let run = diff(&same, &[]).with_status(0);
    let expected = "\
Slab unchanged at 9.8 MiB in 0 s.
No cache changed.
  note: both have the same time: there are no rates
";
    assert_eq!(run.text(), expected);
    let alone = trees[0].pmem(&["slab", "diff"]).with_status(2);
    assert!(alone.stderr.contains("a recorded tree does not change"), "{}", alone.stderr);
    let now = trees[1].pmem(&["slab", "diff", trees[0].path("").to_str().unwrap(), "--json"]).with_status(1);
    assert_eq!(now.json()["data"]["after"]["time"], "2026-11-22T01:30:00Z", "'now' is the tree that --root names");
}

#[test]
fn what_cannot_be_compared_is_said() {
    for (file, from, to, code, rates) in [
        ("pmem-capture.json", "0000-4000", "0000-4001", Some("different-boots"), false),
        ("pmem-capture.json", "6.18.44\",\n    \"arch", "6.12.1\",\n    \"arch", Some("different-kernels"), true),
        ("pmem-capture.json", "2026", "2025", Some("time-backwards"), false),
        ("slab_sysfs", "reclaim_account", "unheard_of", None, true),
    ] {
        let trees = trees();
        trees[1].replace(file, from, to);
        let document = diff(&trees, &["--json"]).with_status(1).json();
        assert_eq!(codes(&document), code.into_iter().collect::<Vec<_>>(), "{to}");
        assert_eq!(document["data"]["same_boot"], code != Some("different-boots"));
        let candidate = diff(&trees, &[]).text().contains("leak candidate");
        assert_eq!(candidate, code != Some("different-boots"), "{to}");
        assert_eq!(document["data"]["totals"]["bytes_per_hour"].is_i64(), rates, "{to}");
        assert_eq!(document["data"]["caches"][0]["bytes_per_hour"].is_i64(), rates, "{to}");
    }
    let timeless = trees();
    timeless[1].replace("pmem-capture.json", "2026-11", "soon");
    let run = diff(&timeless, &[]).with_status(1);
    assert!(run.stdout.is_empty() && run.stderr.contains("pmem-capture.json"), "{}", run.stderr);
    let large = trees();
    large[1].replace("pmem-capture.json", "\"page_size\": 4096", "\"page_size\": 65536");
    let run = diff(&large, &[]).with_status(2);
    assert!(run.stderr.contains("page sizes differ (4.0 KiB and 64.0 KiB)"), "{}", run.stderr);
    for (which, text, status, words) in [
        (0, "slabinfo - version: 1.1\n", 3, "not a slabinfo"),
        (1, "", 3, "not a slabinfo"),
        // Torn in the last line: what is missing is not gone.
        (1, slabinfo(true).trim_end(), 1, "slabinfo:6"),
    ] {
        let trees = trees();
        trees[which].write("proc/slabinfo", text);
        let run = diff(&trees, &[]).with_status(status);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_eq!(run.stdout.is_empty(), status == 3);
        assert!(!run.text().contains("dentry"), "{}", run.text());
    }
    let without = trees();
    without[0].remove("proc/slabinfo");
    let run = diff(&without, &[]);
    assert!([1, 3].contains(&run.status) && run.stderr.contains("slabinfo"), "{}: {}", run.status, run.stderr);
}

#[test]
fn names_of_a_saved_slabinfo_are_those_of_the_other_side() {
    let [before, after] = trees();
    let [saved, saved_later] = [&before, &after].map(|tree| tree.path("proc/slabinfo").to_str().unwrap().to_owned());
    let later = after.path("");
    for (two, codes_expected) in [
        ([&saved, later.to_str().unwrap()], &["time-unknown", "names-unknown"][..]),
        ([&saved, &saved_later], &["time-unknown", "names-unknown", "names-of-now"]),
    ] {
        let run = after.pmem(&["slab", "diff", two[0], two[1], "--json"]).with_status(1);
        let (document, data) = (run.json(), &run.json()["data"]);
        assert_eq!(codes(&document), codes_expected);
        assert_eq!((&data["before"]["source"], &data["before"]["time"]), (&json!("file"), &Value::Null));
        assert_eq!((&data["seconds"], &data["meminfo"]["before"]), (&Value::Null, &Value::Null));
        let first = &data["caches"][0];
        assert_eq!(first["aliases"], json!(["UNIX", "UNIX-STREAM"]));
        assert_eq!((&first["reclaimable"], &first["bytes_per_hour"]), (&json!(false), &Value::Null));
        let gone = data["caches"].as_array().unwrap().iter().find(|row| row["name"] == "old_cache").unwrap();
        assert_eq!((&gone["aliases"], &gone["reclaimable"]), (&Value::Null, &Value::Null), "the other has none such");
    }
    let run = after.pmem(&["slab", "diff", &saved, &saved_later]).with_status(1);
    assert!(run.text().starts_with("All caches together grew by 2.2 MiB to 2.5 MiB.\n"), "{}", run.text());
}

#[test]
fn large_allocations_are_a_change_without_a_cache() {
    let grown = |bytes: u64| {
        [("00:00:00", 0), ("01:00:00", bytes >> 10)]
            .map(|(time, more)| tree(&format!("2026-11-22T{time}Z"), &slabinfo(false), [6000, 4000 + more]))
    };
    let trees = grown(2 << 30);
    let run = diff(&trees, &[]).with_status(1);
    let expected = "\
Slab grew by 2.0 GiB to 2.0 GiB in 1 h: reclaimable unchanged, not reclaimable
+2.0 GiB.
Allocations over 8 KiB, in no cache (large kmalloc): +2.0 GiB, +2.0 GiB an hour:
a leak candidate if it continues.
No cache changed.
";
    assert_eq!(run.text(), expected);
    let held = 4 * 32_768 + (10 + 50 + 1) * 4096;
    let before = 10_000 * 1024 - held;
    let expected = json!({
        "before_bytes": before, "after_bytes": before + (2u64 << 30), "change_bytes": 2u64 << 30,
        "bytes_per_hour": 2u64 << 30,
    });
    assert_eq!(diff(&trees, &["--json"]).with_status(1).json()["data"]["large_kmalloc"], expected);
    for (bytes, arguments, status) in [
        // The possible lag of counters.
        (1 << 20, &[][..], 0),
        ((1 << 20) + 1024, &[], 1),
        (8 << 20, &["--min", "8M"], 1),
        (8 << 20, &["--min", "9M"], 0),
        (8 << 20, &["--filter", "."], 0),
    ] {
        diff(&grown(bytes), arguments).with_status(status);
    }
    let small = diff(&grown(1 << 20), &[]).with_status(0);
    let rest = "All caches together: unchanged; the other +1.0 MiB is not in any cache: large";
    assert!(small.text().contains(rest), "{}", small.text());
    // Caches hold more than Slab: this kernel does not count large allocations there. A cache that cannot be read could
    // account for them.
    let [before, after] = trees;
    before.write("proc/meminfo", "Slab: 100 kB\nSReclaimable: 50 kB\nSUnreclaim: 50 kB\n");
    let less = diff(&[before, after], &["--json"]).json();
    assert_eq!(less["data"]["large_kmalloc"], Value::Null);
    let trees = grown(2 << 30);
    trees[1].write("proc/slabinfo", slabinfo(false).trim_end());
    assert_eq!(diff(&trees, &["--json"]).with_status(1).json()["data"]["large_kmalloc"], Value::Null);
}

/// A cache that cannot be reclaimed grew by 100 slabs and some objects in this time.
fn grown_by(objects: i64, seconds: u32) -> [Tree; 2] {
    [(0, 0, 0), (1, objects, seconds)].map(|(which, objects, seconds)| {
        let line = line("kmalloc-64", [(640 + objects) as u64, 640 + 6400 * which, 64, 64, 1, 10 + 100 * which]);
        tree(&format!("2026-11-22T00:00:{seconds:02}Z"), &format!("{HEAD}{line}"), [0, 4000 + 400 * which])
    })
}

#[test]
fn a_leak_has_more_objects_and_some_time() {
    for (objects, words) in [
        (-500, "Fewer objects in use occupy more slabs than before: fragmentation, not a leak."),
        (0, "The same number of objects in use occupies more slabs than before: fragmentation, not a leak."),
        (500, "a leak candidate only if it keeps growing over a longer time (-d 300)."),
    ] {
        let run = diff(&grown_by(objects, 59), &[]).with_status(1);
        let text = run.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{text}");
        assert_eq!(text.contains("leak candidate"), objects > 0, "{text}");
        assert!(!text.contains("an hour") && !text.contains("AN HOUR"), "{text}");
    }
    let document = diff(&grown_by(500, 59), &["--json"]).with_status(1).json();
    assert!(document["data"]["caches"][0]["bytes_per_hour"].is_i64(), "programs see the time beside it");
}

#[test]
fn names_are_whole_where_columns_can_go() {
    let trees = trees();
    let [before, after] = [0, 1].map(|which| trees[which].path("").to_str().unwrap().to_owned());
    for (width, expected) in [
        (80, "CHANGE   PER HOUR  ACTIVE  RECL        NAMES"),
        (60, "CHANGE  ACTIVE        NAMES"),
        (120, "CHANGE   PER HOUR  ACTIVE        NOW  RECL        NAMES"),
    ] {
        let terminal = Terminal::start((width, 40), &[env!("CARGO_BIN_EXE_pmem"), "slab", "diff", &before, &after]);
        terminal.wait_for("dentry");
        let text = terminal.text();
        assert_eq!(terminal.end().code(), Some(1));
        assert!(text.lines().any(|line| line.trim() == expected), "{width}: {text}");
        assert!(text.lines().any(|line| line.ends_with(" signal_cache = UNIX = UNIX-STREAM")), "{width}: {text}");
    }
}

#[test]
fn sides_that_are_none_are_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let tree = &trees()[0];
    let good = tree.path("proc/slabinfo");
    for (path, words) in [
        (Path::new("/there/is/no/such/file"), "no such file or directory; BEFORE and AFTER are 'pmem capture' trees"),
        (&good.join("x"), ": no such file or directory"),
        (&fifo, "neither a directory nor a regular file; BEFORE and AFTER are 'pmem capture' trees"),
        (Path::new("/dev/zero"), "neither a directory nor a regular file"),
    ] {
        for two in [[path, &good], [&good, path]] {
            let run = tree.pmem(&["slab", "diff", two[0].to_str().unwrap(), two[1].to_str().unwrap()]).with_status(2);
            assert!(run.stderr.contains(words) && run.stdout.is_empty(), "{}", run.stderr);
        }
    }
}

#[test]
fn a_pipe_of_the_shell_is_a_saved_slabinfo() {
    let tree = &trees()[0];
    let slabinfo = tree.path("proc/slabinfo");
    // More than a pipe holds at once, and late.
    let program = "(sleep 0.1; cat \"$2\") | \"$1\" slab diff --root \"$3\" /dev/stdin \"$2\"";
    let output = std::process::Command::new("sh")
        .args(["-c", program, "sh", env!("CARGO_BIN_EXE_pmem")])
        .args([&slabinfo, &tree.path("")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("No cache changed."), "{output:?}");
}

#[test]
fn recorded_machines_are_the_same_as_themselves_and_differ_from_each_other() {
    let trees = ["4.19", "5.10", "6.1", "6.12", "6.18", "7.1"].map(|kernel| fixtures().join(kernel).join("memory"));
    for (tree, other) in trees.iter().zip(trees.iter().cycle().skip(1)) {
        let arguments = |after: &Path| {
            [Path::new("slab"), Path::new("diff"), tree, after, Path::new("--json")].map(Path::to_path_buf)
        };
        let same = pmem(arguments(tree)).with_status(0).json();
        assert_eq!((&same["data"]["caches"], &same["data"]["same_boot"]), (&json!([]), &json!(true)));
        let differ = pmem(arguments(other)).with_status(1).json();
        assert!(codes(&differ).starts_with(&["different-boots", "different-kernels"]), "{}", tree.display());
    }
}

#[test]
fn a_hostile_tree_moves_no_cursor_and_overflows_nothing() {
    // More than this is treated as a torn line; with the largest pages it is more than any machine has.
    let with_large_pages =
        |tree: &Tree| tree.replace("pmem-capture.json", "\"page_size\": 4096", "\"page_size\": 1048576");
    let huge = format!("{HEAD}{}", line("=\x1b[2J\u{202e}", [1 << 55, 1 << 55, 1, 1, 1, 1 << 43]));
    let none = format!("{HEAD}{}", line("=\x1b[2J\u{202e}", [0; 6]));
    let large = |slabs| format!("{HEAD}{}{}", line("a", slabs), line("b", slabs));
    let sums = [large([0, 0, 8, 1, 1, 0]), large([1, 1, 8, 1, 1, 1 << 42])]
        .map(|slabinfo| tree("2026-11-22T00:00:00Z", &slabinfo, [1, 1]));
    sums.iter().for_each(with_large_pages);
    let document = diff(&sums, &["--json"]).with_status(1).json();
    assert_eq!(document["data"]["totals"], Value::Null, "{document}");
    assert_eq!(document["data"]["caches"][0]["change"]["bytes"], 1u64 << 62);
    for (old, new) in [(&huge, &none), (&none, &huge)] {
        let trees = [
            tree("0000-01-01T00:00:00Z", old, [u64::MAX >> 12, 0]),
            tree("9999-12-31T23:59:59.999999999+23:59", new, [0, u64::MAX >> 12]),
        ];
        for tree in &trees {
            with_large_pages(tree);
            tree.write("slab_sysfs", "=\x1b[2J\u{202e}\t->\tx\n\x1b]0;\x07\t->\tx\nx\treclaim_account\t\x1b[2J\n");
        }
        for format in ["table", "json", "jsonl", "csv"] {
            let run = diff(&trees, &["--format", format]).with_status(1);
            assert_no_control(&run.stdout, format);
            assert_eq!(run.stdout.is_empty(), format == "jsonl", "no row can be told");
            assert!(run.stderr.contains("impossible numbers: =\\x1b"), "{}", run.stderr);
            assert!(!run.text().contains("8.0 EiB") && !run.text().contains("9223372036854775807"), "{}", run.text());
            if format == "json" {
                assert_eq!(codes(&run.json())[0], "numbers-impossible");
            }
        }
    }
    let dir = tempfile::TempDir::new().unwrap();
    pmem([std::ffi::OsStr::new("slab"), "diff".as_ref(), dir.path().as_os_str()]).with_status(3);
}
