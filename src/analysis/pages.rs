//! A process's pages as runs: what each page is, its frame, and what that frame is.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::thread::scope;

use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::{Cgroup, FrameReader};
use crate::error::{Error, Result};
use crate::kernel::features::Features;
use crate::kernel::populated::{populated, still_there};
use crate::kernel::process::Process;
use crate::kernel::threads::{self, Work};
use crate::kernel::words::{WINDOW, Words};
use crate::model::flag_filter::FlagFilter;
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL, FrameFlags, LRU, MMAP, SWAPBACKED, UPTODATE};
use crate::model::mapcount_filter::MapcountFilter;
use crate::model::pagemap::{Entry, State};
use crate::model::vma::{Perm, Vma};
use crate::name::Name;
use crate::unit::{PageSize, Pfn, PhysAddr, VirtAddr};

/// Adjacent pages that are the same, with adjacent frames or swap slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The address of the first page.
    pub address: VirtAddr,
    /// How many pages.
    pub pages: u64,
    /// What their entries are.
    pub state: State,
    /// The frame of the first; those of the others follow it. `None` where there is none, or it is hidden.
    pub pfn: Option<Pfn>,
    /// The physical address of that frame.
    pub physical_address: Option<PhysAddr>,
    /// What the frames are used for.
    pub class: Option<Class>,
    /// Their flags; for a folio, those of the first page that is mapped. (COMPOUND_TAILs follow a COMPOUND_HEAD.)
    pub flags: Option<FrameFlags>,
    /// By how many page-table entries each is mapped; `None` if that is not known, as for the zero page, for which the
    /// kernel does not count it.
    pub mapcount: Option<u64>,
    /// The memory cgroup they are charged to, or its nearest ancestor that has not been removed.
    pub cgroup: Option<Cgroup>,
    /// The first swap slot; those of the others follow it.
    pub swap: Option<Slot>,
    /// Whether pagemap says that they are mapped exactly once (its bit 56).
    pub exclusive: Option<bool>,
    /// The mapping they are in, as `perm` and `name`; `None` if it was added or removed during the read.
    pub mapping: Option<Arc<MappedBy>>,
}

/// What is shown of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedBy {
    /// Its permissions.
    pub perm: Perm,
    /// Its name.
    pub name: Name,
}

/// A mapping at its place.
struct Mapping {
    range: Range<VirtAddr>,
    of: Arc<MappedBy>,
}

/// A place in swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number of the swap area. It is not a line number of `/proc/swaps` once an area has been removed.
    pub area: u64,
    /// The slot in it, in pages; the first that can be used is 1.
    pub offset: u64,
}

/// Which pages are wanted, and how they are combined.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// At these addresses.
    pub range: Range<VirtAddr>,
    /// In these states; all if empty.
    pub states: Vec<State>,
    /// Whose frames have these flags.
    pub flags: Option<FlagFilter>,
    /// Whose frames are of these classes; all if empty.
    pub classes: Vec<Class>,
    /// Whose frames have these mapcounts.
    pub mapcount: Option<MapcountFilter>,
    /// Whether to read mapcounts.
    pub mapcounts: bool,
    /// Whether to read memory cgroups.
    pub cgroups: bool,
    /// Whether anything is shown that needs frame numbers.
    pub frames: bool,
    /// Whether each page is a run of its own.
    pub each: bool,
}

impl Wanted {
    /// Whether pages are selected by properties that need frame numbers.
    pub fn needs_frames(&self) -> bool {
        self.flags.is_some() || !self.classes.is_empty() || self.mapcount.is_some()
    }

    /// Whether present pages are wanted.
    pub fn present(&self) -> bool {
        self.state(State::Present)
    }

    fn state(&self, state: State) -> bool {
        state != State::None && (self.states.is_empty() || self.states.contains(&state))
    }
}

/// Reads the pages of processes.
#[derive(Debug)]
pub struct PageReader<'r> {
    /// Reads frames; `None` if frame numbers are hidden.
    pub frame_reader: Option<&'r FrameReader>,
    /// What is wanted.
    pub wanted: &'r Wanted,
    /// What this kernel shows.
    pub features: &'r Features,
    /// The size of a page.
    pub page_size: PageSize,
    /// The number of swap areas.
    pub swap_areas: u64,
}

/// Pages that one thread works on at a time. Sorting their frames brings neighbours together: 8 times as many saved one
/// read in ten, but cost more than that in page faults of pmem itself, and 24 MiB.
const BATCH: u64 = 4096;

/// The most threads.
const MOST_THREADS: usize = 4;

/// One page, or several that form a run, described by the first.
#[derive(Clone, Copy)]
struct Page {
    index: u64,
    entry: Entry,
    /// The index of its mapping, or one past the last.
    mapping: u32,
    /// The flags of its frame; `None` if the frame is past the end of the file, or not in the recorded tree.
    flags: Option<u64>,
    /// The head of its folio, if it is a tail and the head was found; else its own frame.
    head: u64,
    class: Option<Class>,
    mapcount: Option<u64>,
    cgroup: u64,
    pages: u64,
    last_flags: Option<u64>,
}

impl Page {
    fn new(index: u64, entry: Entry) -> Self {
        let (flags, class, mapcount) = (None, None, None);
        Self { index, entry, mapping: 0, flags, head: 0, class, mapcount, cgroup: 0, pages: 1, last_flags: None }
    }

    fn has(&self, flags: u64) -> bool {
        self.flags.is_some_and(|own| own & flags != 0)
    }
}

impl PageReader<'_> {
    /// Reads the wanted pages of a process and passes them to `each`, in ascending order, many runs at a time. Memory
    /// use does not grow with the process.
    ///
    /// Returns how many bytes were skipped unread (see [`populated`]).
    ///
    /// # Errors
    /// [`Error::Gone`] when the address space goes away, and the errors of `each`.
    pub fn read(&self, process: &Process, mut each: impl FnMut(Vec<Run>) -> Result<()>) -> Result<u64> {
        let (pagemap, mappings) = (&process.pagemap()?, &self.mappings(process)?);
        let threads = threads::worthwhile(MOST_THREADS);
        scope(|scope| {
            // The last run of the batch before: the next batch may continue it.
            let mut last: Option<Page> = None;
            let mut hand_out = |mut pages: Vec<Page>| -> Result<()> {
                let mut before = last.take();
                if let (Some(page), Some(first)) = (&mut before, pages.first_mut())
                    && self.join(page, first)
                {
                    *first = *page;
                    before = None;
                }
                pages.splice(0..0, before);
                last = pages.pop();
                if pages.is_empty() {
                    Ok(())
                } else {
                    each(pages.iter().map(|page| self.run(page, mappings)).collect())
                }
            };
            let mut running = VecDeque::new();
            let mut begin = |ranges: Vec<Range<u64>>| -> Result<()> {
                if running.len() == threads
                    && let Some(batch) = running.pop_front()
                {
                    hand_out(Work::wait(batch)?)?;
                }
                let ranges = Arc::new(ranges);
                running.push_back(Work::begin(scope, move || self.batch(process, pagemap, mappings, &ranges)));
                Ok(())
            };
            let (mut waiting, mut pages): (Vec<Range<u64>>, u64) = (Vec::new(), 0);
            let range = &self.wanted.range;
            let passed_over = populated(process, pagemap, self.features, self.page_size, range, false, |mut range| {
                while !range.is_empty() {
                    let end = range.end.min(range.start + BATCH - pages);
                    waiting.push(range.start..end);
                    pages += end - range.start;
                    range.start = end;
                    if pages == BATCH {
                        pages = 0;
                        begin(std::mem::take(&mut waiting))?;
                    }
                }
                Ok(())
            })?;
            // This thread reads the rest, which for most processes is everything.
            let rest = self.batch(process, pagemap, mappings, &waiting)?;
            running.into_iter().try_for_each(|batch| hand_out(Work::wait(batch)?))?;
            hand_out(rest)?;
            last.map_or(Ok(()), |last| each(vec![self.run(&last, mappings)]))?;
            Ok(passed_over)
        })
    }

    /// The wanted pages in these ranges of page indices, combined where they form a run.
    fn batch(
        &self,
        process: &Process,
        pagemap: &Words,
        mappings: &[Mapping],
        ranges: &[Range<u64>],
    ) -> Result<Vec<Page>> {
        let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let (mut pages, mut words) = (Vec::with_capacity(wanted as usize), vec![0; WINDOW.min(wanted as usize)]);
        for range in ranges {
            let mut index = range.start;
            while index < range.end {
                let count = (range.end - index).min(words.len() as u64) as usize;
                let words = &mut words[..count];
                if pagemap.read(index, words)? < words.len() {
                    return Err(Error::Gone { path: process.path("pagemap") });
                }
                let found = words.iter().map(|word| Entry(*word)).zip(index..);
                let wanted = found.filter(|(entry, _)| self.wanted.state(entry.state(self.swap_areas)));
                pages.extend(wanted.map(|(entry, index)| Page::new(index, entry)));
                index += words.len() as u64;
            }
        }
        let first = pages.first().map_or(VirtAddr(0), |page| VirtAddr(self.page_size.bytes_of(page.index)));
        let mut place = mappings.partition_point(|mapping| mapping.range.end <= first);
        for page in &mut pages {
            let address = VirtAddr(self.page_size.bytes_of(page.index));
            place += mappings[place..].iter().take_while(|mapping| mapping.range.end <= address).count();
            let inside = mappings.get(place).is_some_and(|mapping| mapping.range.contains(&address));
            page.mapping = if inside { place as u32 } else { u32::MAX };
        }
        if let Some(frame_reader) = self.frame_reader {
            self.frames(frame_reader, &mut pages)?;
            // Otherwise the frames may have been freed since, and reused.
            still_there(process, pagemap)?;
        } else if self.wanted.needs_frames() {
            pages.clear();
        }
        pages.dedup_by(|next, page| self.join(page, next));
        Ok(pages)
    }

    /// Reads what is wanted about the frames of these pages, and keeps the pages whose frames match.
    fn frames(&self, frame_reader: &FrameReader, pages: &mut Vec<Page>) -> Result<()> {
        let pfn = |page: &Page| page.entry.pfn().map(|pfn| pfn.0);
        let mut order: Vec<(u64, u32)> =
            pages.iter().zip(0..).filter_map(|(page, place)| Some((pfn(page)?, place))).collect();
        order.sort_unstable();
        let numbers = |order: &[(u64, u32)]| order.iter().map(|(pfn, _)| *pfn).collect::<Vec<u64>>();
        frame_reader.files.flags.gather(numbers(&order).into_iter(), |place, word| {
            pages[order[place].1 as usize].flags = word.map(|word| frame_reader.classifier.believed(word));
        })?;
        self.classes(frame_reader, pages, &order)?;
        if self.wanted.needs_frames() {
            let classes = &self.wanted.classes;
            let keeps = |page: &Page| {
                self.wanted.flags.as_ref().is_none_or(|filter| page.flags.is_some_and(|flags| filter.matches(flags)))
                    && (classes.is_empty() || page.class.is_some_and(|class| classes.contains(&class)))
            };
            order.retain(|(_, place)| keeps(&pages[*place as usize]));
        }
        if self.wanted.mapcounts || self.wanted.mapcount.is_some() {
            self.mapcounts(frame_reader, pages, &order)?;
        }
        if let Some(filter) = self.wanted.mapcount {
            order.retain(|(_, place)| pages[*place as usize].mapcount.is_some_and(|count| filter.matches(count)));
        }
        if let (true, Some(file)) = (self.wanted.cgroups, &frame_reader.files.cgroups) {
            // Up to Linux 6.4 only heads have one. They ascend as their tails do, except where a folio was being split.
            let mut last = 0;
            let head = |(pfn, place): &(u64, u32)| {
                let head = pages[*place as usize].head;
                last = if head < last { *pfn } else { head };
                last
            };
            let heads: Vec<u64> = order.iter().map(head).collect();
            file.gather(heads.into_iter(), |place, word| {
                pages[order[place].1 as usize].cgroup = word.unwrap_or(0);
            })?;
        }
        if self.wanted.needs_frames() {
            order.sort_unstable_by_key(|(_, place)| *place);
            *pages = order.iter().map(|(_, place)| pages[*place as usize]).collect();
        }
        Ok(())
    }

    /// Finds the classes of pages by their flags, or for a tail, which has few of its own before Linux 6.10, by those
    /// of its head.
    fn classes(&self, frame_reader: &FrameReader, pages: &mut [Page], order: &[(u64, u32)]) -> Result<()> {
        // The last frame seen of a folio, its head, and the flags of the head.
        let mut folio: Option<(u64, (u64, u64))> = None;
        for &(pfn, place) in order {
            let page = &mut pages[place as usize];
            let Some(flags) = page.flags else { continue };
            let (head, of_head) = match folio {
                _ if flags & COMPOUND_TAIL == 0 => (pfn, flags),
                Some((last, head)) if last + 1 == pfn || last == pfn => head,
                _ if flags & (UPTODATE | LRU | SWAPBACKED) == 0 => {
                    let (head, flags) = frame_reader.head(Pfn(pfn), flags)?;
                    (head.0, flags)
                }
                _ => (pfn, flags),
            };
            folio = (flags & (COMPOUND_HEAD | COMPOUND_TAIL) != 0).then_some((pfn, (head, of_head)));
            page.head = head;
            page.class = Some(frame_reader.class(Pfn(pfn), of_head));
            page.last_flags = page.flags;
        }
        Ok(())
    }

    /// Reads mapcounts that are not known yet. Bit 56 of pagemap says that a page is mapped once; every kernel gets
    /// this right for a small page, but for a large one some looked only at its head.
    fn mapcounts(&self, frame_reader: &FrameReader, pages: &mut [Page], order: &[(u64, u32)]) -> Result<()> {
        let mut asked = Vec::new();
        for &(pfn, place) in order {
            let page = &mut pages[place as usize];
            let small = !page.has(COMPOUND_HEAD | COMPOUND_TAIL) && page.has(MMAP);
            if small && page.entry.is_exclusive() {
                page.mapcount = Some(1);
            } else if page.class != Some(Class::ZeroPage) {
                asked.push((pfn, place));
            }
        }
        let numbers: Vec<u64> = asked.iter().map(|(pfn, _)| *pfn).collect();
        frame_reader.files.counts.gather(numbers.into_iter(), |place, word| {
            pages[asked[place].1 as usize].mapcount = word;
        })
    }

    /// The mappings of a process, ascending.
    fn mappings(&self, process: &Process) -> Result<Vec<Mapping>> {
        let (maps, mut vmas) = (process.open_file("maps")?, Vec::new());
        process.vmas(&maps, |vma| vmas.push(vma))?;
        let mapping = |vma: Vma| -> Result<Mapping> {
            let doubtful = vma.has_doubtful_name();
            let name = if doubtful { process.exact_name(&vma, &maps, self.features)? } else { vma.name };
            Ok(Mapping { range: vma.range, of: Arc::new(MappedBy { perm: vma.perm, name }) })
        };
        vmas.into_iter().map(mapping).collect()
    }

    /// Pages as a run.
    fn run(&self, page: &Page, mappings: &[Mapping]) -> Run {
        let Page { entry, pages, .. } = *page;
        let (pfn, state) = (entry.pfn(), entry.state(self.swap_areas));
        let frame_reader = self.frame_reader.as_ref().filter(|_| pfn.is_some());
        Run {
            address: VirtAddr(self.page_size.bytes_of(page.index)),
            pages,
            state,
            pfn,
            physical_address: pfn.map(|pfn| self.page_size.address_of(pfn)),
            class: page.class,
            flags: frame_reader.and(page.flags).map(FrameFlags),
            mapcount: frame_reader.and(page.mapcount),
            cgroup: frame_reader.and_then(|frame_reader| frame_reader.cgroup(page.cgroup)),
            swap: self.slot(entry),
            exclusive: (state == State::Present).then_some(entry.is_exclusive()),
            mapping: mappings.get(page.mapping as usize).map(|mapping| Arc::clone(&mapping.of)),
        }
    }

    fn slot(&self, entry: Entry) -> Option<Slot> {
        let slot = entry.slot().filter(|_| entry.state(self.swap_areas) == State::Swapped);
        slot.map(|(area, offset)| Slot { area, offset })
    }

    /// Adds `next` to the run `page` if it continues it in every respect; returns whether it does.
    fn join(&self, page: &mut Page, next: &Page) -> bool {
        const PLACE: u64 = COMPOUND_HEAD | COMPOUND_TAIL;
        let folio_goes_on = match (page.last_flags, next.flags) {
            (Some(last), Some(next)) => next ^ last == PLACE && last & COMPOUND_HEAD != 0,
            _ => false,
        };
        let frame_behind = |page: &Page, pages| page.entry.pfn().map(|pfn| pfn.0 + pages);
        let slot_behind = |page: &Page, pages| self.slot(page.entry).map(|slot| (slot.area, slot.offset + pages));
        let state = |page: &Page| {
            let state = page.entry.state(self.swap_areas);
            (state, state == State::Present && page.entry.is_exclusive())
        };
        let goes_on = !self.wanted.each
            && page.index + page.pages == next.index
            && page.mapping == next.mapping
            && frame_behind(page, page.pages) == frame_behind(next, 0)
            && (next.flags == page.last_flags || folio_goes_on)
            && (page.class, page.mapcount, page.cgroup) == (next.class, next.mapcount, next.cgroup)
            && state(page) == state(next)
            && slot_behind(page, page.pages) == slot_behind(next, 0);
        if goes_on {
            page.pages += next.pages;
            page.last_flags = next.last_flags;
        }
        goes_on
    }
}

/// The totals over runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many runs.
    pub runs: u64,
    /// How many pages.
    pub pages: u64,
    /// How many map the zero page, which takes no memory of the process.
    pub zero: u64,
    /// How many in each state that occurs.
    pub states: Vec<(State, u64)>,
}

impl Totals {
    /// Counts a run.
    pub fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.pages = self.pages.saturating_add(run.pages);
        if run.class == Some(Class::ZeroPage) {
            self.zero = self.zero.saturating_add(run.pages);
        }
        match self.states.iter_mut().find(|(state, _)| *state == run.state) {
            Some((_, pages)) => *pages = pages.saturating_add(run.pages),
            None => self.states.push((run.state, run.pages)),
        }
    }
}
