//! What the parent observes after a step: the process as `pmem frames` and `pmem pages` see it, and each quantity from every
//! source that has it.

use std::collections::HashMap;
use std::ops::Range;

use super::facts::{Facts, Ranges};
use super::quantity::Quantity;
use super::report::{Cell, Observed};
use super::script::{Subject, Who};
use super::turns::Reply;
use crate::analysis::frames::{Ledger, ProcessFrames, VmaRow};
use crate::analysis::pages::{PageReader, Run, Wanted};
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::FrameReader;
use crate::error::Result;
use crate::kernel::page_cache::{self, CachedFile, Found};
use crate::kernel::process::Process;
use crate::kernel::root::{Root, SMALL};
use crate::model::pagemap::{Entry, State};
use crate::model::smaps::Value;
use crate::model::status;
use crate::model::vmstat::Vmstat;
use crate::unit::VirtAddr;

/// A function that adds its findings to an observation.
pub type Reader = fn(&mut Look<'_>) -> Result<()>;

/// A process of a demo, with its counts.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) process: &'a Process,
    pub(super) ranges: Ranges,
    pub(super) frames: ProcessFrames,
    pub(super) status: Vec<u8>,
}

/// Every page, with everything that is known about it.
const EVERYTHING: Wanted = Wanted {
    range: VirtAddr(0)..VirtAddr(0),
    states: Vec::new(),
    flags: None,
    classes: Vec::new(),
    mapcount: None,
    mapcounts: true,
    cgroups: false,
    frames: true,
    each: false,
};

/// The values of earlier observations, by quantity and source.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    values: HashMap<(Quantity, &'static str), (i64, i64)>,
    frames: HashMap<Quantity, Vec<(u64, u64)>>,
    /// The number of migrated frames when the last observation began.
    pub(super) moved_at: Option<u64>,
}

/// The `/proc/vmstat` counter of successfully migrated frames (compaction).
pub(super) const MOVED: &str = "pgmigrate_success";

/// A system-wide counter of `/proc/vmstat`; `None` if this kernel does not have it.
pub(super) fn counter(root: &Root, name: &str) -> Option<u64> {
    Vmstat::parse(&root.dir().read("proc/vmstat", SMALL).ok()?).get(name)
}

/// One observation, after a step or before the first one.
#[derive(Debug)]
pub struct Look<'a> {
    /// What is known about the machine.
    pub facts: &'a Facts<'a>,
    /// The demo's subjects.
    pub subjects: &'static [Subject],
    pub(super) seen: [Option<Seen<'a>>; 2],
    pub(super) reply: Reply,
    pub(super) wanted: &'a [Quantity],
    pub(super) smaps_keys: &'a [String],
    /// Reads the state of frames; `None` if the kpage files are not readable.
    pub frame_reader: Option<&'a FrameReader>,
    /// The number of migrated frames when this observation began.
    pub(super) moved_at: Option<u64>,
    pub(super) history: &'a mut History,
    pub(super) runs: HashMap<&'static str, Vec<Run>>,
    pub(super) observed: Vec<Observed>,
}

impl<'a> Look<'a> {
    /// The machine.
    pub fn root(&self) -> &Root {
        self.facts.root
    }

    /// Whether a quantity is expected or shown anywhere in this demo. Others need not be read.
    pub fn wants(&self, quantity: Quantity) -> bool {
        self.wanted.contains(&quantity)
    }

    /// Adds the value of a quantity from one source.
    pub fn add(&mut self, quantity: Quantity, source: &'static str, value: i64) {
        if self.wants(quantity) {
            self.observed.push(Observed::of(quantity, source, value));
        }
    }

    /// Adds the change since the last observation; nothing at the first one.
    pub fn add_change(&mut self, quantity: Quantity, source: &'static str, value: i64) {
        if let Some((_, last)) = self.remember(quantity, source, value) {
            self.add(quantity, source, value - last);
        }
    }

    /// Adds the change since before the first step.
    pub fn add_since_start(&mut self, quantity: Quantity, source: &'static str, value: i64) {
        if let Some((first, _)) = self.remember(quantity, source, value) {
            self.add(quantity, source, value - first);
        }
    }

    /// Stores a value; returns the source's values of the first observation and of the last one.
    pub(super) fn remember(&mut self, quantity: Quantity, source: &'static str, value: i64) -> Option<(i64, i64)> {
        let before = self.history.values.get(&(quantity, source)).copied();
        let first = before.map_or(value, |(first, _)| first);
        self.history.values.insert((quantity, source), (first, value));
        before
    }

    /// One of the demo's processes; `None` if it has not started or has ended.
    pub fn process(&self, who: Who) -> Option<&'a Process> {
        self.seen[who as usize].as_ref().map(|seen| seen.process)
    }

    /// The ledger of a whole process.
    pub fn ledger(&self, who: Who) -> Option<Ledger> {
        self.seen[who as usize].as_ref()?.frames.ledger.clone()
    }

    /// One of the worker's files, to examine its page cache; `None` if it has no such file open.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn file(&self, number: usize) -> Result<Option<CachedFile>> {
        let (Some(process), descriptor) = (self.process(Who::Worker), self.reply.files[number]) else {
            return Ok(None);
        };
        if descriptor == 0 {
            return Ok(None);
        }
        match page_cache::open(&process.path(&format!("fd/{descriptor}")), true)? {
            Found::File(file) => Ok(Some(file)),
            _ => Ok(None),
        }
    }

    /// A value of a process's `status`, in bytes.
    pub fn status(&self, who: Who, key: &str) -> Option<i64> {
        status::bytes_of(&self.seen[who as usize].as_ref()?.status, key)?.try_into().ok()
    }

    /// The range of a subject; `None` if its process does not exist, or if it was never mapped.
    pub fn range(&self, subject: &Subject) -> Option<Range<VirtAddr>> {
        let [start, length] = self.seen[subject.who as usize].as_ref()?.ranges[subject.place];
        (length > 0).then(|| VirtAddr(start)..VirtAddr(start + length))
    }

    /// All mappings of a process.
    pub fn mappings(&self, who: Who) -> &[VmaRow] {
        self.seen[who as usize].as_ref().map_or(&[], |seen| &seen.frames.vmas)
    }

    /// The mappings that overlap a subject's range, as counted by `pmem frames`.
    pub fn rows(&self, subject: &Subject) -> Vec<&VmaRow> {
        let Some(range) = self.range(subject) else { return Vec::new() };
        let overlaps = |row: &&VmaRow| row.vma.range.start < range.end && range.start < row.vma.range.end;
        self.mappings(subject.who).iter().filter(overlaps).collect()
    }

    /// The part of a mapping that lies in a subject's range.
    pub fn part(&self, subject: &Subject, row: &VmaRow) -> Range<VirtAddr> {
        let vma = &row.vma.range;
        let range = self.range(subject).unwrap_or_else(|| vma.clone());
        vma.start.max(range.start)..vma.end.min(range.end)
    }

    /// Whether a subject is only part of a mapping, such as the heap. Values known only for whole mappings do not apply to it.
    pub fn is_part(&self, subject: &Subject) -> bool {
        self.rows(subject).iter().any(|row| self.part(subject, row) != row.vma.range)
    }

    /// The sum of an smaps key over a subject's mappings, in bytes; `None` if this kernel does not have the key.
    pub fn smaps(&self, subject: &Subject, key: &str) -> Option<i64> {
        self.smaps_of(self.rows(subject), key)
    }

    /// The sum of an smaps key over some mappings, in bytes.
    pub fn smaps_of<'r>(&self, rows: impl IntoIterator<Item = &'r VmaRow>, key: &str) -> Option<i64> {
        let place = self.smaps_keys.iter().position(|known| known == key)?;
        let value = |row: &VmaRow| match row.smaps.as_ref()?.values.get(place)?.as_ref()? {
            Value::Bytes(bytes) => i64::try_from(*bytes).ok(),
            Value::Number(_) => None,
        };
        rows.into_iter().map(value).sum()
    }

    /// Like [`smaps`](Self::smaps), in pages.
    pub fn smaps_pages(&self, subject: &Subject, key: &str) -> Option<i64> {
        self.smaps(subject, key).map(|bytes| bytes / self.facts.page() as i64)
    }

    /// The total size, in pages, of a subject's mappings with this code in VmFlags; `None` if smaps has no VmFlags.
    pub fn flagged_pages(&self, subject: &Subject, code: &str) -> Option<i64> {
        let size = |row: &&VmaRow| {
            let flags = row.smaps.as_ref()?.flags.as_deref()?;
            Some(if flags.split(' ').any(|flag| flag == code) { row.size_pages as i64 } else { 0 })
        };
        self.rows(subject).iter().map(size).sum()
    }

    /// The pagemap entries of a subject.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn entries(&self, subject: &Subject) -> Result<Vec<Entry>> {
        let (Some(range), Some(process)) = (self.range(subject), self.process(subject.who)) else {
            return Ok(Vec::new());
        };
        let page_size = self.facts.page_size;
        let mut words = vec![0; page_size.pages_between(&range) as usize];
        let read = process.pagemap()?.read(page_size.index_of(range.start), &mut words)?;
        words.truncate(read);
        Ok(words.into_iter().map(Entry).collect())
    }

    /// The non-empty pages of a subject, as `pmem pages` lists them. They are read once per observation.
    ///
    /// # Errors
    /// Those of reading pagemap.
    pub fn pages(&mut self, subject: &Subject) -> Result<&[Run]> {
        if !self.runs.contains_key(subject.name) {
            let mut runs = Vec::new();
            if let (Some(range), Some(process)) = (self.range(subject), self.process(subject.who)) {
                let wanted = Wanted { range, ..EVERYTHING };
                let reader = PageReader {
                    frame_reader: self.frame_reader,
                    wanted: &wanted,
                    features: &self.facts.features,
                    page_size: self.facts.page_size,
                    swap_areas: self.facts.root.swap_areas(),
                };
                reader.read(process, |part| {
                    runs.extend(part);
                    Ok(())
                })?;
            }
            self.runs.insert(subject.name, runs);
        }
        Ok(self.runs.get(subject.name).map_or(&[], Vec::as_slice))
    }

    /// The frames of a subject, as pairs of page index and PFN. Empty if frame numbers are hidden.
    ///
    /// # Errors
    /// As [`pages`](Self::pages).
    pub fn frame_numbers(&mut self, subject: &Subject) -> Result<Vec<(u64, u64)>> {
        let Some(range) = self.range(subject) else { return Ok(Vec::new()) };
        let page = self.facts.page_size.bytes();
        let frames = |run: &Run| {
            let first = (run.address.0 - range.start.0) / page;
            let pages = run.pages;
            run.pfn
                .filter(|_| run.state == State::Present)
                .map(move |pfn| (0..pages).map(move |i| (first + i, pfn.0 + i)))
        };
        Ok(self.pages(subject)?.iter().filter_map(frames).flatten().collect())
    }

    /// The frames of a quantity at the last observation; `now` is stored for the next one. `None` if the kernel may have
    /// migrated frames in between, because changes would then not be the demo's doing.
    pub fn last_frames(&mut self, quantity: Quantity, now: Vec<(u64, u64)>) -> Option<Vec<(u64, u64)>> {
        let last = self.history.frames.insert(quantity, now);
        last.filter(|_| self.history.moved_at == counter(self.root(), MOVED))
    }

    /// The number of a subject's pages in runs that satisfy a condition.
    ///
    /// # Errors
    /// As [`pages`](Self::pages).
    pub fn count_pages(&mut self, subject: &Subject, is_so: impl Fn(&Run) -> bool) -> Result<i64> {
        let pages: u64 = self.pages(subject)?.iter().filter(|run| is_so(run)).map(|run| run.pages).sum();
        Ok(pages as i64)
    }

    /// The state of each page of the first subject; empty if it is large.
    pub(super) fn cells(&mut self) -> Result<Vec<Cell>> {
        const MOST: u64 = 4096;
        let Some(subject) = self.subjects.first() else { return Ok(Vec::new()) };
        let Some(range) = self.range(subject) else { return Ok(Vec::new()) };
        let (page, start) = (self.facts.page_size.bytes(), range.start.0);
        let pages = self.facts.page_size.pages_between(&range);
        if pages > MOST {
            return Ok(Vec::new());
        }
        let rows = self.rows(subject);
        let counts = rows.iter().filter_map(|row| row.counts.as_ref());
        let (zero, present) = counts.fold((0, 0), |(zero, present), c| (zero + c.zero, present + c.present));
        let mut cells = vec![Cell::Unmapped; pages as usize];
        for row in &rows {
            let page_at = |address: VirtAddr| (address.0.clamp(start, range.end.0) - start) / page;
            cells[page_at(row.vma.range.start) as usize..page_at(row.vma.range.end) as usize].fill(Cell::Empty);
        }
        for run in self.pages(subject)? {
            let cell = match run.state {
                // Without frame numbers, zero pages are known only if all present pages are zero pages.
                State::Present if run.class == Some(Class::ZeroPage) || zero == present => Cell::Zero,
                State::Present => Cell::Frame,
                State::Swapped => Cell::Swapped,
                _ => Cell::Empty,
            };
            let first = ((run.address.0 - start) / page) as usize;
            cells.iter_mut().skip(first).take(run.pages as usize).for_each(|place| *place = cell);
        }
        Ok(cells)
    }
}
