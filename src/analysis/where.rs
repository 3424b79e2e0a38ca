//! Where the machine's memory is: the ledger, whether memory is short, and what both are compared with.

pub mod available;
pub mod diff;
pub mod frames;
pub mod ledger;

use serde::Serialize;

use super::note::Note;
use super::vmalloc::DIRECT;
use crate::analysis::series::MINUTE;
use crate::analysis::r#where::available::{Available, Verdict};
use crate::analysis::r#where::frames::Frames;
use crate::analysis::r#where::ledger::{Ledger, Line, UNACCOUNTED, balloon_outside};
use crate::error::Result;
use crate::kernel::r#where::Sources;
use crate::model::meminfo::ALWAYS;
use crate::model::pressure::Pressure;
use crate::unit::PageSize;

/// The report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// MemTotal: what the lines add up to.
    pub total_bytes: i64,
    /// The lines; the last is `unaccounted`, unless they were sorted in another way.
    #[serde(skip)]
    pub lines: Vec<Row>,
    /// Whether the machine is short of memory; `None` if unknown.
    pub verdict: Option<Verdict>,
    /// The verdict in words; `None` if there is enough.
    pub verdict_text: Option<String>,
    /// Memory available without swapping.
    pub available: Available,
    /// How long tasks wait for memory; `None` if the kernel does not report it.
    pub pressure: Option<Pressure>,
    /// Memory that exists but is not in MemTotal, as far as it is known.
    pub outside: Vec<Outside>,
    /// Page frames compared with the counters; `None` if they cannot be read, or were not.
    pub frames: Option<Frames>,
    /// Keys of meminfo that no line uses and that are not known to be part of one.
    pub other_keys: Vec<OtherKey>,
    /// Keys of meminfo that lines use but that this kernel lacks.
    pub missing_keys: Vec<&'static str>,
}

/// A line, and what it is compared with.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line.
    pub line: Line,
    /// Its share of MemTotal.
    pub share_percent: Option<f64>,
    /// The group that contains it in the count of frames.
    pub frames_group: Option<&'static str>,
    /// The size of that group by the count of frames, on the first of its lines; for what no flag identifies, see the
    /// groups.
    pub frames_bytes: Option<i64>,
    /// How it changes, from the second round on.
    pub trend: Option<Trend>,
}

/// How a line changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trend {
    /// Since the round before.
    pub change_bytes: i64,
    /// Since the first round.
    pub since_start_bytes: i64,
    /// The same per minute; `None` until a minute has passed: less time says nothing about a minute.
    pub per_minute_bytes: Option<i64>,
}

/// Memory that exists but is not in MemTotal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outside {
    /// Its name.
    pub name: &'static str,
    /// What people call it.
    #[serde(skip)]
    pub title: &'static str,
    /// Its size.
    pub bytes: i64,
    /// The counters it is computed from.
    pub source: &'static str,
    /// Page descriptors in it, if the kernel reports them (since Linux 6.11).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memmap_bytes: Option<i64>,
}

/// A key of meminfo and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherKey {
    /// The key.
    pub key: String,
    /// Its value, if that is a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its value, if that is not a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// The keys of meminfo that lines and their parts are made of.
const USED: [&str; 33] = [
    "MemTotal",
    "MemFree",
    "CmaFree",
    "Unaccepted",
    "AnonPages",
    "AnonHugePages",
    "SwapCached",
    "Active(anon)",
    "Inactive(anon)",
    "Active(file)",
    "Inactive(file)",
    "Unevictable",
    "Cached",
    "Shmem",
    "ShmemHugePages",
    "Buffers",
    "Mapped",
    "Dirty",
    "Writeback",
    "Slab",
    "SReclaimable",
    "SUnreclaim",
    "KReclaimable",
    "PageTables",
    "SecPageTables",
    "KernelStack",
    "ShadowCallStack",
    "VmallocUsed",
    "Percpu",
    "Hugetlb",
    "Balloon",
    "Zswap",
    "HardwareCorrupted",
];

/// Those that only some kernels have: the others do not have what they count, or have stopped counting it.
const SOMETIMES: [&str; 5] = ["Bounce", "WritebackTmp", "Quicklists", "GPUActive", "GPUReclaim"];

/// Those that say the same in another way, or nothing about MemTotal.
const OF_NO_LINE: [&str; 26] = [
    "MemAvailable",
    "Active",
    "Inactive",
    "Mlocked",
    "HighTotal",
    "HighFree",
    "LowTotal",
    "LowFree",
    "SwapTotal",
    "SwapFree",
    "Zswapped",
    "NFS_Unstable",
    "CommitLimit",
    "Committed_AS",
    "VmallocTotal",
    "VmallocChunk",
    "ShmemPmdMapped",
    "FileHugePages",
    "FilePmdMapped",
    "CmaTotal",
    "HugePages_Total",
    "HugePages_Free",
    "HugePages_Rsvd",
    "HugePages_Surp",
    "Hugepagesize",
    "EarlyMemtestBad",
];

/// What is present but outside of MemTotal, most of it since boot (0 if zoneinfo cannot be read), and what is offline
/// or in a balloon, in bytes.
pub fn outside_of_total(sources: &Sources, total: i64, page_size: PageSize) -> (i64, i64) {
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let present = sources.zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.present));
    let balloon = balloon_outside(sources, page_size);
    // What a balloon took out of MemTotal is still present.
    let reserved = size(page_size.bytes_of(present)).saturating_sub(total).saturating_sub(balloon).max(0);
    (reserved, size(sources.offline_bytes).saturating_add(balloon))
}

impl Report {
    /// Makes the report from what was read, and compares its ledger with `frames`.
    ///
    /// # Errors
    /// See [`ledger()`](ledger::ledger).
    pub fn new(sources: &Sources, frames: Option<Frames>, page_size: PageSize) -> Result<Self> {
        let Ledger { total, lines } = ledger::ledger(sources, page_size)?;
        let available = Available::of(sources, page_size);
        let pressure = sources.pressure.as_ref().ok().copied();
        let (verdict, verdict_text) = Verdict::of(total.unsigned_abs(), available.bytes, pressure.as_ref());
        let row = |line: Line| {
            let group = frames.as_ref().and_then(|frames| frames.of_line(line.name));
            Row {
                share_percent: line.bytes.map(|bytes| percent(bytes, total)),
                frames_group: group.map(|(group, _)| group.name),
                frames_bytes: group.filter(|(_, first)| *first).map(|(group, _)| group.frames_bytes),
                trend: None,
                line,
            }
        };
        let meminfo = &sources.counters.meminfo;
        let listed = |key: &str| [&USED[..], &SOMETIMES, &OF_NO_LINE].iter().any(|keys| keys.contains(&key));
        let known = |key: &str| listed(key) || DIRECT.iter().any(|(direct, _)| *direct == key);
        let has = |key: &str| meminfo.keys().any(|(name, ..)| name == key);
        Ok(Self {
            total_bytes: total,
            lines: lines.into_iter().map(row).collect(),
            verdict,
            verdict_text,
            available,
            pressure,
            outside: outside(sources, total, page_size),
            frames,
            other_keys: meminfo.keys().filter(|(key, ..)| !known(key)).map(other_key).collect(),
            missing_keys: USED.into_iter().filter(|key| !has(key)).collect(),
        })
    }

    /// What no counter covers.
    pub fn unaccounted(&self) -> i64 {
        self.lines.iter().find(|row| row.line.name == UNACCOUNTED).and_then(|row| row.line.bytes).unwrap_or(0)
    }

    /// Its share of MemTotal, in percent.
    pub fn unaccounted_percent(&self) -> f64 {
        percent(self.unaccounted(), self.total_bytes)
    }

    /// Records how lines changed since the round before and since the first, which was `seconds` ago.
    pub fn compare(&mut self, first: &[Row], last: &[Row], seconds: f64) {
        let per_minute = |change: i64| {
            (seconds >= MINUTE.as_secs_f64()).then_some((change as f64 * MINUTE.as_secs_f64() / seconds) as i64)
        };
        let bytes = |rows: &[Row], name| rows.iter().find(|row| row.line.name == name).and_then(|row| row.line.bytes);
        for row in &mut self.lines {
            let name = row.line.name;
            row.trend =
                row.line.bytes.zip(bytes(first, name)).zip(bytes(last, name)).map(|((now, first), last)| Trend {
                    change_bytes: now - last,
                    since_start_bytes: now - first,
                    per_minute_bytes: per_minute(now - first),
                });
        }
    }

    /// What the reader must know; with `verbose`, more of it is for people.
    pub fn notes(&self, sources: &Sources, verbose: bool) -> Vec<Note> {
        let mut notes = Vec::new();
        for line in self.lines.iter().map(|row| &row.line) {
            let Some(text) = line.note else { continue };
            let matters = match line.name {
                // These notes change the meaning of the number; elsewhere the number is what its name says.
                "swap_cache" | "balloon" => line.bytes.is_some_and(|bytes| bytes > 0) || line.name == "balloon",
                _ => line.bytes.is_none(),
            };
            let note = Note::general("line", format!("{}: {text}", line.title));
            notes.push(Note { in_json_only: !matters && !verbose, ..note });
        }
        if let Err(why) = &sources.pressure {
            notes.push(Note::general("no-pressure", format!("memory pressure is not known: {why}")));
        }
        // The error about the file covers the others.
        let missing: Vec<&str> = self.missing_keys.iter().copied().filter(|key| !ALWAYS.contains(key)).collect();
        if !missing.is_empty() {
            let text = format!("this kernel's meminfo lacks {}", missing.join(", "));
            // A line that every machine has is missing because of it.
            let lacks = |row: &Row| !row.line.rare && row.line.bytes.is_none() && row.line.note.is_none();
            let torn = missing.len() < self.missing_keys.len();
            let in_json_only = torn || !verbose && !self.lines.iter().any(lacks);
            notes.push(Note { in_json_only, ..Note::general("missing-keys", text) });
        }
        // They are also reported as errors.
        let trouble = |text: &String| Note { in_json_only: true, ..Note::general("source-incomplete", text.as_str()) };
        notes.extend(sources.troubles.iter().map(trouble));
        if !self.other_keys.is_empty() {
            let keys: Vec<&str> = self.other_keys.iter().map(|other| other.key.as_str()).collect();
            let text = format!("meminfo has keys that no line uses: {}", keys.join(", "));
            notes.push(Note { in_json_only: !verbose, ..Note::general("other-keys", text) });
        }
        notes.push(Note { in_json_only: true, ..Note::general("unaccounted", self.about_unaccounted("unaccounted")) });
        notes
    }

    /// What is or can be in `unaccounted`, and which tools would show it, as a sentence about `subject`.
    pub fn about_unaccounted(&self, subject: &str) -> String {
        let unknown: Vec<String> = self
            .lines
            .iter()
            .filter(|row| row.line.is_in_the_rest())
            .map(|row| format!("'{}'", row.line.title))
            .collect();
        let (and, rest) = match self.unaccounted() < 0 {
            true => (
                "",
                "the lines add up to more than MemTotal: counters are not read at the same moment, some lag by a batch of \
                 pages per CPU, and the first chunk of per-CPU data was allocated before MemTotal was counted",
            ),
            false => (
                "and also ",
                "pages of drivers and modules (graphics, DMA, network buffers), unmapped parts of huge pages, pages in \
                 transit. page_owner (boot with page_owner=on) or drgn would show their owners",
            ),
        };
        let lines = match unknown.len() {
            0 => return format!("{subject}: {rest}"),
            1 => "this line, whose size is not known",
            _ => "these lines, whose sizes are not known",
        };
        format!("{subject}, includes {lines}: {}; {and}{rest}", unknown.join(", "))
    }
}

fn percent(part: i64, whole: i64) -> f64 {
    // To three decimals: nobody needs more.
    (part as f64 * 100_000.0 / whole.max(1) as f64).round() / 1000.0
}

fn other_key((key, number, is_size): (&str, u64, bool)) -> OtherKey {
    let (bytes, count) = if is_size { (Some(number), None) } else { (None, Some(number)) };
    OtherKey { key: key.to_owned(), bytes, count }
}

fn outside(sources: &Sources, total: i64, page_size: PageSize) -> Vec<Outside> {
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let offline = size(sources.offline_bytes);
    let memmap = sources.vmstat.get("nr_memmap_boot_pages").map(|pages| size(page_size.bytes_of(pages)));
    let (reserved, _) = outside_of_total(sources, total, page_size);
    let row = |name, title, bytes, source| Outside { name, title, bytes, source, memmap_bytes: None };
    let mut rows = vec![
        Outside {
            memmap_bytes: memmap,
            ..row("outside_of_total", "outside of MemTotal", reserved, "zoneinfo present − MemTotal")
        },
        row("offline", "offline", offline, "memory blocks of sysfs"),
        row("balloon", "in a balloon", balloon_outside(sources, page_size), "meminfo Balloon"),
    ];
    rows.retain(|row| row.bytes > 0);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_in_two_lists() {
        let mut all: Vec<&str> = [&USED[..], &SOMETIMES, &OF_NO_LINE].concat();
        all.extend(DIRECT.iter().map(|(key, _)| *key));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
