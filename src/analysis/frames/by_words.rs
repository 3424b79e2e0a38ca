//! Counting without PAGEMAP_SCAN (before Linux 6.7): pagemap word by word, where smaps says there may be something.

use std::ops::Range;

use crate::analysis::frames::owners::OwnerCount;
use crate::analysis::frames::{Counts, VmaRow};
use crate::analysis::processes::kind::Kind;
use crate::error::Result;
use crate::kernel::words::{WINDOW, Words};
use crate::model::frame_flags::ZERO_PAGE;
use crate::model::pagemap::{Entry, State};
use crate::model::smaps::{self, Value, Values};
use crate::unit::PageSize;

/// The keys of smaps this needs: those of [`smaps::COUNTED`] first.
pub const KEYS: [&str; 7] =
    ["Rss", "Swap", "Shared_Hugetlb", "Private_Hugetlb", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"];

/// What a count by words could not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blind {
    /// Bytes of mappings that were skipped because smaps counts nothing in them.
    pub passed_over_bytes: u64,
    /// Zero pages are inferred from what smaps leaves out, because frames or their flags are hidden.
    pub zero_inferred: bool,
}

/// Reads words and counts what they are.
#[derive(Debug)]
pub struct WordCount<'k> {
    pagemap: &'k Words,
    /// Frame flags, if they and the frame numbers can be read.
    kpageflags: Option<&'k Words>,
    page_size: PageSize,
    swap_areas: u64,
    words: Vec<u64>,
    candidates: Vec<u64>,
}

impl<'k> WordCount<'k> {
    /// A count over an open pagemap.
    pub fn new(pagemap: &'k Words, kpageflags: Option<&'k Words>, page_size: PageSize, swap_areas: u64) -> Self {
        Self { pagemap, kpageflags, page_size, swap_areas, words: Vec::new(), candidates: Vec::new() }
    }

    /// Whether the flags of frames can be looked up.
    pub fn sees_frame_flags(&self) -> bool {
        self.kpageflags.is_some()
    }

    /// Counts every mapping. `mappings` has the values of [`KEYS`] for each; mappings cut by a range have none.
    pub fn count_rows(
        &mut self,
        rows: &mut [VmaRow],
        mappings: &[Values],
        mut owners: Option<&mut OwnerCount<'_>>,
    ) -> Result<Blind> {
        let mut blind = Blind { zero_inferred: self.kpageflags.is_none(), ..Blind::default() };
        for (number, row) in rows.iter_mut().enumerate() {
            if row.vma.range.start.is_kernel() {
                continue;
            }
            let values = smaps::find(mappings, &row.vma.range);
            if values.is_some_and(smaps::may_pass_over) {
                row.counts = None;
                blind.passed_over_bytes += row.vma.range.end.0 - row.vma.range.start.0;
                continue;
            }
            let mut counts = self.count(row, number, owners.as_deref_mut())?;
            if let Some(values) = values.map(|values| Pages::of(values, self.page_size)) {
                let hugetlb = if row.kind == Kind::Hugetlb { counts.present } else { 0 };
                counts.huge = values.pmd_mapped.max(hugetlb);
                if blind.zero_inferred {
                    counts.zero = counts.present.saturating_sub(hugetlb).saturating_sub(values.rss);
                }
            }
            if counts != Counts::default() {
                row.counts = Some(counts);
            }
        }
        Ok(blind)
    }

    /// Counts one mapping, or a part of it.
    fn count(&mut self, row: &VmaRow, number: usize, mut owners: Option<&mut OwnerCount<'_>>) -> Result<Counts> {
        let mut counts = Counts::default();
        let range = self.page_size.index_of(row.vma.range.start)..self.page_size.index_of(row.vma.range.end);
        self.for_each_window(range, |this, words, times| {
            let zero = this.zero_frames(words)?;
            for entry in words.iter().map(|&word| Entry(word)).filter(|entry| !entry.is_empty()) {
                count_state(&mut counts, entry.state(this.swap_areas), times);
                let is_zero = entry.pfn().is_some_and(|pfn| zero.binary_search(&pfn.0).is_ok());
                if is_zero {
                    counts.zero += times;
                } else if let Some(pfn) = entry.pfn()
                    && let Some(owners) = owners.as_deref_mut()
                    && row.kind != Kind::Hugetlb
                {
                    owners.push(pfn, number, times)?;
                }
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Counts the swap-like entries in a range of page indices by what they are, which a scan does not report. Entries
    /// that have gone or become present since the scan are not counted.
    pub fn count_swap_like(&mut self, range: Range<u64>, counts: &mut Counts) -> Result<()> {
        self.for_each_window(range, |this, words, times| {
            let states = words.iter().map(|&word| Entry(word).state(this.swap_areas));
            states.filter(|&state| state != State::Present).for_each(|state| count_state(counts, state, times));
            Ok(())
        })
    }

    /// How many entries in a range of page indices map the zero page: for kernels whose scan does not report the huge
    /// one. In a private anonymous mapping, the huge zero page is also the only page that pagemap marks as a file's.
    pub fn count_zero(&mut self, range: Range<u64>, private_anonymous: bool) -> Result<u64> {
        let mut zero_pages = 0;
        self.for_each_window(range, |this, words, times| {
            let zero = this.zero_frames(words)?;
            let is_zero = |entry: Entry| {
                entry.is_present()
                    && ((private_anonymous && entry.is_file())
                        || entry.pfn().is_some_and(|pfn| zero.binary_search(&pfn.0).is_ok()))
            };
            zero_pages += times * words.iter().filter(|&&word| is_zero(Entry(word))).count() as u64;
            Ok(())
        })?;
        Ok(zero_pages)
    }

    /// Passes the frames in a range of page indices to `owners`, as mapped by row `number`. `maybe_zero` says that they
    /// may include zero pages, which have no owners.
    pub fn push_frames(
        &mut self,
        range: Range<u64>,
        number: usize,
        maybe_zero: bool,
        owners: &mut OwnerCount<'_>,
    ) -> Result<()> {
        self.for_each_window(range, |this, words, times| {
            let zero = if maybe_zero { this.zero_frames(words)? } else { Vec::new() };
            let frames = words.iter().filter_map(|&word| Entry(word).pfn());
            let mut owned = frames.filter(|pfn| zero.binary_search(&pfn.0).is_err());
            owned.try_for_each(|pfn| owners.push(pfn, number, times))
        })
    }

    /// Passes on the words in a range of page indices, a window at a time, with how often each of them occurs: words of
    /// a live pagemap once, a recorded run of one word as often as it says.
    fn for_each_window(
        &mut self,
        range: Range<u64>,
        mut each: impl FnMut(&mut Self, &[u64], u64) -> Result<()>,
    ) -> Result<()> {
        if let Some(runs) = self.pagemap.recorded() {
            for run in runs.between(range.start, range.end) {
                match run.step {
                    0 => each(self, &[run.word], run.count)?,
                    _ => self.windows(run.index..run.end(), |this, words| each(this, words, 1))?,
                }
            }
            return Ok(());
        }
        self.windows(range, |this, words| each(this, words, 1))
    }

    fn windows(&mut self, range: Range<u64>, mut each: impl FnMut(&mut Self, &[u64]) -> Result<()>) -> Result<()> {
        let mut words = std::mem::take(&mut self.words);
        words.resize(WINDOW, 0);
        self.pagemap.windows(range, &mut words, |_, part| each(self, part))?;
        self.words = words;
        Ok(())
    }

    /// The frames among `words` that are zero pages, ascending. Only frames that are not mapped exactly once can be.
    fn zero_frames(&mut self, words: &[u64]) -> Result<Vec<u64>> {
        let Some(kpageflags) = self.kpageflags else { return Ok(Vec::new()) };
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.extend(words.iter().filter_map(|&word| {
            let entry = Entry(word);
            entry.pfn().filter(|_| !entry.is_exclusive()).map(|pfn| pfn.0)
        }));
        candidates.sort_unstable();
        candidates.dedup();
        let mut zero = Vec::new();
        kpageflags.gather(candidates.iter().copied(), |position, flags| {
            if flags.is_some_and(|flags| flags & ZERO_PAGE != 0) {
                zero.push(candidates[position]);
            }
        })?;
        Ok(zero)
    }
}

/// Adds `pages` entries of one state.
fn count_state(counts: &mut Counts, state: State, pages: u64) {
    match state {
        State::None => {}
        State::Present => counts.present += pages,
        State::Swapped => counts.swapped += pages,
        State::Guard => counts.guard += pages,
        State::Marker => counts.marker += pages,
        State::Special => counts.special += pages,
    }
}

/// What smaps counts in one mapping, in base pages.
#[derive(Clone, Copy, Debug)]
struct Pages {
    rss: u64,
    pmd_mapped: u64,
}

impl Pages {
    fn of(values: &Values, page_size: PageSize) -> Self {
        let pages = |key: &str| {
            let position = KEYS.iter().position(|k| *k == key);
            match position.and_then(|position| values.values.get(position)) {
                Some(Some(Value::Bytes(bytes))) => page_size.pages_in(*bytes),
                _ => 0,
            }
        };
        Self {
            rss: pages("Rss"),
            pmd_mapped: pages("AnonHugePages") + pages("ShmemPmdMapped") + pages("FilePmdMapped"),
        }
    }
}
