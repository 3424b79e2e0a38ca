//! `pmem slab` and `pmem slab show` over a recorded tree with caches defined by the test.

use serde_json::{Value, json};

use crate::support::json::number;
use crate::support::run::{Finished, pmem};
use crate::support::text::assert_no_control;
use crate::support::tree::Tree;

const SLABINFO: &str = "slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
empty_cache            0      0     64   64    1 : tunables    0    0    0 : slabdata      0      0      0
dentry                40     42    192   21    1 : tunables    0    0    0 : slabdata      2      2      0
inode_cache           32     32    624   13    2 : tunables    0    0    0 : slabdata      3      3      0
signal_cache         100    126   1152   14    4 : tunables    0    0    0 : slabdata      9      9      0
";

const SYSFS: &str = "UNIX\t->\t:A-0001152
signal_cache\t->\t:A-0001152
:A-0001152\treclaim_account\t0
:A-0001152\tobject_size\t1152
:A-0001152\tpartial\t3 N0=1 N1=2
:A-0001152\tobjects_partial\t16 N0=6 N1=10
:A-0001152\tcpu_slabs\t4 N0=4
:A-0001152\tslabs_cpu_partial\t21(3) C0=21(3)
:A-0001152\tslabs\t9 N0=5 N1=4
:A-0001152\tmin_partial\t5
dentry\treclaim_account\t1
inode_cache\treclaim_account\t1
inode_cache\tobject_size\t616
empty_cache\treclaim_account\t0
";

/// 43 pages are in slabs: 36 in signal_cache, 2 in dentry, 5 in inode_cache.
const MEMINFO: &str = "MemTotal: 1000000 kB\nSlab: 180 kB\nSReclaimable: 28 kB\nSUnreclaim: 152 kB\n";

fn tree() -> Tree {
    let tree = Tree::like("6.12/machine");
    tree.write("proc/slabinfo", SLABINFO);
    tree.write("proc/meminfo", MEMINFO);
    tree.write("slab_sysfs", SYSFS);
    tree
}

fn data(finished: &Finished, schema: &str) -> Value {
    let mut document = finished.json();
    assert_eq!(document["schema"], schema);
    document["data"].take()
}

fn slab(tree: &Tree, arguments: &[&str]) -> Value {
    data(&tree.pmem(&[&["slab", "--json"], arguments].concat()).with_status(0), "pmem.slab/1")
}

fn names(data: &Value) -> Vec<&str> {
    data["caches"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn caches_are_found_by_every_name_and_shown_under_all() {
    let tree = tree();
    let all = slab(&tree, &[]);
    assert_eq!(names(&all), ["signal_cache", "inode_cache", "dentry", "empty_cache"]);
    assert_eq!(all["caches"][0]["aliases"], json!(["UNIX"]));
    assert_eq!(all["shown_totals"], Value::Null);
    let unix = slab(&tree, &["--filter", "^UNIX$"]);
    assert_eq!(names(&unix), ["signal_cache"]);
    assert_eq!((&unix["shown_totals"]["objects"], &unix["totals"]["objects"]), (&json!(126), &json!(200)));
    assert_eq!(names(&slab(&tree, &["--min", "9K"])), ["signal_cache", "inode_cache"]);
    let table = tree.pmem(&["slab", "--filter", "UNIX"]).with_status(0);
    assert!(table.text().contains("signal_cache = UNIX\n"), "{}", table.text());
    assert!(table.text().starts_with("shown: 1 of 4 caches\n"), "{}", table.text());
    let none = tree.pmem(&["slab", "--filter", "^no such"]).with_status(0);
    assert!(none.text().starts_with("no cache"), "{}", none.text());
    let csv =
        tree.pmem(&["slab", "--format", "csv", "-o", "names,name,aliases,nodes", "--filter", "UNIX"]).with_status(0);
    assert!(csv.text().ends_with("\nsignal_cache = UNIX,signal_cache,UNIX,N0=5 N1=4\n"), "{}", csv.text());
}

#[test]
fn slabs_add_up_beside_meminfo() {
    let tree = tree();
    let data = slab(&tree, &["-o", "name,partial,cpu_slabs,cpu_partial"]);
    let signal = &data["caches"][0];
    let counted = ["partial_slabs", "cpu_slabs", "cpu_partial_slabs"].map(|field| number(&signal[field]));
    assert_eq!((counted, &signal["reclaimable"], &signal["nodes"]), ([3, 4, 3], &json!(false), &Value::Null));
    // One slab of inode_cache has one page, not two.
    let inode = &data["caches"][1];
    assert_eq!(["size_bytes", "held_bytes", "small_slabs"].map(|field| number(&inode[field])), [24576, 20480, 1]);
    assert_eq!(
        data["reconcile"],
        json!({
            "slabinfo_bytes": 44 * 4096, "held_bytes": 43 * 4096, "reclaimable_bytes": 7 * 4096,
            "meminfo_slab_bytes": 45 * 4096, "meminfo_reclaimable_bytes": 7 * 4096,
            "meminfo_unreclaimable_bytes": 38 * 4096, "difference_bytes": -4096, "held_difference_bytes": -2 * 4096,
        })
    );
    let table = tree.pmem(&["slab"]).with_status(0);
    for words in
        ["172.0 KiB  in slabs of these caches", "4.0 KiB  less than the sum", "8.0 KiB  more there: large kmalloc"]
    {
        assert!(table.text().contains(words), "no {words:?}: {}", table.text());
    }
    assert!(table.text().contains("USE≤") && table.text().contains("at most"), "{}", table.text());
    let bytes = tree.pmem(&["slab", "--bytes"]).with_status(0);
    assert!(bytes.text().contains("CACHE SIZE B") && bytes.text().contains("176,128 B  in slabs"), "{}", bytes.text());
}

#[test]
fn the_keys_of_slabtop_sort_as_they_do_there() {
    let tree = tree();
    let sorted = |key: &str| {
        let table = tree.pmem(&["slab", "-o", "name", "--no-headings", "-s", key]).with_status(0);
        table.text().lines().map(|line| line[..1].to_owned()).collect::<String>()
    };
    for (keys, order) in [
        (["a", "-active"], "sdie"),
        (["b", "-objects_per_slab"], "edsi"),
        (["c", "-size"], "side"),
        (["l", "-slabs"], "side"),
        (["n", "name"], "deis"),
        (["-n", "-name"], "sied"),
        (["o", "-objects"], "sdie"),
        (["p", "-pages_per_slab"], "side"),
        (["s", "-object_size"], "side"),
        (["u", "-use"], "idse"),
        (["v", "-active_slabs"], "side"),
        (["objects", "-o"], "eids"),
        (["object_size", "-s"], "edis"),
    ] {
        assert_eq!(keys.map(sorted), [order, order], "{keys:?}");
    }
    tree.pmem(&["slab", "-s", "z"]).with_status(2);
    let help = tree.pmem(&["slab", "-o", "help"]).with_status(0);
    assert!(help.text().contains("small_slabs"), "{}", help.text());
}

#[test]
fn rounds_have_the_change_and_growth_is_waited_for() {
    let tree = tree();
    let rounds = tree.pmem(&["slab", "-n", "2", "-d", "0.01"]).with_status(0);
    assert_eq!(rounds.text().matches("Δ OBJECTS").count(), 2, "{}", rounds.text());
    let csv = tree.pmem(&["slab", "-n", "2", "-d", "0.01", "--format", "csv", "-o", "name,size_change"]).with_status(0);
    let lines: Vec<&str> = csv.text().lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("time,")).count(), 1, "{}", csv.text());
    assert!(lines[1].ends_with(",signal_cache,") && lines[5].ends_with(",signal_cache,0"), "{}", csv.text());
    let growing = tree.pmem(&["slab", "--growing", "-d", "0.01", "-n", "1", "--json"]).with_status(0);
    assert_eq!(names(&data(&growing, "pmem.slab/1")), [""; 0]);
}

#[test]
fn what_is_torn_or_not_there_is_told() {
    let tree = tree();
    let told = |arguments: &[&str], status: i32, words: &str| {
        let finished = tree.pmem(arguments).with_status(status);
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
        finished
    };
    tree.write("proc/slabinfo", SLABINFO.trim_end());
    let torn = told(&["slab", "--json"], 1, "slabinfo:6: not a line of slabinfo");
    assert_eq!(names(&data(&torn, "pmem.slab/1")), ["inode_cache", "dentry", "empty_cache"]);
    let table = tree.pmem(&["slab"]).with_status(1);
    assert!(!table.text().contains("large kmalloc") && table.text().contains("the sums leave out"), "{}", table.text());
    tree.write("proc/slabinfo", "what is this\n");
    told(&["slab", "--json"], 3, "not a slabinfo");

    // Without it there are the names.
    tree.remove("proc/slabinfo");
    let without = data(&told(&["slab", "--json"], 3, "not in this tree"), "pmem.slab/1");
    assert_eq!(names(&without), ["UNIX", "dentry", "empty_cache", "inode_cache"]);
    let row = &without["caches"][0];
    assert_eq!(
        (&row["aliases"], &row["objects"], &without["totals"]),
        (&json!(["signal_cache"]), &Value::Null, &Value::Null)
    );
    let table = told(&["slab", "-o", "objects,names", "--no-headings"], 3, "not in this tree");
    assert!(table.text().starts_with("-  UNIX = signal_cache\n"), "{}", table.text());
    tree.write("slab_sysfs", "");
    assert!(told(&["slab"], 3, "not in this tree").stdout.is_empty());

    // And without the names there is slabinfo.
    tree.write("proc/slabinfo", SLABINFO);
    assert_eq!(slab(&tree, &[])["caches"][0]["aliases"], Value::Null);
}

#[test]
fn what_is_not_known_has_a_note_in_json() {
    let tree = tree();
    let codes = |arguments: &[&str], status: i32| {
        let document = tree.pmem(&[&["slab"], arguments, &["--json"]].concat()).with_status(status).json();
        let notes = document["notes"].as_array().unwrap().clone();
        notes.iter().map(|note| note["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[], 0), ["active-at-most"]);
    assert_eq!(codes(&["show", "UNIX"], 0), [""; 0]);
    assert_eq!(codes(&["show", "UNIX", "nothing"], 1), ["no-such-cache"]);
    tree.write("proc/slabinfo", SLABINFO.trim_end());
    assert_eq!(codes(&["show", "dentry"], 1), ["slabinfo-torn"]);
    tree.remove("proc/slabinfo");
    assert_eq!(codes(&[], 3), ["slabinfo-unknown"]);
    assert_eq!(codes(&["show", "UNIX"], 3), ["slabinfo-unknown"]);
    tree.write("proc/slabinfo", SLABINFO);
    tree.remove("slab_sysfs");
    assert_eq!(codes(&["show", "dentry"], 0), ["names-unknown"]);
    tree.remove("proc/meminfo");
    assert_eq!(codes(&[], 0), ["active-at-most", "names-unknown", "meminfo-unknown"]);
    assert!(tree.pmem(&["slab"]).with_status(0).text().contains("meminfo's slab counters are not known"));
}

#[test]
fn a_torn_round_is_compared_with_nothing() {
    let tree = tree();
    let second = |tree: &Tree, status: i32| {
        let lines = tree.pmem(&["slab", "-n", "2", "-d", "0.01", "--format", "csv", "-o", "size_change"]);
        lines.with_status(status).text().lines().last().unwrap().rsplit(',').next().unwrap().to_owned()
    };
    assert_eq!(second(&tree, 0), "0");
    tree.write("proc/slabinfo", SLABINFO.trim_end());
    assert_eq!(second(&tree, 1), "");
    let growing = tree.pmem(&["slab", "--growing", "-d", "0.01", "-n", "2"]).with_status(1);
    assert!(growing.stdout.is_empty() && growing.stderr.contains("truncated"), "{}", growing.stderr);
}

#[test]
fn before_linux_5_4_large_kmalloc_is_not_in_meminfos_slab() {
    let tree = tree();
    tree.write("proc/meminfo", format!("{MEMINFO}AnonHugePages: 0 kB\n"));
    let table = tree.pmem(&["slab"]).with_status(0);
    assert!(table.text().contains("8.0 KiB  more there: its counters lag"), "{}", table.text());
}

#[test]
fn a_story_has_all_that_is_known() {
    let tree = tree();
    std::fs::create_dir_all(tree.path("proc/sys/fs")).unwrap();
    tree.write("proc/sys/fs/dentry-state", "41\t30\t45\t0\t7\t0\n");
    let shown = tree.pmem(&["slab", "show", "UNIX", "signal_cache", "dentry", "--json"]).with_status(0);
    let data = data(&shown, "pmem.slab-show/1");
    assert_eq!(names(&data), ["signal_cache", "dentry"], "a cache is shown once");
    let unix = &data["caches"][0];
    assert_eq!(
        unix["slab"],
        json!({ "object_bytes": 1152, "objects": 14, "pages": 4, "slab_bytes": 16384, "waste_bytes": 16384 - 14 * 1152 })
    );
    assert_eq!(unix["traits"]["accounted"], true);
    let nodes = json!([
        { "node": 0, "slabs": 5, "partial_slabs": 1, "objects": null },
        { "node": 1, "slabs": 4, "partial_slabs": 2, "objects": null },
    ]);
    let fullness = json!({
        "full_slabs": 2, "partial_slabs": 3, "partial_objects": 16, "partial_free_objects": 26, "cpu_slabs": 4,
        "cpu_partial_slabs": 3, "kept_empty_slabs": 5, "nodes": nodes,
    });
    assert_eq!(unix["fullness"], fullness);
    let meanings: Vec<_> =
        unix["meanings"].as_array().unwrap().iter().map(|of| of["source"].as_str().unwrap()).collect();
    assert_eq!(meanings, ["kernel/fork.c", "net/unix/af_unix.c"]);
    let dentries = json!({ "total": 41, "unused": 30, "negative": 7, "unused_bytes": 30 * 192 });
    assert_eq!(data["caches"][1]["dentries"], dentries);

    let story = |name| {
        tree.pmem(&["slab", "show", name]).with_status(0).text().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let signal = story("signal_cache");
    for words in ["at most 2 full, 3 partial", "at least 4 per-CPU (3", "at most 100 of 126", "always charged"] {
        assert!(signal.contains(words), "no {words:?}: {signal}");
    }
    // The kernel estimates the free objects of that many.
    tree.write("slab_sysfs", SYSFS.replace("partial\t3 N0=1 N1=2", "partial\t10001").replace(":A-", ":a-"));
    assert!(story("signal_cache").contains("about 100 of 126") && !story("signal_cache").contains("charged"));
    tree.write("slab_sysfs", SYSFS);

    let words = tree.pmem(&["slab", "show", "dentri", "inode_cache", "zzz"]).with_status(1);
    assert!(words.text().contains("624 B: 616 B and 8 B added by the allocator"), "{}", words.text());
    assert!(words.text().contains("20.0 KiB in 3 slabs, one of them smaller"), "{}", words.text());
    assert!(words.stderr.contains("dentri: no such cache; did you mean dentry?\n"), "{}", words.stderr);
    assert!(words.stderr.contains("zzz: no such cache\n"), "{}", words.stderr);
    for wrong in
        [&["dentry", "-s", "name"][..], &["-s", "name"], &["--columns", "help"], &["dentry", "--format", "csv"]]
    {
        let refused = tree.pmem(&[&["slab", "show"], wrong].concat()).with_status(2);
        assert!(refused.stderr.contains("slab show has no columns"), "{wrong:?}: {}", refused.stderr);
    }
    assert!(pmem(["slab", "show"]).with_status(2).stderr.contains("<NAME>"));
}

#[test]
fn names_are_escaped() {
    let tree = tree();
    tree.write("proc/slabinfo", SLABINFO.replace("signal_cache", "\x1b[2J_cache"));
    tree.write("slab_sysfs", SYSFS.replace("UNIX", "\u{202e}UNIX").replace("signal_cache", "\x1b[2J_cache"));
    for arguments in
        [&["slab"][..], &["slab", "--format", "csv"], &["slab", "--json"], &["slab", "show", "\x1b[2J_cache"]]
    {
        assert_no_control(&tree.pmem(arguments).with_status(0).stdout, &arguments.join(" "));
    }
}

/// The caches that a table shows: the last words of its lines between the headings and what is below.
fn shown(table: &Finished) -> Vec<String> {
    let rows = table.text().lines().skip_while(|line| !line.ends_with("NAME")).skip(1);
    rows.take_while(|line| !line.is_empty()).map(|line| line.split("  ").last().unwrap().to_owned()).collect()
}

#[test]
fn a_slabinfo_that_was_cut_off_at_a_line_is_torn() {
    let tree = tree();
    let lines: Vec<&str> = SLABINFO.split_inclusive('\n').collect();
    tree.write("proc/slabinfo", lines[..4].concat());
    let cut = tree.pmem(&["slab"]).with_status(1);
    assert!(
        cut.stderr.contains("slabinfo:5: it ends here, and caches of /sys/kernel/slab are missing"),
        "{}",
        cut.stderr
    );
    assert!(!cut.text().contains("large kmalloc"), "{}", cut.text());
    assert!(cut.text().contains("(UNIX, inode_cache)"), "{}", cut.text());
    let document = tree.pmem(&["slab", "--json"]).with_status(1).json();
    let codes: Vec<&str> =
        document["notes"].as_array().unwrap().iter().map(|note| note["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["active-at-most", "slabinfo-torn"]);

    // The name in slabinfo stands for all names of the cache.
    tree.write("proc/slabinfo", SLABINFO.replace("signal_cache", "UNIX"));
    tree.pmem(&["slab"]).with_status(0);

    tree.write("proc/slabinfo", lines[..2].concat());
    for sysfs in [SYSFS, ""] {
        tree.write("slab_sysfs", sysfs);
        let none = tree.pmem(&["slab"]).with_status(1);
        assert!(none.stderr.contains("slabinfo:3: it lists no caches"), "{}", none.stderr);
        assert!(none.text().starts_with("slabinfo lists no caches\n"), "{}", none.text());
        assert!(!none.text().contains("large kmalloc"), "{}", none.text());
    }
}

#[test]
fn numbers_that_no_machine_has_are_not_shown() {
    let tree = tree();
    for (from, to) in
        [("  42    192", "  18446744073709551615    192"), ("      2      2  ", "      2      18446744073709551615  ")]
    {
        tree.write("proc/slabinfo", SLABINFO.replace(from, to));
        let odd = tree.pmem(&["slab"]).with_status(1);
        assert!(odd.stderr.contains("slabinfo:4: not a line of slabinfo"), "{}", odd.stderr);
        assert!(!odd.text().contains("EiB"), "{}", odd.text());
    }
    std::fs::create_dir_all(tree.path("proc/sys/fs")).unwrap();
    tree.write("proc/slabinfo", SLABINFO);
    tree.write("proc/sys/fs/dentry-state", "-5\t30\t45\t0\t7\t0\n");
    let story = tree.pmem(&["slab", "show", "dentry"]).with_status(0);
    assert!(story.text().contains("dentries -, 30 of them unused"), "{}", story.text());
}

#[test]
fn why_names_are_not_known_is_told() {
    let tree = tree();
    let note = |why: &str| {
        let document = tree.pmem(&["slab", "--json"]).with_status(0).json();
        let notes = document["notes"].as_array().unwrap().clone();
        let note = notes.iter().find(|note| note["code"] == "names-unknown").expect("a note");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(note["text"].as_str().unwrap().contains(why), "{note}");
        let table = tree.pmem(&["slab"]).with_status(0);
        assert!(words(table.text()).contains("names of merged caches"), "{}", table.text());
        assert_eq!(document["data"]["caches"][0]["aliases"], Value::Null);
        tree.pmem(&["slab", "show", "UNIX"]).with_status(1)
    };
    tree.write("slab_sysfs", "");
    assert!(note("slab_sysfs is empty").stderr.contains("no such cache (the names of merged ones"));
    tree.remove("slab_sysfs");
    note("slab_sysfs: no such file");
    tree.write("slab_sysfs", vec![b'x'; (16 << 20) + 1]);
    note("larger than");
}

#[test]
fn caches_that_have_nothing_are_left_out_of_the_table() {
    let tree = tree();
    let table = |arguments: &[&str]| tree.pmem(&[&["slab"], arguments].concat()).with_status(0);
    let short = table(&[]);
    assert_eq!(shown(&short), ["signal_cache = UNIX", "inode_cache", "dentry"]);
    assert!(short.text().contains("of 3 caches; 1 more without objects, not shown (--all"), "{}", short.text());
    assert!(!short.text().contains("shown:"), "{}", short.text());
    for all in [&["--all"][..], &["--filter", "."]] {
        assert_eq!(shown(&table(all)).last().unwrap(), "empty_cache", "{all:?}");
    }
    assert!(table(&["-o", "name"]).text().contains("empty_cache"));
    assert!(table(&["--format", "csv"]).text().contains("empty_cache"));
    let one = table(&["--filter", "^UNIX$"]);
    assert!(one.text().contains(", of 1 cache\n"), "{}", one.text());
}

#[test]
fn what_slabs_really_hold_stands_beside_slabtops_size() {
    let tree = tree();
    let row = |table: &Finished| table.text().lines().find(|line| line.ends_with("inode_cache")).unwrap().to_owned();
    let table = tree.pmem(&["slab"]).with_status(0);
    assert!(table.text().contains("CACHE SIZE       HELD  NAME"), "{}", table.text());
    assert!(row(&table).ends_with("    24.0 KiB   20.0 KiB  inode_cache"), "{}", table.text());
    let pages = tree.pmem(&["slab", "--pages"]).with_status(0);
    assert!(pages.text().contains("CACHE SIZE pages  HELD pages  NAME"), "{}", pages.text());
    // Almost all is not all.
    tree.write(
        "proc/slabinfo",
        SLABINFO.replace("dentry                40     42    192   21    1", "dentry  419999 420000    192   21    1"),
    );
    let full = tree.pmem(&["slab", "--filter", "dentry"]).with_status(0);
    assert!(full.text().contains("(99.9 %)") && !full.text().contains("100.0"), "{}", full.text());
}

#[test]
fn without_slabinfo_there_are_names_and_meminfo() {
    let tree = tree();
    tree.remove("proc/slabinfo");
    let table = tree.pmem(&["slab"]).with_status(3);
    assert!(table.text().starts_with("NAME\nUNIX = signal_cache\ndentry\n"), "{}", table.text());
    assert!(
        table.text().contains("180.0 KiB  Slab in meminfo = 28.0 KiB reclaimable + 152.0 KiB not\n"),
        "{}",
        table.text()
    );
    let data = data(&tree.pmem(&["slab", "--json"]).with_status(3), "pmem.slab/1");
    let reconcile = json!({
        "slabinfo_bytes": null, "held_bytes": null, "reclaimable_bytes": null, "meminfo_slab_bytes": 45 * 4096,
        "meminfo_reclaimable_bytes": 7 * 4096, "meminfo_unreclaimable_bytes": 38 * 4096, "difference_bytes": null,
        "held_difference_bytes": null,
    });
    assert_eq!(data["reconcile"], reconcile);
    for undecided in [&["--growing", "-d", "0.01"][..], &["--min", "1M"]] {
        let refused = tree.pmem(&[&["slab"], undecided].concat()).with_status(3);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("not in this tree"), "{}", refused.stderr);
    }
    // The sizes are in sysfs too.
    let sizes = ":A-0001152\tslab_size\t1152\n:A-0001152\tobjs_per_slab\t14\n:A-0001152\torder\t2\n";
    tree.write("slab_sysfs", SYSFS.to_owned() + sizes);
    let story = tree.pmem(&["slab", "show", "UNIX", "dentry"]).with_status(3);
    for line in [
        "  object   1,152 B\n",
        "  a slab   14 objects in 4 pages = 16.0 KiB; 256 B unused (1.5 %)\n",
        "  holds    -\n",
        "  a slab   -\n",
    ] {
        assert!(story.text().contains(line), "no {line:?}: {}", story.text());
    }
}

#[test]
fn names_of_any_bytes_and_of_any_length_are_shown() {
    let tree = tree();
    let line = |name: &[u8]| [name, b" 1 1 64 64 1 : tunables 0 0 0 : slabdata 1 1 0\n"].concat();
    let with = |names: &[&[u8]]| {
        let more = names.iter().flat_map(|name| line(name)).collect::<Vec<u8>>();
        tree.write("proc/slabinfo", [SLABINFO.as_bytes(), &more].concat());
    };
    with(&[b"\xff\xfe", b"a\x9bb"]);
    let all = slab(&tree, &["--filter", r"^(\\xff|a\\x9b)"]);
    let names: Vec<_> = all["caches"].as_array().unwrap().iter().map(|row| (&row["name"], &row["name_hex"])).collect();
    assert_eq!(names, [(&json!(r"a\x9bb"), &json!("619b62")), (&json!(r"\xff\xfe"), &json!("fffe"))]);
    with(&[&[b'x'; 70_000]]);
    tree.pmem(&["slab"]).with_status(0);
    let wide = tree.pmem(&["slab", "-o", "name,aliases,names"]).with_status(0);
    assert!(wide.text().len() < 200_000, "{}", wide.text().len());
    let links: String = (0..100_000).map(|number| format!("alias{number}\t->\t:A-0001152\n")).collect();
    tree.write("slab_sysfs", SYSFS.to_owned() + &links);
    tree.pmem(&["slab"]).with_status(0);
    // Nor does anything in sysfs about a cache move the cursor.
    tree.write("slab_sysfs", format!("{SYSFS}dentry\tctor\t\x1b[31mevil\n"));
    let story = tree.pmem(&["slab", "show", "dentry"]).with_status(0);
    assert_no_control(&story.stdout, "the story");
    assert!(story.text().contains(r"objects made by \x1b[31mevil"), "{}", story.text());
}

#[test]
fn numbers_and_lists_that_are_none_are_refused_in_words() {
    for (arguments, words) in [
        (&["slab", "-n", "0"][..], "at least 1"),
        (&["slab", "-n", "x"], "expected a number of rounds"),
        (&["slab", "-o", ""], "--columns: no column is named"),
        (&["slab", "-o", "+"], "--columns: no column is named"),
    ] {
        let refused = pmem(arguments).with_status(2);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
    }
}
