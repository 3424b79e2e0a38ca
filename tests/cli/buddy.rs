//! `pmem buddy` over recorded trees: those of real machines, and one that was made with known blocks.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::run::{Finished, pmem};
use crate::support::text::assert_no_control;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn buddy(tree: &Path, arguments: &[&str]) -> Finished {
    pmem([&["--root", tree.to_str().unwrap(), "buddy"], arguments].concat())
}

const ZONEINFO: &str = "\
Node 0, zone   Normal
  pages free     2279
        boost    8
        min      108
        low      3008
        high     4008
        spanned  4096
        present  4096
        managed  4000
      nr_free_pages 2279
  pagesets
    cpu: 0
              count:    12
    cpu: 1
              count:    30
  start_pfn:           1024
Node 1, zone   Normal
  pages free     0
        min      0
        low      0
        high     0
        spanned  1024
        present  1000
        managed  1000
  start_pfn:           5120
Node 1, zone  Movable
  pages free     0
        min      32
        low      32
        high     32
        spanned  0
        present  0
        managed  0
";

const BUDDYINFO: &str = "\
Node 0, zone   Normal      1      1      1      0      0      1      1      1      6      1      0 
Node 1, zone   Normal      0      0      0      0      0      0      0      0      0      0      0 
";

const PAGETYPEINFO: &str = "\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 
Node    0, zone   Normal, type    Unmovable      1      1      1      0      0      1      1      1      0      0      0 
Node    0, zone   Normal, type      Movable      0      0      0      0      0      0      0      0      6      1      0 

Number of blocks type     Unmovable      Movable 
Node 0, zone   Normal            3            5 
";

/// Blocks of 512 frames, eight in the first zone and two in the second: free; a huge page; half free, half anonymous;
/// free except for a slab page; anonymous, ten page tables and two slab pages; no flag; free except for twelve without
/// a flag; free except for twelve that are locked; and then free; not entirely memory.
const KPAGEFLAGS: &str = "\
pmem-words 1 holes=zero
400 200 400 0
600 1 40d820 0
601 1ff 415820 0
800 100 400 0
900 100 5820 0
a00 1ff 400 0
bff 1 80 0
c00 1f4 5820 0
df4 a 4000000 0
dfe 2 80 0
1000 1f4 400 0
1200 1f4 400 0
13f4 c 200005820 0
1400 200 400 0
1600 200 400 0
";

/// The last frame of the last block has no memory.
const IOMEM: &str = "00400000-017fefff : System RAM\n";

/// A tree with these blocks.
fn known() -> TempDir {
    let tree = TempDir::new().unwrap();
    let manifest = "pmem-capture.json";
    fs::copy(fixture("6.12/kinds").join(manifest), tree.path().join(manifest)).unwrap();
    fs::create_dir(tree.path().join("proc")).unwrap();
    for (name, text) in [
        ("zoneinfo", ZONEINFO),
        ("buddyinfo", BUDDYINFO),
        ("pagetypeinfo", PAGETYPEINFO),
        ("kpageflags", KPAGEFLAGS),
        ("iomem", IOMEM),
    ] {
        fs::write(tree.path().join("proc").join(name), text).unwrap();
    }
    tree
}

#[test]
fn known_blocks_are_what_they_are() {
    let tree = known();
    let document = buddy(tree.path(), &["--json", "--blockers"]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.buddy/1");
    let data = &document["data"];
    assert_eq!((&data["huge_page_order"], &data["huge_page_bytes"]), (&json!(9), &json!(2 << 20)));
    assert_eq!(data["zones"].as_array().unwrap().len(), 2, "a zone without memory is not shown");
    let blocker = |class: &str, blocks: u64, frames: u64| json!({"class": class, "blocks": blocks, "frames": frames});
    let first = json!({
        "blocks": 8, "free": 1, "huge": 1, "movable": 1, "locked": 1, "unmovable": 2, "unclassified": 1, "unflagged": 1,
        "outside": 0, "by_compaction": 1, "blockers": [blocker("page_table", 1, 10), blocker("slab", 1, 3)],
        "unclassified_frames": 12, "scattered_free_frames": 256 + 511 + 500 + 500,
    });
    // The same number of blocks of each: the one with more frames comes first.
    assert_eq!(data["zones"][0]["huge_blocks"], first);
    assert_eq!(data["zones"][1]["huge_blocks"]["free"], 1);
    assert_eq!(data["zones"][1]["huge_blocks"]["outside"], 1);
    assert_eq!((&data["huge_blocks"]["blocks"], &data["huge_blocks"]["free"]), (&json!(9), &json!(2)));
}

#[test]
fn free_memory_is_counted_by_hand() {
    let tree = known();
    let data = &buddy(tree.path(), &["--json"]).with_status(0).json()["data"];
    let zone = &data["zones"][0];
    assert_eq!(zone["free_blocks"], json!([1, 1, 1, 0, 0, 1, 1, 1, 6, 1, 0]));
    assert_eq!((&zone["free_pages"], &zone["free_huge_pages"]), (&json!(2279), &json!(1)));
    assert_eq!(zone["free_bytes"], json!(2279 * 4096));
    assert_eq!(zone["per_cpu_pages"], 42);
    let index = zone["unusable_index"].as_array().unwrap();
    let smaller = [0, 1, 3, 7, 7, 7, 39, 103, 231, 1767, 2279];
    assert_eq!(index.len(), smaller.len());
    for (index, smaller) in index.iter().zip(smaller) {
        assert!((index.as_f64().unwrap() - f64::from(smaller) / 2279.0).abs() < 1e-9, "{index}: {smaller} of 2279");
    }
    assert_eq!(data["zones"][1]["unusable_index"], Value::Null, "nothing is free");
    let watermarks = json!({
        "free_pages": 2279, "min_pages": 108, "low_pages": 3008, "high_pages": 4008, "promo_pages": null, "boost_pages": 8,
        "standing": "above_min",
    });
    assert_eq!(zone["watermarks"], watermarks);
    let types = &data["migrate_types"];
    assert_eq!((&types[0]["migrate_type"], &types[0]["free_pages"]), (&json!("Unmovable"), &json!(231)));
    assert_eq!((&types[1]["migrate_type"], &types[1]["page_blocks"]), (&json!("Movable"), &json!(5)));
    assert_eq!((&types[1]["at_least"], &types[1]["node"]), (&json!(false), &json!(0)));
}

#[test]
fn the_table_answers_first() {
    let tree = known();
    let run = buddy(tree.path(), &[]).with_status(0);
    let text = run.text();
    let answer = "\
8.9 MiB free, and 168.0 KiB more on per-CPU lists
2 MiB pages: 2 free now, up to 1 more by compaction, 2 blocked by unmovable
frames (page tables 1, slab 1), and 1 by 12 frames without a flag: free pages on
per-CPU lists, or the kernel's own
";
    assert!(text.starts_with(answer), "{text}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "0 Normal 2,279 8.9 MiB 42 108 3,008 4,008 8 BELOW LOW",
        "8 1 MiB 6 10 · -",
        "10 4 MiB · 100 · -",
        "0 Normal Movable 2,048 5",
        "0 Normal 1 1 1 1 2 1 1",
        "total 2 1 1 1 2 1 1",
        "page tables 1 10",
    ] {
        assert!(text.lines().any(|found| words(found) == line), "no line {line:?} in\n{text}");
    }
    assert!(run.stderr.is_empty(), "{}", run.stderr);
}

#[test]
fn rows_are_zones() {
    let tree = known();
    let csv = buddy(tree.path(), &["--format", "csv", "-o", "node,zone,free,free_blocks.8,unusable_index.9,unmovable"])
        .with_status(0);
    let lines: Vec<&str> = csv.text().lines().collect();
    assert_eq!(lines[0], "node,zone,free_pages,free_blocks.8,unusable_index.9,huge_blocks.unmovable");
    assert!(
        lines[1].starts_with("0,Normal,2279,6,0.77") && lines[1].ends_with(",2") && lines[2] == "1,Normal,0,0,,0",
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3);
    let jsonl = buddy(tree.path(), &["--format", "jsonl", "-s", "free"]).with_status(0);
    let rows: Vec<Value> = jsonl.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["free_pages"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 2279]);
    let table = buddy(tree.path(), &["-o", "zone,unmovable", "--no-headings"]).with_status(0);
    assert!(table.text().starts_with("Normal  2\nNormal  ·\n"), "{}", table.text());
    buddy(tree.path(), &["-o", "free_blocks.11"]).with_status(2);
    buddy(tree.path(), &["--blockers", "--no-blockers"]).with_status(2);
}

#[test]
fn rounds_tell_what_changed() {
    let tree = known();
    let run = buddy(tree.path(), &["-n", "2", "-d", "0.01", "-o", "free,change"]).with_status(0);
    // A zone and the total; the first round has nothing to compare with.
    assert_eq!(run.text().matches("2,279       -\n").count(), 2, "{}", run.text());
    assert_eq!(run.text().matches("2,279       ·\n").count(), 2, "{}", run.text());
    let csv = buddy(tree.path(), &["-n", "2", "-d", "0.01", "--format", "csv"]).with_status(0);
    assert_eq!(csv.text().lines().filter(|line| line.starts_with("time,")).count(), 1);
    assert_eq!(csv.text().lines().count(), 5);
}

#[test]
fn recorded_machines_are_read_without_what_only_root_sees() {
    for (name, free, per_cpu, lacking) in
        [("6.1/kinds", 221_720, 639, "promo_pages"), ("6.12/kinds", 210_934, 9050, ""), ("6.18/kinds", 772_915, 0, "")]
    {
        let tree = fixture(name);
        let document = buddy(&tree, &["--json"]).with_status(0).json();
        let zone = &document["data"]["zones"][1];
        assert_eq!(zone["zone"], "DMA32");
        assert_eq!((&zone["free_pages"], &zone["per_cpu_pages"]), (&json!(free), &json!(per_cpu)), "{name}");
        assert_eq!(zone["watermarks"]["free_pages"], free, "the two files agree: {name}");
        assert_eq!(zone["watermarks"].get("promo_pages").unwrap().is_null(), !lacking.is_empty(), "{name}");
        assert_eq!((&zone["huge_blocks"], &document["data"]["migrate_types"]), (&Value::Null, &Value::Null));
        let codes: Vec<_> = document["notes"].as_array().unwrap().iter().map(|note| &note["code"]).collect();
        assert_eq!(codes, ["blockers-unknown", "migrate-types-unknown"]);
        let refused = buddy(&tree, &["--blockers"]).with_status(3);
        assert!(refused.stderr.contains("capture --frames") && refused.stdout.is_empty(), "{}", refused.stderr);
        assert!(buddy(&tree, &["--no-blockers", "-o", "free"]).with_status(0).stderr.is_empty());
    }
}

#[test]
fn what_a_tree_does_not_have_is_said() {
    for name in ["buddyinfo", "zoneinfo", "kpageflags"] {
        let tree = known();
        fs::remove_file(tree.path().join("proc").join(name)).unwrap();
        let run = buddy(tree.path(), &["--blockers"]).with_status(3);
        assert!(run.stdout.is_empty() && run.stderr.contains(&format!("{name}: not in this tree")), "{}", run.stderr);
    }
}

/// That tree with one thing changed.
fn spoil(name: &str, from: &str, to: &str) -> TempDir {
    let tree = known();
    let path = tree.path().join("proc").join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    tree
}

#[test]
fn a_block_of_two_zones_is_counted_once() {
    let tree = spoil("zoneinfo", "start_pfn:           5120", "start_pfn:           4608");
    let document = buddy(tree.path(), &["--json"]).with_status(0).json();
    let [first, second] = [0, 1].map(|zone| &document["data"]["zones"][zone]["huge_blocks"]["blocks"]);
    assert_eq!((first, second), (&json!(8), &json!(1)), "eight, and one that the first has not");
    assert!(document["notes"].as_array().unwrap().iter().any(|note| note["code"] == "zones-overlap"));
}

#[test]
fn without_addresses_a_hole_is_not_known() {
    let tree = spoil("iomem", "00400000-017fefff", "00000000-00000000");
    let run = buddy(tree.path(), &["--json"]).with_status(0);
    let document = run.json();
    assert_eq!(document["data"]["huge_blocks"]["outside"], 0);
    assert!(document["notes"].as_array().unwrap().iter().any(|note| note["code"] == "holes-unknown"));
}

#[test]
fn a_tree_that_lies_is_refused_soon() {
    for (name, from, to, words) in [
        ("zoneinfo", "spanned  4096", "spanned  18446744073709551615", "more memory than can be handled"),
        ("zoneinfo", "zone   Normal", "zone   \x1b[2J", "zoneinfo:1"),
        ("buddyinfo", "Node 1", "Node 2", "a zone with memory has no line"),
        ("buddyinfo", "6      1", "6      x", "buddyinfo:1"),
        ("buddyinfo", "6      1", &"1 ".repeat(200_000), "buddyinfo:1"),
        ("kpageflags", "200", "", "kpageflags:2"),
    ] {
        let tree = spoil(name, from, to);
        let run = buddy(tree.path(), &["--blockers"]).with_status(1);
        assert!(run.stdout.is_empty() && run.stderr.contains(words), "{}", run.stderr);
    }
    for (name, from, to) in [
        ("buddyinfo", "6      1", "18446744073709551615      18446744073709551615"),
        ("zoneinfo", "count:    12", "count:    18446744073709551615"),
        ("zoneinfo", "start_pfn:           1024", "start_pfn:           18446744073709551000"),
        ("kpageflags", "1600 200", "1600 ffffffffffff0000"),
        ("iomem", "00400000-017fefff", "0-ffffffffffffffff"),
        ("pagetypeinfo", "Movable      0", "\x1b[2J      0"),
    ] {
        let tree = spoil(name, from, to);
        for format in ["table", "json", "csv"] {
            let run = buddy(tree.path(), &["--format", format]).with_status(0);
            assert_no_control(&run.stdout, name);
        }
    }
}
