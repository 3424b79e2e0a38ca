//! Frames: in the kernel's files, read by the tests themselves, and in pmem's documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::unistd::Uid;
use serde_json::Value;

use super::json::{hex_address, number};
use super::run::pmem;
use super::{page_size, skipped};

pub(crate) const BUDDY: u64 = 1 << 10;
pub(crate) const ANON: u64 = 1 << 12;
pub(crate) const SWAPBACKED: u64 = 1 << 14;
pub(crate) const ZERO_PAGE: u64 = 1 << 24;

/// Whether the tests may see frame numbers; if not, reports that a test is skipped.
pub(crate) fn visible(test: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        skipped(test, "frame numbers are hidden from this user");
    }
    root
}

/// The frames of `pages` pages from an address on, by `/proc/PID/pagemap`: `None` if not present. Fewer if the process
/// ends.
pub(crate) fn frames_of(pid: u64, address: u64, pages: u64) -> Vec<Option<u64>> {
    let mut bytes = vec![0; pages as usize * 8];
    let pagemap = File::open(format!("/proc/{pid}/pagemap"));
    let read = pagemap.and_then(|file| file.read_at(&mut bytes, address / page_size() * 8)).unwrap_or(0);
    let words = bytes[..read].chunks_exact(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()));
    words.map(|word| (word >> 63 == 1).then_some(word & ((1 << 55) - 1))).collect()
}

/// The frame of one page that must be present.
#[track_caller]
pub(crate) fn frame_at(pid: u64, address: u64) -> u64 {
    frames_of(pid, address, 1)[0].unwrap_or_else(|| panic!("process {pid} has nothing at {address:#x}"))
}

/// `/proc/kpageflags`, `/proc/kpagecount` or `/proc/kpagecgroup`.
#[derive(Debug)]
pub(crate) struct FrameFile(File);

impl FrameFile {
    pub(crate) fn open(name: &str) -> Self {
        Self(File::open(format!("/proc/{name}")).unwrap())
    }

    /// The word of a frame; `None` past the end of memory.
    pub(crate) fn word(&self, pfn: u64) -> Option<u64> {
        let mut word = [0; 8];
        let read = self.0.read_at(&mut word, pfn * 8).unwrap();
        (read == 8).then(|| u64::from_ne_bytes(word))
    }

    /// The first frame number that has no word, found by bisection.
    pub(crate) fn end(&self) -> u64 {
        let (mut low, mut high) = (0, 1 << 40);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.word(middle).is_some() { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// One page of a `pmem.pages/1` document.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) address: u64,
    pub(crate) pfn: Option<u64>,
    /// The run that it is in.
    pub(crate) run: Value,
}

impl Page {
    pub(crate) fn class(&self) -> &str {
        self.run["class"].as_str().unwrap_or("(none)")
    }

    pub(crate) fn has_flag(&self, name: &str) -> bool {
        self.run["flags"]["names"].as_array().into_iter().flatten().any(|flag| flag == name)
    }
}

/// The pages that `pmem pages` shows with these arguments, one by one, ascending.
#[track_caller]
pub(crate) fn pages(arguments: &[&str]) -> Vec<Page> {
    let document = pmem([&["pages", "--json"], arguments].concat()).with_status(0).json();
    assert_eq!(document["schema"], "pmem.pages/1");
    let mut pages: Vec<Page> = Vec::new();
    for run in document["data"]["runs"].as_array().expect("runs") {
        let (address, pfn) = (hex_address(&run["address"]), run["pfn"].as_u64());
        assert!(pages.last().is_none_or(|page| page.address < address), "runs ascend and do not overlap: {run}");
        pages.extend((0..number(&run["pages"])).map(|at| Page {
            address: address + at * page_size(),
            pfn: pfn.map(|pfn| pfn + at),
            run: run.clone(),
        }));
    }
    pages
}

/// A range of addresses as an argument: this many pages from an address on.
pub(crate) fn range(address: u64, pages: u64) -> String {
    format!("{address:#x}-{:#x}", address + pages * page_size())
}

/// Frame numbers as arguments, consecutive ones as one.
pub(crate) fn as_arguments(pfns: &BTreeSet<u64>) -> Vec<String> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &pfn in pfns {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == pfn => *count += 1,
            _ => runs.push((pfn, 1)),
        }
    }
    runs.iter().map(|(first, count)| format!("{first:#x}+{count}")).collect()
}

/// The frames of a document of `pmem page` or `pmem rmap`, by their numbers.
#[track_caller]
pub(crate) fn by_number(document: &Value) -> BTreeMap<u64, Value> {
    let frames = document["data"]["frames"].as_array().expect("frames");
    frames.iter().map(|frame| (number(&frame["pfn"]), frame.clone())).collect()
}

/// Who maps a frame, by `pmem rmap`: process and address, as often as they occur.
#[track_caller]
pub(crate) fn mappers(frame: &Value) -> Vec<(u64, u64)> {
    let mappers = frame["mappers"].as_array().expect("mappers");
    let mut mappers: Vec<_> = mappers.iter().map(|by| (number(&by["pid"]), hex_address(&by["address"]))).collect();
    mappers.sort_unstable();
    mappers
}
