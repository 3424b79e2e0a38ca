//! Trees that lie about frames: they are refused or answered, quickly and without much memory.

use std::fs::File;

use crate::support::text::assert_no_control;
use crate::support::tree::Tree;

const WORDS: &str = "pmem-words 1 holes=zero\n";

/// The commands that read all frames.
const OF_ALL: [&[&str]; 5] =
    [&["phys", "--mapcounts", "--cgroups"], &["phys", "--map"], &["lru"], &["buddy", "--blockers"], &["doctor"]];

/// Those that read some frames, or processes.
const OF_SOME: [&[&str]; 8] = [
    &["page", "0x100200", "0xfffffffffffffffe", "0x10ffff", "--json"],
    &["page", "0x100000+512"],
    &["pages", "131"],
    &["pages", "131", "--json", "--mapcount", ">1", "--class", "anon"],
    &["rmap", "0x100200", "0"],
    &["rmap", "--shared-with", "131"],
    &["rmap", "--shared-with", "131", "135"],
    &["translate", "131", "200000000000"],
];

fn machine() -> Tree {
    Tree::like("6.1/machine")
}

impl Tree {
    /// Requires that every command answers or refuses, quickly and with little memory.
    #[track_caller]
    fn answers(&self, what: &str) {
        for command in OF_ALL.iter().chain(&OF_SOME) {
            let finished = self.pmem(command);
            let said = format!("{what}, {command:?}: {} {}", finished.status, finished.stderr);
            assert!([0, 1, 3, 4, 42].contains(&finished.status), "{said}");
            assert!(!finished.stderr.is_empty() || !finished.stdout.is_empty(), "{said}");
            assert_no_control(&finished.stdout, &said);
        }
    }

    /// Requires that these commands refuse it with these words and nothing on standard output.
    #[track_caller]
    fn refused_by(&self, commands: &[&[&str]], words: &str) {
        for command in commands {
            let refused = self.pmem(command);
            assert!([1, 3].contains(&refused.status), "{command:?}: {} {}", refused.status, refused.stderr);
            assert!(refused.stdout.is_empty() && refused.stderr.contains(words), "{command:?}: {}", refused.stderr);
        }
    }
}

#[test]
fn more_frames_than_any_machine_has_are_refused() {
    for end in ["1000000000000000", "100000001", "ffffffffffffffff"] {
        let tree = machine();
        tree.write("proc/kpageflags", format!("{WORDS}0 {end} 5828 0\n"));
        tree.refused_by(&OF_ALL[..3], "more frames");
        tree.answers(end);
    }
    let tree = machine();
    tree.write("proc/kpageflags", format!("{WORDS}0 100000001 5828 1\n"));
    tree.refused_by(&OF_ALL[..3], "kpageflags:2");
}

#[test]
fn tails_without_a_head_and_tails_for_ever_are_no_folios() {
    for (what, runs) in [
        ("a tail without head", "0 100000 400 0\n100200 1 10000 0\n100201 100 5828 0\n"),
        ("tails from the first frame on", "0 110000 10000 0\n"),
        ("one head and tails for ever", "0 1 8000 0\n1 10ffff 10800 0\n"),
        ("tails of many kinds", "0 1 8000 0\n1 ffff 10800 1\n"),
        ("heads only", "0 110000 8800 0\n"),
        ("heads and tails at once", "0 110000 18800 0\n"),
        ("every bit", "0 110000 ffffffffffffffff 0\n"),
        ("every word another", "0 10000 1 10001\n"),
    ] {
        let tree = machine();
        tree.write("proc/kpageflags", format!("{WORDS}{runs}"));
        tree.answers(what);
    }
}

#[test]
fn counts_and_cgroups_at_their_limits_are_numbers() {
    for file in ["proc/kpagecount", "proc/kpagecgroup"] {
        for runs in ["0 110000 ffffffffffffffff 0\n", "0 110000 fffffffffffffff0 1\n", "0 1000000000000000 7 0\n", ""] {
            let tree = machine();
            tree.write(file, format!("{WORDS}{runs}"));
            tree.answers(&format!("{file} {runs}"));
        }
    }
}

#[test]
fn truncated_files_are_refused() {
    for file in ["proc/kpageflags", "proc/kpagecount", "proc/kpagecgroup"] {
        let tree = machine();
        let length = tree.path(file).metadata().unwrap().len();
        for cut in [0, 10, length - 3] {
            File::options().write(true).open(tree.path(file)).unwrap().set_len(cut).unwrap();
            if cut < length - 3 {
                tree.refused_by(&[OF_ALL[0], &["page", "1"], &["rmap", "1"]], file);
            }
            tree.answers(&format!("{file} cut to {cut}"));
        }
        tree.remove(file);
        tree.answers(&format!("no {file}"));
        // Sparse: no disk is filled.
        File::create(tree.path(file)).unwrap().set_len(100 << 30).unwrap();
        tree.refused_by(&[OF_ALL[0], &["page", "1"]], "larger than");
    }
}

#[test]
fn zones_with_absurd_numbers_stop_nothing() {
    let largest = u64::MAX.to_string();
    for (from, to) in [
        ("spanned  61408", format!("spanned  {largest}")),
        ("present  61408", format!("present  {largest}")),
        ("start_pfn:           4096", format!("start_pfn:           {largest}")),
        ("start_pfn:           1048576", "start_pfn:           0".to_owned()),
        ("spanned  32768", "spanned  9223372036854775808".to_owned()),
        ("managed", "spanned".to_owned()),
        ("Node 0", "Node 4294967295".to_owned()),
        ("Node 0", "Node 99999999999".to_owned()),
        ("Movable", "\u{1b}[2J".to_owned()),
    ] {
        let tree = machine();
        tree.replace("proc/zoneinfo", from, &to);
        tree.answers(&format!("{from} → {to}"));
    }
    let tree = machine();
    let zone = tree.text("proc/zoneinfo");
    tree.write("proc/zoneinfo", zone.repeat(2000));
    tree.answers("zones without end");
}

impl Tree {
    fn text(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap()
    }
}

#[test]
fn memory_at_absurd_places_stops_nothing() {
    for text in [
        "",
        "garbage",
        "ffffffffffffffff-0000000000000000 : System RAM\n",
        "00000000-ffffffffffffffff : System RAM\n",
        "00000000-00000000 : System RAM\n",
        &"00001000-00001fff : System RAM\n".repeat(10_000),
    ] {
        let tree = machine();
        tree.write("proc/iomem", text);
        tree.answers(&format!("iomem {:?}", text.get(..40)));
    }
    for (file, text) in [
        ("sys/devices/system/memory/block_size_bytes", "0"),
        ("sys/devices/system/memory/block_size_bytes", "ffffffffffffffff"),
        ("sys/devices/system/memory/block_size_bytes", "-1"),
        ("sys/devices/system/memory/memory33/state", "\u{1b}[2J"),
        ("sys/kernel/mm/ksm/pages_shared", "18446744073709551615"),
        ("proc/slabinfo", "slabinfo - version: 9\n"),
        ("proc/buddyinfo", "Node 0, zone DMA 18446744073709551615 18446744073709551615\n"),
    ] {
        let tree = machine();
        tree.write(file, text);
        tree.answers(&format!("{file} {text:?}"));
    }
}

#[test]
fn cgroups_that_are_malformed_are_not_shown() {
    for text in ["x", "1\n", "1 2\n", "1 zz\n", "99999999999999999999 2f\n", "\u{0}", &"1 2f\n".repeat(100_000)] {
        let tree = machine();
        tree.write("memory_cgroups", text);
        tree.answers(&format!("{:?}", text.get(..10)));
    }
    let tree = machine();
    // A name that would clear the screen.
    tree.write("memory_cgroups", "1 1b5b324a0a\n23 2f\n");
    let table = tree.pmem(&["phys", "--cgroups"]).with_status(0);
    assert_no_control(&table.stdout, "phys");
    assert!(table.text().contains("\\x1b[2J"), "{}", table.text());
}

#[test]
fn page_maps_that_claim_everything_take_no_time() {
    for (what, run) in [
        ("2^60 pages of one frame", "0 1000000000000000 8000000000100200 0"),
        ("2^35 pages of one frame", "1 7fffffffe 8000000000100200 0"),
        ("2^35 swapped pages", "1 7fffffffe 4000000000000020 0"),
        ("pages of frames behind the end", "200000000 1000 807fffffffffff00 0"),
        ("2^20 pages of all frames", "200000000 100000 8000000000000000 1"),
    ] {
        let tree = machine();
        tree.write("proc/131/pagemap", format!("{WORDS}{run}\n"));
        tree.answers(what);
    }
}

#[test]
fn processes_that_share_with_anybody_stop_nothing() {
    for text in ["131", "7", "x", "18446744073709551615", ""] {
        let tree = machine();
        for pid in [131, 135, 136] {
            tree.write(&format!("proc/{pid}/same_memory"), text);
        }
        tree.answers(&format!("same_memory {text:?}"));
    }
}
