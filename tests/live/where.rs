//! `pmem where` on this machine: it adds up, two accounts agree or say why not, and allocated memory appears in its
//! line.

use std::hint::black_box;
use std::io::{Seek, Write};
use std::os::fd::AsFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::Uid;
use serde_json::Value;

use crate::support::counters::meminfo;
use crate::support::frames::visible;
use crate::support::json::number;
use crate::support::ordinary::Ordinary;
use crate::support::run::{Finished, pmem};
use crate::support::text::assert_no_control;
use crate::support::{page_size, skipped};

/// The data of a document whose lines add up to MemTotal.
#[track_caller]
fn adds_up(finished: &Finished) -> Value {
    let mut document = finished.json();
    assert_eq!(document["schema"], "pmem.where/1");
    let data = document["data"].take();
    let sum: i64 = data["lines"].as_array().unwrap().iter().filter_map(|line| line["bytes"].as_i64()).sum();
    assert_eq!(sum as u64, number(&data["total_bytes"]));
    assert_eq!(number(&data["total_bytes"]), meminfo("MemTotal") * page_size());
    data
}

#[track_caller]
fn bytes(data: &Value, name: &str) -> i64 {
    let line = data["lines"].as_array().unwrap().iter().find(|line| line["name"] == name);
    line.unwrap_or_else(|| panic!("no line {name}"))["bytes"].as_i64().unwrap_or(0)
}

#[test]
fn it_adds_up_and_little_is_unaccounted() {
    let user = Ordinary::new();
    for finished in [pmem(["where", "--json"]), user.pmem(&["where", "--json"])] {
        let data = adds_up(&finished.with_status(0));
        let (rest, total) = (bytes(&data, "unaccounted"), number(&data["total_bytes"]) as i64);
        // The first chunk of per-CPU data was never in MemTotal: that is much if a small machine has many possible
        // CPUs.
        let least = -total / 50 - bytes(&data, "per_cpu_data");
        assert!(rest > least, "{rest} of {total} bytes: something is counted twice: {}", data["lines"]);
        if rest > total / 50 {
            // Graphics drivers, ZFS and others take pages that no counter covers.
            skipped("it_adds_up_and_little_is_unaccounted", &format!("{rest} of {total} bytes are a driver's here"));
        }
        assert!(bytes(&data, "free") > 0 && bytes(&data, "anonymous") > 0 && bytes(&data, "kernel_stacks") > 0);
    }
}

#[test]
fn what_can_be_had_is_what_the_kernel_says() {
    // Two files are read one after the other, and memory moves between them.
    const TRIES: usize = 20;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let available = adds_up(&pmem(["where", "--json", "--no-frames"]).with_status(0))["available"].take();
        let Some(difference) = available["difference_bytes"].as_i64() else {
            return skipped("what_can_be_had_is_what_the_kernel_says", "zoneinfo or MemAvailable is not there");
        };
        if difference.unsigned_abs() <= 4 << 20 {
            return;
        }
        tries.push(available);
    }
    panic!("never within 4 MiB: {tries:?}");
}

#[test]
fn both_accounts_are_all_of_ram_and_every_difference_has_its_reason() {
    if !visible("both_accounts_are_all_of_ram_and_every_difference_has_its_reason") {
        return;
    }
    let data = adds_up(&pmem(["where", "--json", "--frames"]).with_status(0));
    let frames = &data["frames"];
    let groups = frames["groups"].as_array().unwrap();
    let sum: u64 = groups.iter().map(|group| number(&group["frames_bytes"])).sum();
    assert_eq!(sum, number(&frames["ram_bytes"]));
    assert!(sum >= number(&data["total_bytes"]), "MemTotal is part of RAM");
    for group in groups {
        let difference = group["difference_bytes"].as_i64().unwrap_or(0).abs();
        let why = group["why"].as_str().unwrap_or("");
        assert!(difference <= group["moved_bytes"].as_i64().unwrap_or(0) || why.len() > 10, "{group}");
    }
    // What one group has in excess is missing in others: the differences add up to nothing, except for changes and
    // holes.
    let rest: i64 = groups.iter().map(|group| group["difference_bytes"].as_i64().unwrap_or(0)).sum();
    let total = number(&data["total_bytes"]) as i64;
    assert!(rest.abs() < total / 50, "{rest} bytes are in one account only: {groups:?}");
    let table = pmem(["where"]).with_status(0);
    assert!(table.text().contains("FRAMES"), "root is shown both: {}", table.text());
}

#[test]
fn an_ordinary_user_gets_one_account() {
    let user = Ordinary::new();
    let run = user.pmem(&["where"]).with_status(0);
    assert!(!run.text().contains("FRAMES") && run.text().contains("slabinfo"), "{}", run.text());
    assert_no_control(&run.stdout, "where");
    assert_eq!(run.text().lines().find(|line| line.chars().count() > 80), None, "80 columns suffice");
    let refused = user.pmem(&["where", "--frames"]);
    if refused.status == 3 {
        return skipped("an_ordinary_user_gets_one_account", "this kernel has no files of page frames");
    }
    let refused = refused.with_status(4);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("/proc/kpage"), "{}", refused.stderr);
    assert!(Uid::effective().is_root() || pmem(["where", "--frames"]).status == 4);
}

#[test]
fn memory_that_is_taken_is_in_its_line() {
    const TEST: &str = "memory_that_is_taken_is_in_its_line";
    const MIB: i64 = 1 << 20;
    /// Others allocate and free in the meantime. Steady growth cancels out in the mean of what came and went, bursts in
    /// the median of several tries.
    const TRIES: std::ops::RangeInclusive<usize> = 5..=25;
    let look = || adds_up(&pmem(["where", "--json", "--no-frames"]).with_status(0));
    let mut cached = tempfile::tempfile().unwrap();
    let on_disk = fstatfs(cached.as_fd()).is_ok_and(|fs| fs.filesystem_type() != TMPFS_MAGIC);
    if !on_disk {
        skipped(&format!("{TEST}: file cache"), "the directory for temporary files is a tmpfs");
    }
    let mut wanted = vec![("anonymous", 64 * MIB), ("shared_memory", 32 * MIB)];
    wanted.extend(on_disk.then_some(("file_cache", 16 * MIB)));
    let mut moved = vec![Vec::new(); wanted.len()];
    for done in 1..=*TRIES.end() {
        let before = look();
        let anonymous = vec![1u8; 64 << 20];
        let mut shared = std::fs::File::from(memfd_create("taken", MFdFlags::MFD_CLOEXEC).unwrap());
        shared.write_all(&anonymous[..32 << 20]).unwrap();
        cached.write_all(&anonymous[..16 << 20]).unwrap();
        let with = look();
        black_box(&anonymous);
        drop((anonymous, shared));
        cached.set_len(0).unwrap();
        cached.rewind().unwrap();
        let after = look();
        let mut all_are_right = true;
        for (moved, (name, size)) in moved.iter_mut().zip(&wanted) {
            moved.push(bytes(&with, name) - (bytes(&before, name) + bytes(&after, name)) / 2);
            moved.sort_unstable();
            all_are_right &= (moved[moved.len() / 2] - size).abs() <= size / 4;
        }
        if all_are_right && TRIES.contains(&done) {
            return;
        }
    }
    panic!("the median is not as much as was taken: {wanted:?}, {moved:?}");
}

#[test]
fn rounds_show_the_change() {
    let rounds = pmem(["where", "-n", "3", "-d", "0.05", "--format", "jsonl"]).with_status(0);
    let rows: Vec<Value> = rounds.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rounds: Vec<&[Value]> = rows.chunks(rows.len() / 3).collect();
    assert!(rounds[0].iter().all(|row| row["change_bytes"].is_null()));
    for (first, (second, third)) in rounds[0].iter().zip(rounds[1].iter().zip(rounds[2])) {
        let bytes = |row: &Value| row["bytes"].as_i64();
        let Some(((first, second), last)) = bytes(first).zip(bytes(second)).zip(bytes(third)) else { continue };
        let of = |field: &str| third[field].as_i64().unwrap();
        assert_eq!((of("change_bytes"), of("since_start_bytes")), (last - second, last - first), "{third}");
        assert!(third["per_minute_bytes"].is_null(), "less than a minute says nothing of one: {third}");
    }
}
