//! `pmem buddy` against zoneinfo, and against frame flags, both read by the test itself.
//!
//! The memory of the whole machine changes while it is read. So the kernel's number is read before and after pmem reads
//! it, and if it was not the same, pmem's may differ by as much, and by what came and went in between.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use serde_json::Value;

use crate::support::json::number;
use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::{agrees, page_size, skipped};

/// What pmem itself takes from the per-CPU lists while it runs, in pages of 4 KiB, with a margin.
const OWN: u64 = 1024;

/// How often a comparison is tried until memory is quiet enough.
const ATTEMPTS: usize = 10;

/// `nr_free_pages` and the pages on per-CPU lists, for each zone that has memory.
fn zoneinfo() -> BTreeMap<(u64, String), (u64, u64)> {
    let mut zones = BTreeMap::new();
    let mut key = (0, String::new());
    for line in fs::read_to_string("/proc/zoneinfo").unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = || words[1].parse::<u64>().unwrap();
        match words[0] {
            "Node" => key = (words[1].trim_end_matches(',').parse().unwrap(), words[3].to_owned()),
            "nr_free_pages" => zones.entry(key.clone()).or_insert((0, 0)).0 = value(),
            "count:" => zones.entry(key.clone()).or_insert((0, 0)).1 += value(),
            _ => {}
        }
    }
    zones
}

/// Whether `seen` is between the values before and after, or not further from them than they are from each other.
fn between(before: u64, seen: u64, after: u64, slack: u64) -> bool {
    let slack = slack.max(before.abs_diff(after));
    (before.min(after).saturating_sub(slack)..=before.max(after) + slack).contains(&seen)
}

fn zones(data: &Value) -> &Vec<Value> {
    data["zones"].as_array().expect("zones")
}

fn key_of(zone: &Value) -> (u64, String) {
    (number(&zone["node"]), zone["zone"].as_str().unwrap().to_owned())
}

#[test]
fn free_blocks_add_up_to_what_zoneinfo_says() {
    agrees(ATTEMPTS, || {
        let before = zoneinfo();
        let document = pmem(["buddy", "--json", "--no-blockers"]).with_status(0).json();
        let after = zoneinfo();
        let shown = zones(&document["data"]);
        assert_eq!(shown.iter().map(key_of).collect::<Vec<_>>().len(), before.len(), "every zone that has memory");
        for zone in shown {
            let key = key_of(zone);
            let blocks = zone["free_blocks"].as_array().unwrap().iter().map(number);
            let sum: u64 = (0u32..).zip(blocks).map(|(order, blocks)| blocks << order).sum();
            assert_eq!(number(&zone["free_pages"]), sum);
            assert_eq!(number(&zone["free_bytes"]), sum * page_size());
            let ((free_before, lists_before), (free_after, lists_after)) = (before[&key], after[&key]);
            let lists = number(&zone["per_cpu_pages"]);
            if !between(free_before, sum, free_after, OWN) || !between(lists_before, lists, lists_after, OWN) {
                return Err(format!("{key:?}: {sum}, {lists}; {:?} before, {:?} after", before[&key], after[&key]));
            }
        }
        Ok(())
    });
}

/// Bits of /proc/kpageflags, by include/uapi/linux/kernel-page-flags.h.
const LRU: u64 = 1 << 5;
const SLAB: u64 = 1 << 7;
const BUDDY: u64 = 1 << 10;
const COMPOUND_HEAD: u64 = 1 << 15;
const COMPOUND_TAIL: u64 = 1 << 16;
const HUGE: u64 = 1 << 17;
const ZERO_PAGE: u64 = 1 << 24;

/// What the test counts on the whole machine.
#[derive(Debug, Default)]
struct Blocks {
    /// Blocks that are entirely free.
    free: u64,
    /// Blocks that are a huge page, or part of a larger one.
    huge: u64,
    /// Blocks that contain a slab page.
    slab: u64,
    /// Free frames, wherever they are.
    free_frames: u64,
}

/// Counts the blocks of `size` frames.
fn blocks(flags: &mut File, size: usize) -> Blocks {
    let (mut found, mut head) = (Blocks::default(), 0);
    let mut bytes = vec![0; size * 8];
    // An incomplete last block does not count.
    while flags.read_exact(&mut bytes).is_ok() {
        let (mut of_buddy, mut tails, mut any) = (0, 0, 0);
        for word in bytes.chunks_exact(8) {
            let word = u64::from_ne_bytes(word.try_into().unwrap());
            of_buddy += u64::from(word & BUDDY != 0);
            tails += u64::from(word & COMPOUND_TAIL != 0);
            any |= word;
        }
        let first = u64::from_ne_bytes(bytes[..8].try_into().unwrap());
        if first & COMPOUND_TAIL == 0 {
            head = first;
        }
        let somebodys = head & COMPOUND_HEAD != 0 && head & (LRU | HUGE | ZERO_PAGE) != 0;
        found.free_frames += of_buddy;
        found.free += u64::from(of_buddy == size as u64);
        found.huge += u64::from(somebodys && tails >= size as u64 - 1);
        found.slab += u64::from(any & SLAB != 0);
    }
    found
}

#[test]
fn blocks_are_what_the_flags_of_their_frames_say() {
    if let Err(error) = File::open("/proc/kpageflags") {
        return skipped("blocks_are_what_the_flags_of_their_frames_say", &format!("/proc/kpageflags: {error}"));
    }
    let order = &pmem(["buddy", "--json", "--no-blockers"]).with_status(0).json()["data"]["huge_page_order"];
    let size = 1 << number(order);
    agrees(ATTEMPTS, || {
        let look = || blocks(&mut File::open("/proc/kpageflags").unwrap(), size);
        let before = look();
        let document = pmem(["buddy", "--json", "--blockers"]).with_status(0).json();
        let after = look();
        let data = &document["data"];
        let found = &data["huge_blocks"];
        let of = |name: &str| number(&found[name]);
        let kinds = ["free", "huge", "movable", "locked", "unmovable", "unclassified", "unflagged"];
        assert_eq!(kinds.map(of).iter().sum::<u64>(), of("blocks"), "{found}");
        let blockers = found["blockers"].as_array().unwrap();
        assert_eq!(blockers.iter().map(|blocker| number(&blocker["blocks"])).sum::<u64>(), of("unmovable"));
        for name in kinds {
            let sum: u64 = zones(data).iter().map(|zone| number(&zone["huge_blocks"][name])).sum();
            assert_eq!(sum, of(name), "{name} over zones");
        }
        // The contents of incomplete blocks are not counted.
        let edges = (of("outside") + 1).min(64) * size as u64;
        let frames = of("free") * size as u64 + of("scattered_free_frames");
        let checks = [
            ("free blocks", between(before.free, of("free"), after.free, 64)),
            ("huge pages", between(before.huge, of("huge"), after.huge, 4)),
            ("blocks with slab", of("unmovable") + 64 >= before.slab.min(after.slab)),
            ("free frames", between(before.free_frames, frames, after.free_frames, edges)),
            (
                "free blocks by order",
                zones(data)
                    .iter()
                    .all(|zone| number(&zone["free_huge_pages"]).abs_diff(number(&zone["huge_blocks"]["free"])) <= 64),
            ),
        ];
        match checks.iter().find(|(_, holds)| !holds) {
            None => Ok(()),
            Some((what, _)) => Err(format!("{what}: {before:?}, {after:?}, {found}")),
        }
    });
}

#[test]
fn an_ordinary_user_sees_free_blocks_and_is_told_what_is_missing() {
    let user = Ordinary::new();
    let document = user.pmem(&["buddy", "--json"]).with_status(0).json();
    let data = &document["data"];
    assert!(zones(data).iter().any(|zone| number(&zone["free_pages"]) > 0));
    assert_eq!((&data["huge_blocks"], &data["migrate_types"]), (&Value::Null, &Value::Null));
    let notes = document["notes"].as_array().unwrap();
    for (code, path) in [("blockers-unknown", "/proc/kpageflags"), ("migrate-types-unknown", "/proc/pagetypeinfo")] {
        let note = notes.iter().find(|note| note["code"] == code).unwrap_or_else(|| panic!("no note {code}"));
        assert!(note["text"].as_str().unwrap().contains(path), "{note}");
    }
    let table = user.pmem(&["buddy"]).with_status(0);
    assert!(table.text().contains(" free now\n") && table.text().contains("CAP_DAC_READ_SEARCH"), "{}", table.text());
    let refused = user.pmem(&["buddy", "--blockers"]).with_status(4);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("CAP_DAC_READ_SEARCH"), "{}", refused.stderr);
}

#[test]
fn migrate_types_have_all_free_blocks() {
    if let Err(error) = File::open("/proc/pagetypeinfo") {
        return skipped("migrate_types_have_all_free_blocks", &format!("/proc/pagetypeinfo: {error}"));
    }
    agrees(ATTEMPTS, || {
        let document = pmem(["buddy", "--json", "--no-blockers"]).with_status(0).json();
        let types = document["data"]["migrate_types"].as_array().unwrap();
        for zone in zones(&document["data"]) {
            let of_zone = types.iter().filter(|row| key_of(row) == key_of(zone));
            let (free, at_least) = of_zone.fold((0, false), |(free, at_least), row| {
                (free + number(&row["free_pages"]), at_least || row["at_least"] == true)
            });
            let total = number(&zone["free_pages"]);
            if free.abs_diff(total) > 1024 && !(at_least && free < total) {
                return Err(format!("{:?}: {free} by type, {total} by order", key_of(zone)));
            }
        }
        Ok(())
    });
}
