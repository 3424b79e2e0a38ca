//! `pmem decode`: words and names in, meanings out.

use serde_json::Value;
use snapbox::{Assert, Data};

use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;

#[track_caller]
fn assert_shows(arguments: &[&str], expected: &str) {
    let run = pmem([&["decode", "--page-size", "4K"], arguments].concat()).with_status(0);
    assert_eq!(run.stderr, "");
    Assert::new().eq(Data::text(run.text()).raw(), Data::text(expected).raw());
}

fn words(arguments: &[&str]) -> Value {
    let mut document = pmem([&["decode", "--json"], arguments].concat()).with_status(0).json();
    assert_eq!(document["schema"], "pmem.decode/1");
    document["data"]["words"].take()
}

#[test]
fn a_word_is_explained_bit_by_bit() {
    assert_shows(
        &["0x400005828", "11080"],
        "\
0x400005828  anonymous
   3  UPTODATE        Its contents are valid.
   5  LRU             On an LRU list, so it can be reclaimed.
  11  MMAP            Mapped by page tables.
  12  ANON            Anonymous memory of processes.
  14  SWAPBACKED      Backed by swap, not by a file: anonymous or shared memory.
  34  ANON_EXCLUSIVE  Anonymous and exclusive to one process: a write needs no
                      copy.

0x11080  slab
   7  SLAB           Used by the slab allocator; set on every frame of the slab.
  12  ANON           Left over: the underlying field holds something else here.
  16  COMPOUND_TAIL  A further page of a compound page.
",
    );
}

#[test]
fn names_make_a_word_and_one_name_is_explained() {
    assert_shows(
        &["uptodate,PG_lru", "KPF_DIRTY"],
        "\
uptodate,PG_lru = 0x28  file
   3  UPTODATE  Its contents are valid.
   5  LRU       On an LRU list, so it can be reclaimed.

  4  DIRTY           PG_dirty           D dirty           all
     Its contents must be written back.
     ! Of the frame, not of page-table entries: written anonymous pages are
       rarely DIRTY.
",
    );
}

#[test]
fn entries_of_page_tables_are_explained() {
    assert_shows(
        &["--pagemap", "8100000000149efe", "0x40000000000000e2"],
        "\
0x8100000000149efe  present  frame 0x149efe = physical 0x149efe000
  56  EXCLUSIVE  Mapped exactly once.
  63  PRESENT    It maps a frame.

0x40000000000000e2  swapped  type 2, offset 0x7
  62  SWAP  Not present, but not empty either: in swap, being migrated,
            poisoned, a guard or another marker.
  Page 7 of swap area 2, 0x7000 bytes from its start. Types up to 21 are swap
  areas on every kernel. The lines of /proc/swaps are in the order of their
  types, but an area removed with swapoff leaves a gap.
",
    );
    assert_shows(
        &["--swap", "9f"],
        "0x9f  guard  type 31, offset 0x4\n  A marker: a guard region. Type 31 is a marker on every kernel since 6.2.\n",
    );
}

#[test]
fn json_has_everything() {
    let words = words(&["0x201080", "thp"]);
    let slab = &words[0];
    assert_eq!(
        (&slab["input"], &slab["kind"], &slab["raw"]),
        (&"0x201080".into(), &"frame_flags".into(), &"0x201080".into())
    );
    assert_eq!((&slab["class"], &slab["names"]), (&"slab".into(), &Value::from(vec!["SLAB"])));
    let left_over = slab["bits"].as_array().unwrap().iter().filter(|bit| bit["left_over"] == true);
    assert_eq!(left_over.map(|bit| bit["name"].as_str().unwrap()).collect::<Vec<_>>(), ["ANON", "KSM"]);
    let thp = &words[1];
    assert_eq!((&thp["kind"], &thp["bits"][0]["bit"]), (&"flag".into(), &22.into()));
    assert!(thp["bits"][0]["note"].as_str().unwrap().contains("6.10"), "{thp}");
}

#[test]
fn json_of_an_entry_has_its_frame_by_the_page_size() {
    for (size, address) in [("4096", "0x149efe000"), ("16K", "0x527bf8000"), ("64k", "0x149efe0000")] {
        let words = words(&["--pagemap", "--page-size", size, "0x8100000000149efe"]);
        let word = &words[0];
        assert_eq!((&word["pfn"], &word["physical_address"]), (&0x14_9efe.into(), &address.into()), "{word}");
        assert_eq!((&word["state"], &word["class"]), (&"present".into(), &Value::Null));
    }
    let words = words(&["--pagemap", "400000000000009f", "40000000000000e2", "4000000000000000"]);
    let states: Vec<&Value> = words.as_array().unwrap().iter().map(|word| &word["state"]).collect();
    assert_eq!(states, [&Value::from("guard"), &Value::from("swapped"), &Value::Null]);
    assert_eq!(words[1]["swap"], serde_json::json!({"type": 2, "offset": 7}));
}

#[test]
fn the_legend_has_every_flag_within_80_columns() {
    let legend = pmem(["decode", "--legend"]).with_status(0);
    assert!(legend.text().lines().all(|line| line.chars().count() <= 80), "{}", legend.text());
    let mut document = pmem(["decode", "--legend", "--json"]).with_status(0).json();
    let flags = document["data"]["flags"].take();
    let csv = pmem(["decode", "--legend", "--format", "csv"]).with_status(0);
    let mut records = csv.text().lines().skip(1);
    for flag in flags.as_array().unwrap() {
        let (bit, name) = (flag["bit"].as_u64().unwrap(), flag["name"].as_str().unwrap());
        assert!(legend.text().lines().any(|line| line.starts_with(&format!("{bit:>3}  {name} "))), "{bit} {name}");
        let record = records.next().unwrap();
        assert!(record.starts_with(&format!("{bit},{name},")), "{record}");
    }
    let bits: Vec<u64> = flags.as_array().unwrap().iter().map(|flag| flag["bit"].as_u64().unwrap()).collect();
    for bit in (0..=26).chain(32..=42).chain([47, 48, 50, 51, 61, 62, 63]) {
        assert!(bits.contains(&bit), "no bit {bit}");
    }
}

#[test]
fn columns_can_be_chosen() {
    assert_shows(
        &["-o", "raw,class,names", "5828", "lru"],
        "RAW     CLASS  NAMES\n0x5828  anon   UPTODATE LRU MMAP ANON SWAPBACKED\n0x20           LRU\n",
    );
    assert_shows(
        &["--format", "csv", "-o", "input,pfn", "--pagemap", "8000000000000005", "0"],
        "input,pfn\n8000000000000005,5\n0,\n",
    );
    let lines = pmem(["decode", "--format", "jsonl", "1", "2"]).with_status(0);
    assert_eq!(lines.text().lines().count(), 2);
}

#[test]
fn what_has_no_form_is_refused_whole() {
    for (arguments, part) in [
        (&["28", "lru,swapbakced"][..], "'swapbakced' is neither a hexadecimal word"),
        (&["PG_dirtty"], "did you mean 'dirty'?"),
        (&["12345678901234567"], "a hexadecimal word"),
        (&["\x1b[2J"], "\\x1b[2J"),
        (&["--pagemap", "lru"], "not a pagemap word"),
        (&["--swap", "8000000000000000"], "--pagemap"),
        (&["--pagemap", "--swap", "1"], "cannot be used with"),
        (&["--legend", "1"], "cannot be used with"),
        (&["--page-size", "5000", "1"], "expected a page size"),
        (&["--page-size", "+4096", "1"], "expected a page size"),
        (&[], "WORD"),
    ] {
        let run = pmem([&["decode"], arguments].concat()).with_status(2);
        assert!(run.stderr.contains(part), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{arguments:?}: {}", run.text());
    }
}

#[test]
fn an_ordinary_user_gets_the_same() {
    for arguments in [&["decode", "0x400005828", "thp"][..], &["decode", "--pagemap", "8100000000149efe"]] {
        let theirs = Ordinary::new().pmem(arguments).with_status(0);
        assert_eq!(theirs.text(), pmem(arguments).with_status(0).text());
        assert_eq!(theirs.stderr, "");
    }
}
