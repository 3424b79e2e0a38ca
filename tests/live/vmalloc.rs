//! `pmem vmalloc` against vmallocinfo as the test reads it, and against areas that the test creates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::sync::Barrier;
use std::thread;

use serde_json::Value;

use crate::support::counters::counters_lag;
use crate::support::json::number;
use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::{agrees, page_size, skipped};

/// How often a comparison is tried until the machine is quiet enough.
const ATTEMPTS: usize = 20;

/// Areas, addresses and pages by the third word, without its offset: a caller, or the first word if there is none.
type ByCaller = BTreeMap<String, (u64, u64, u64)>;

/// The file, parsed in the simplest way; `None` if it cannot be read.
fn vmallocinfo() -> Option<ByCaller> {
    let mut callers = ByCaller::new();
    for line in fs::read_to_string("/proc/vmallocinfo").ok()?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pages = words.iter().find_map(|word| word.strip_prefix("pages=")).map_or(0, |pages| pages.parse().unwrap());
        let of = callers.entry(words[2].split('+').next().unwrap().to_owned()).or_default();
        *of = (of.0 + 1, of.1 + words[1].parse::<u64>().unwrap(), of.2 + pages);
    }
    Some(callers)
}

fn data() -> Value {
    pmem(["vmalloc", "--json"]).with_status(0).json()["data"].take()
}

/// The same from pmem's report.
fn shown(data: &Value) -> ByCaller {
    let mut callers = ByCaller::new();
    for row in data["callers"].as_array().expect("callers") {
        let of = callers.entry(row["function"].as_str().or(row["kind"].as_str()).unwrap().to_owned()).or_default();
        *of = (of.0 + number(&row["areas"]), of.1 + number(&row["size_bytes"]), of.2 + number(&row["pages"]));
    }
    callers
}

fn meminfo(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or("0 kB");
    value.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Whether `seen` is between the values before and after, inclusive.
fn between(before: u64, seen: u64, after: u64) -> bool {
    (before.min(after)..=before.max(after)).contains(&seen)
}

#[test]
fn every_caller_has_what_the_file_says() {
    if vmallocinfo().is_none() {
        return skipped("vmalloc against vmallocinfo", "it is not readable");
    }
    // Stacks come and go all the time: each caller has to agree once.
    let mut agreed = BTreeSet::new();
    agrees(ATTEMPTS, || {
        let before = vmallocinfo().unwrap();
        let seen = shown(&data());
        let after = vmallocinfo().unwrap();
        let mut reasons = Vec::new();
        for name in before.keys().chain(seen.keys()).chain(after.keys()) {
            let of = |callers: &ByCaller| callers.get(name).copied().unwrap_or_default();
            let (b, s, a) = (of(&before), of(&seen), of(&after));
            if between(b.0, s.0, a.0) && between(b.1, s.1, a.1) && between(b.2, s.2, a.2) {
                agreed.insert(name.clone());
            } else if !agreed.contains(name) {
                reasons.push(format!("{name}: {b:?} before, {s:?}, {a:?} after"));
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
    });
}

/// What may come and go while the machine is read, in bytes, in addition to the lag of the counter.
const MOVES: u64 = 1 << 20;

#[test]
fn owned_pages_are_those_that_meminfo_counts() {
    if vmallocinfo().is_none() {
        return skipped("vmalloc against VmallocUsed", "vmallocinfo is not readable");
    }
    if meminfo("VmallocUsed") == 0 {
        return skipped("vmalloc against VmallocUsed", "this kernel does not count");
    }
    agrees(ATTEMPTS, || {
        let before = meminfo("VmallocUsed");
        let data = data();
        let after = meminfo("VmallocUsed");
        let kinds = data["kinds"].as_array().unwrap();
        let owned = number(&kinds.iter().find(|kind| kind["kind"] == "vmalloc").unwrap()["bytes"]);
        let check = data["checks"].as_array().unwrap().iter().find(|check| check["name"] == "VmallocUsed").unwrap();
        assert_eq!(number(&check["ours_bytes"]), owned);
        let moves = MOVES + counters_lag() * page_size();
        // Each caller's pages are compared with the file elsewhere; what changes here are stacks.
        let near = |bytes: u64| before.min(after) <= bytes + moves && bytes <= before.max(after) + moves;
        match near(owned) && near(number(&check["kernel_bytes"])) {
            true => Ok(()),
            false => Err(format!("{before} before, {after} after: {check}")),
        }
    });
}

#[test]
fn terminals_show_up_and_go() {
    const TERMINALS: usize = 30;
    let named = |callers: &ByCaller| callers.get("n_tty_open").copied().unwrap_or_default();
    if vmallocinfo().is_none() {
        return skipped("vmalloc of terminals", "vmallocinfo is not readable");
    }
    agrees(ATTEMPTS, || {
        let before = named(&shown(&data()));
        let open: Vec<File> = (0..TERMINALS).filter_map(|_| File::open("/dev/ptmx").ok()).collect();
        let during = named(&shown(&data()));
        if open.len() < TERMINALS || named(&vmallocinfo().unwrap()) == (0, 0, 0) {
            skipped("vmalloc of terminals", "there are no terminals, or this kernel's do not use vmalloc");
            return Ok(());
        }
        drop(open);
        let after = named(&shown(&data()));
        // Each has a line discipline at both ends, each with an area of the same size.
        let (areas, pages) = (2 * TERMINALS as u64, 2 * TERMINALS as u64 * (during.2 / during.0));
        match during.0 == before.0 + areas && during.2 == before.2 + pages && after == before {
            true => Ok(()),
            false => Err(format!("{before:?} before, {during:?} with {TERMINALS} terminals, {after:?} after")),
        }
    });
}

#[test]
fn stacks_of_threads_are_among_the_stacks() {
    const THREADS: usize = 100;
    let stacks = |data: &Value| {
        let check = data["checks"].as_array().unwrap().iter().find(|check| check["name"] == "KernelStack").cloned();
        check.map(|check| number(&check["ours_bytes"]))
    };
    if vmallocinfo().is_none() {
        return skipped("kernel stacks in vmalloc", "vmallocinfo is not readable");
    }
    if stacks(&data()).is_none() {
        return skipped("kernel stacks in vmalloc", "no caller is known as that of stacks (CONFIG_VMAP_STACK?)");
    }
    // Those that other processes free in the meantime, and the free ones that are kept, two per CPU, are less than
    // half.
    let least = THREADS as u64 / 2 * page_size();
    agrees(ATTEMPTS, || {
        let before = stacks(&data()).unwrap_or(0);
        let (started, done) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        let during = thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    started.wait();
                    done.wait();
                });
            }
            started.wait();
            let during = stacks(&data()).unwrap_or(0);
            done.wait();
            during
        });
        match during >= before + least {
            true => Ok(()),
            false => Err(format!("{before} before, {during} with {THREADS} threads")),
        }
    });
}

#[test]
fn an_ordinary_user_gets_the_direct_map_and_the_reason() {
    let user = Ordinary::new();
    let run = user.pmem(&["vmalloc"]).with_status(4);
    assert!(run.stderr.contains("CAP_DAC_READ_SEARCH"), "{}", run.stderr);
    assert!(run.text().starts_with("The kernel's own mappings\n"), "{}", run.text());
    let data = user.pmem(&["vmalloc", "--json"]).with_status(4).json()["data"].take();
    assert_eq!((&data["callers"], &data["kinds"]), (&Value::Null, &Value::Null));
    assert!(number(&data["mappings"]["memory_bytes"]) > 0);
    assert!(user.pmem(&["vmalloc", "--areas"]).with_status(4).stdout.is_empty());
}
