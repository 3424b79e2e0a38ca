//! Recorded trees: the fixtures, copies of them to be damaged, and what is in their files, read by the tests
//! themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use walkdir::WalkDir;

use super::run::{Finished, finish};

/// The address space a run gets, in KiB. The trees would take terabytes.
const MEMORY_KIB: &str = "400000";

/// The processor time a run gets, in seconds: then a signal ends it, which fails the test. All take milliseconds; one
/// that counted the pages of a false claim one by one would take days.
const SECONDS: u32 = 10;

/// The fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A copy of a tree, to be damaged.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) top: TempDir,
}

impl Tree {
    pub(crate) fn like(fixture: &str) -> Self {
        let top = TempDir::new().unwrap();
        copy(&fixtures().join(fixture), &top.path().join("tree"));
        Self { top }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.top.path().join("tree").join(relative)
    }

    pub(crate) fn write(&self, relative: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(relative), text).unwrap();
    }

    pub(crate) fn replace(&self, relative: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(relative)).unwrap();
        assert!(text.contains(from), "{relative} has no {from}");
        self.write(relative, text.replace(from, to));
    }

    pub(crate) fn remove(&self, relative: &str) {
        fs::remove_file(self.path(relative)).unwrap();
    }

    /// Runs pmem on it with little memory and time.
    pub(crate) fn pmem(&self, arguments: &[&str]) -> Finished {
        let limited = format!("ulimit -v {MEMORY_KIB} && ulimit -t {SECONDS} && exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_pmem"), "--root"]).arg(self.path(""));
        finish(command.args(arguments))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// The words of a recorded file by their index; those not covered by any run are omitted.
pub(crate) fn words(file: &Path) -> BTreeMap<u64, u64> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut words = BTreeMap::new();
    for line in text.lines().skip(1).filter(|line| !line.starts_with('#')) {
        let numbers: Vec<u64> = line.split(' ').map(|number| u64::from_str_radix(number, 16).unwrap()).collect();
        let [index, count, word, step] = numbers[..] else { panic!("{line}") };
        words.extend((0..count).map(|place| (index + place, word + place * step)));
    }
    words
}

/// The recorded trees that contain `proc/meminfo`, by their names under `fixtures/`, sorted.
pub(crate) fn trees_with_meminfo() -> Vec<String> {
    trees_with("proc/meminfo")
}

/// The recorded trees that contain a file, by their names under `fixtures/`, sorted.
pub(crate) fn trees_with(file: &str) -> Vec<String> {
    let trees = WalkDir::new(fixtures()).min_depth(2).max_depth(2).sort_by_file_name().into_iter();
    let trees = trees.map(Result::unwrap).filter(|tree| tree.path().join(file).exists());
    trees.map(|tree| tree.path().strip_prefix(fixtures()).unwrap().to_str().unwrap().to_owned()).collect()
}
