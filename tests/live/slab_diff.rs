//! `slab diff` on this kernel: a known number of objects comes and goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::ordinary::Ordinary;
use crate::support::run::{Finished, pmem};
use crate::support::scene::Scene;
use crate::support::skipped;

/// Whether there is a readable slabinfo; if not, reports that a test is skipped.
fn readable(test: &str) -> bool {
    let readable = Uid::effective().is_root() && fs::read("/proc/slabinfo").is_ok();
    if !readable {
        skipped(test, "only root reads /proc/slabinfo");
    }
    readable
}

/// The directory that the name of a cache leads to, if this kernel has one.
fn directory(name: &str) -> Option<PathBuf> {
    fs::canonicalize(Path::new("/sys/kernel/slab").join(name)).ok()
}

/// An attribute of a cache; 0 if this kernel does not have it.
fn attribute(directory: &Path, name: &str) -> i64 {
    let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// How many free objects of a cache can count as used: in each CPU's current slab, on its list of partial slabs (so
/// many that half of their objects are `cpu_partial`), in its sheaves, and in the node's full sheaves.
fn slack(directory: &Path) -> i64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    // One line for each, and one for all together. There may be more than this process may run on.
    let processors = stat.lines().filter(|line| line.starts_with("cpu")).count() as i64 - 1;
    let per_slab = attribute(directory, "objs_per_slab").max(1);
    let partial_slabs = (2 * attribute(directory, "cpu_partial") + per_slab - 1) / per_slab;
    let sheaf = attribute(directory, "sheaf_capacity");
    processors * (per_slab * (1 + partial_slabs) + 3 * sheaf) + 10 * sheaf
}

/// A new capture, in a directory that is removed with it.
fn capture() -> (TempDir, String) {
    let top = TempDir::new().unwrap();
    let tree = top.path().join("before").to_str().unwrap().to_owned();
    pmem(["capture", &tree, "self"]).with_status(0);
    (top, tree)
}

fn diff(before: &str, arguments: &[&str]) -> Finished {
    let run = pmem([&["slab", "diff", before], arguments].concat());
    assert!([0, 1].contains(&run.status) && run.stderr.is_empty(), "{}: {}", run.status, run.stderr);
    run
}

/// Every row of the difference between a capture and now.
fn rows(before: &str) -> Vec<Value> {
    let mut document = diff(before, &["--all", "--json"]).json();
    assert_eq!(document["schema"], "pmem.slab-diff/1");
    let Value::Array(rows) = document["data"]["caches"].take() else { panic!("{document}") };
    rows
}

/// Whether a row has this name.
fn is_called(row: &Value, name: &str) -> bool {
    let aliases = row["aliases"].as_array().into_iter().flatten();
    aliases.chain([&row["name"]]).any(|one| one == name)
}

fn grown(row: &Value) -> i64 {
    row["change"]["active_objects"].as_i64().unwrap()
}

/// By how many objects in use the cache with this name grew.
#[track_caller]
fn growth(before: &str, name: &str) -> i64 {
    let rows = rows(before);
    let mut found = rows.iter().filter(|row| is_called(row, name));
    let row = found.next().unwrap_or_else(|| panic!("no cache is called {name}: {rows:?}"));
    assert!(found.next().is_none(), "two caches are called {name}");
    grown(row)
}

/// Whether a cache soon frees most of `count` objects: the kernel frees some only a while after their last use.
fn goes_back(before: &str, name: &str, count: i64) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while growth(before, name) >= count / 2 {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// Objects of one kind that a scene makes.
struct Objects {
    scene: &'static str,
    /// A name of their cache.
    name: &'static str,
    /// How many at least; more if CPUs keep many.
    least: i64,
    /// How many the rest of the machine may allocate in the meantime.
    busy: i64,
}

impl Objects {
    /// Fails unless their cache grows by what the scene makes, give or take what CPUs keep and what the rest of the
    /// machine does, and shrinks again when the scene ends. `look` gets the capture, the rows and the number.
    #[track_caller]
    fn assert_come_and_go(&self, test: &str, look: impl Fn(&str, &[Value], i64)) {
        const TRIES: usize = 4;
        /// A test should not take more open files, or that much memory.
        const MOST: i64 = 20_000;
        if !readable(test) {
            return;
        }
        let Some(directory) = directory(self.name) else {
            return skipped(test, &format!("this kernel does not tell what {} is (/sys/kernel/slab)", self.name));
        };
        let slack = slack(&directory);
        let count = self.least.max(4 * slack);
        if count > MOST {
            return skipped(test, &format!("processors keep up to {slack} objects: it would take {count}"));
        }
        let bounds = count - slack - count / 10..=count + slack + self.busy;
        let mut wrong = Vec::new();
        for _ in 0..TRIES {
            let (_top, before) = capture();
            let scene = Scene::start(&[self.scene, &count.to_string()]);
            if let Some(reason) = scene.skipped() {
                return skipped(test, reason);
            }
            let growth = growth(&before, self.name);
            if !bounds.contains(&growth) {
                wrong.push(format!("grew by {growth}"));
                continue;
            }
            look(&before, &rows(&before), count);
            drop(scene);
            if goes_back(&before, self.name, count) {
                return;
            }
            wrong.push("did not shrink".to_owned());
        }
        panic!("{}: {bounds:?} objects are expected, and it {wrong:?}", self.name);
    }
}

#[test]
fn eventfds_are_open_files_and_small_allocations() {
    let files = Objects { scene: "eventfds", name: "filp", least: 5000, busy: 2000 };
    files.assert_come_and_go("eventfds_are_open_files_and_small_allocations", |before, rows, count| {
        // The size of a context depends on the kernel; it comes from kmalloc.
        let contexts = rows.iter().filter(|row| row["name"].as_str().unwrap().starts_with("kmalloc-"));
        let most = contexts.max_by_key(|row| grown(row)).unwrap();
        let kept = slack(&directory(most["name"].as_str().unwrap()).unwrap());
        assert!(grown(most) >= count - kept - count / 4, "no cache of kmalloc has the contexts: {most}");
        assert_eq!(diff(before, &["--filter", "^filp$"]).status, 1);
    });
}

#[test]
fn unix_sockets_do_not_look_like_signals() {
    let sockets = Objects { scene: "sockets", name: "UNIX", least: 2000, busy: 500 };
    sockets.assert_come_and_go("unix_sockets_do_not_look_like_signals", |before, rows, _| {
        let row = rows.iter().find(|row| is_called(row, "UNIX")).unwrap();
        let slabinfo = fs::read_to_string("/proc/slabinfo").unwrap();
        let name = row["name"].as_str().unwrap();
        assert!(slabinfo.lines().any(|line| line.split(' ').next() == Some(name)), "slabinfo has no {name}");
        assert_eq!(directory(name), directory("UNIX"), "{name} is another cache");
        // Whatever its name in slabinfo: people also see the socket's name, and that it is not the only one.
        let text = diff(before, &["--filter", "^UNIX$"]);
        assert!(text.text().contains("UNIX"), "{}", text.text());
        let merged = row["aliases"].as_array().is_some_and(|names| !names.is_empty());
        assert_eq!(text.text().contains("merged by the kernel"), merged, "{}", text.text());
    });
}

#[test]
fn files_that_are_not_there_are_dentries() {
    // Any access to files anywhere changes their number, and the kernel frees them when memory is short.
    let names = Objects { scene: "absent", name: "dentry", least: 5000, busy: 5000 };
    names.assert_come_and_go("files_that_are_not_there_are_dentries", |_, rows, _| {
        let row = rows.iter().find(|row| row["name"] == "dentry").unwrap();
        assert_eq!(row["reclaimable"], true);
    });
}

#[test]
fn two_readings_are_compared() {
    if !readable("two_readings_are_compared") {
        return;
    }
    let run = pmem(["slab", "diff", "-d", "0.05", "--json", "--all"]);
    assert!([0, 1].contains(&run.status), "{}: {}", run.status, run.stderr);
    let data = &run.json()["data"];
    assert!(data["seconds"].as_f64().unwrap() >= 0.05, "{data}");
    let caches = data["caches"].as_array().unwrap();
    let lines = fs::read_to_string("/proc/slabinfo").unwrap().lines().count() - 2;
    assert!(caches.len().abs_diff(lines) < 5, "{} caches, and slabinfo has {lines}", caches.len());
    assert!(caches.iter().all(|row| row["bytes_per_hour"].is_i64()));
    let sum: i64 = caches.iter().map(|row| row["change"]["bytes"].as_i64().unwrap()).sum();
    assert_eq!(data["totals"]["change"]["bytes"], sum);
}

#[test]
fn a_saved_copy_is_no_change_and_has_the_names_of_this_machine() {
    if !readable("a_saved_copy_is_no_change_and_has_the_names_of_this_machine") {
        return;
    }
    let top = TempDir::new().unwrap();
    let copy = top.path().join("copy");
    fs::write(&copy, fs::read("/proc/slabinfo").unwrap()).unwrap();
    let copy = copy.to_str().unwrap();
    let document = pmem(["slab", "diff", "--all", "--json", copy, copy]).with_status(0).json();
    let caches = document["data"]["caches"].as_array().unwrap();
    if directory("dentry").is_some() {
        assert!(caches.iter().all(|row| row["aliases"].is_array()), "a copy of this machine's has its names");
    }
}

#[test]
fn an_ordinary_user_is_told_what_would_help() {
    if fs::metadata("/proc/slabinfo").is_err() {
        return skipped("an_ordinary_user_is_told_what_would_help", "this kernel has no /proc/slabinfo");
    }
    let run = Ordinary::new().pmem(&["slab", "diff", "-d", "0.01"]).with_status(4);
    assert!(run.stdout.is_empty() && run.stderr.contains("slabinfo"), "{}", run.stderr);
    assert!(run.stderr.contains("CAP_DAC_READ_SEARCH"), "{}", run.stderr);
}
