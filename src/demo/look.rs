//! What the parent sees after a step: the process as `pmem frames` and `pmem pages` see it, and what each quantity is by every
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

/// Something that is looked at: adds what it finds to the look.
pub type Reader = fn(&mut Look<'_>) -> Result<()>;

/// A process of a demo, and what was counted of it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) process: &'a Process,
    pub(super) ranges: Ranges,
    pub(super) frames: ProcessFrames,
    pub(super) status: Vec<u8>,
}

/// Every page, and all that can be told of it.
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

/// What was read at former looks, by quantity and source.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    values: HashMap<(Quantity, &'static str), (i64, i64)>,
    frames: HashMap<Quantity, Vec<(u64, u64)>>,
    /// The frames that the kernel had moved when the last look began.
    pub(super) moved_at: Option<u64>,
}

/// The counter of `/proc/vmstat` that tells of frames whose contents the kernel has moved to others (compaction).
pub(super) const MOVED: &str = "pgmigrate_success";

/// A counter of `/proc/vmstat`, which is the machine's; `None` where it is not there.
pub(super) fn counter(root: &Root, name: &str) -> Option<u64> {
    Vmstat::parse(&root.dir().read("proc/vmstat", SMALL).ok()?).get(name)
}

/// One look, after a step or before the first.
#[derive(Debug)]
pub struct Look<'a> {
    /// What is known of the machine.
    pub facts: &'a Facts<'a>,
    /// The demo's subjects.
    pub subjects: &'static [Subject],
    pub(super) seen: [Option<Seen<'a>>; 2],
    pub(super) reply: Reply,
    pub(super) wanted: &'a [Quantity],
    pub(super) smaps_keys: &'a [String],
    /// Tells of frames; `None` where their files are not readable.
    pub frame_reader: Option<&'a FrameReader>,
    /// The frames that the kernel had moved when this look began.
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

    /// Whether a quantity is expected or shown anywhere in this demo. What is not need not be read.
    pub fn wants(&self, quantity: Quantity) -> bool {
        self.wanted.contains(&quantity)
    }

    /// Adds what a source says of a quantity.
    pub fn add(&mut self, quantity: Quantity, source: &'static str, value: i64) {
        if self.wants(quantity) {
            self.observed.push(Observed::of(quantity, source, value));
        }
    }

    /// The same, as far as it is not what it was at the last look. The first look has none to compare with.
    pub fn add_change(&mut self, quantity: Quantity, source: &'static str, value: i64) {
        if let Some((_, last)) = self.remember(quantity, source, value) {
            self.add(quantity, source, value - last);
        }
    }

    /// The same, as far as it is not what it was before the first step.
    pub fn add_since_start(&mut self, quantity: Quantity, source: &'static str, value: i64) {
        if let Some((first, _)) = self.remember(quantity, source, value) {
            self.add(quantity, source, value - first);
        }
    }

    /// What a source said at the first look and at the last.
    pub(super) fn remember(&mut self, quantity: Quantity, source: &'static str, value: i64) -> Option<(i64, i64)> {
        let before = self.history.values.get(&(quantity, source)).copied();
        let first = before.map_or(value, |(first, _)| first);
        self.history.values.insert((quantity, source), (first, value));
        before
    }

    /// One of the demo's processes; `None` where it has not begun, or has ended.
    pub fn process(&self, who: Who) -> Option<&'a Process> {
        self.seen[who as usize].as_ref().map(|seen| seen.process)
    }

    /// The account of a process as a whole.
    pub fn ledger(&self, who: Who) -> Option<Ledger> {
        self.seen[who as usize].as_ref()?.frames.ledger.clone()
    }

    /// One of the worker's files, to see what is cached of it; `None` where it has none open there.
    ///
    /// # Errors
    /// What opening it says.
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

    /// A line of a process's `status`, in bytes.
    pub fn status(&self, who: Who, key: &str) -> Option<i64> {
        status::bytes_of(&self.seen[who as usize].as_ref()?.status, key)?.try_into().ok()
    }

    /// Where a subject is; `None` where its process is not there, or it has never been anywhere.
    pub fn range(&self, subject: &Subject) -> Option<Range<VirtAddr>> {
        let [start, length] = self.seen[subject.who as usize].as_ref()?.ranges[subject.place];
        (length > 0).then(|| VirtAddr(start)..VirtAddr(start + length))
    }

    /// All mappings of a process.
    pub fn mappings(&self, who: Who) -> &[VmaRow] {
        self.seen[who as usize].as_ref().map_or(&[], |seen| &seen.frames.vmas)
    }

    /// The mappings of a subject, as `pmem frames` counts them: those that overlap its range.
    pub fn rows(&self, subject: &Subject) -> Vec<&VmaRow> {
        let Some(range) = self.range(subject) else { return Vec::new() };
        let overlaps = |row: &&VmaRow| row.vma.range.start < range.end && range.start < row.vma.range.end;
        self.mappings(subject.who).iter().filter(overlaps).collect()
    }

    /// The part of a mapping that a subject has.
    pub fn part(&self, subject: &Subject, row: &VmaRow) -> Range<VirtAddr> {
        let vma = &row.vma.range;
        let range = self.range(subject).unwrap_or_else(|| vma.clone());
        vma.start.max(range.start)..vma.end.min(range.end)
    }

    /// Whether a subject is a part of a mapping, as of the heap: what is only known of whole mappings is then not known of it.
    pub fn is_part(&self, subject: &Subject) -> bool {
        self.rows(subject).iter().any(|row| self.part(subject, row) != row.vma.range)
    }

    /// What smaps says of a subject's mappings under a key, in bytes; `None` where this kernel has no such key.
    pub fn smaps(&self, subject: &Subject, key: &str) -> Option<i64> {
        self.smaps_of(self.rows(subject), key)
    }

    /// What smaps says of some mappings.
    pub fn smaps_of<'r>(&self, rows: impl IntoIterator<Item = &'r VmaRow>, key: &str) -> Option<i64> {
        let place = self.smaps_keys.iter().position(|known| known == key)?;
        let value = |row: &VmaRow| match row.smaps.as_ref()?.values.get(place)?.as_ref()? {
            Value::Bytes(bytes) => i64::try_from(*bytes).ok(),
            Value::Number(_) => None,
        };
        rows.into_iter().map(value).sum()
    }

    /// The same in pages.
    pub fn smaps_pages(&self, subject: &Subject, key: &str) -> Option<i64> {
        self.smaps(subject, key).map(|bytes| bytes / self.facts.page() as i64)
    }

    /// The size of those of a subject's mappings whose VmFlags in smaps have a code, in pages; `None` where there are no flags.
    pub fn flagged_pages(&self, subject: &Subject, code: &str) -> Option<i64> {
        let size = |row: &&VmaRow| {
            let flags = row.smaps.as_ref()?.flags.as_deref()?;
            Some(if flags.split(' ').any(|flag| flag == code) { row.size_pages as i64 } else { 0 })
        };
        self.rows(subject).iter().map(size).sum()
    }

    /// The words of a subject's page map, a page each.
    ///
    /// # Errors
    /// What reading it says.
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

    /// The pages of a subject that are anything, as `pmem pages` lists them. Read once a look.
    ///
    /// # Errors
    /// What reading its page map says.
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

    /// The frames of a subject: the number of the page in it, and that of its frame. Empty where frame numbers are hidden.
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

    /// The frames that a quantity was made of at the last look; those of now are kept for the next. `None` where the kernel
    /// may have moved some itself in between: then they do not tell what the demo did.
    pub fn last_frames(&mut self, quantity: Quantity, now: Vec<(u64, u64)>) -> Option<Vec<(u64, u64)>> {
        let last = self.history.frames.insert(quantity, now);
        last.filter(|_| self.history.moved_at == counter(self.root(), MOVED))
    }

    /// How many pages of a subject are in runs that something is true of.
    ///
    /// # Errors
    /// As [`pages`](Self::pages).
    pub fn count_pages(&mut self, subject: &Subject, is_so: impl Fn(&Run) -> bool) -> Result<i64> {
        let pages: u64 = self.pages(subject)?.iter().filter(|run| is_so(run)).map(|run| run.pages).sum();
        Ok(pages as i64)
    }

    /// What each page of the first subject is; nothing where it is large.
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
                // Who does not see frames sees which pages are zero pages where all are.
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
