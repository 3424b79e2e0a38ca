//! The LRU lists as the flags of frames show them: the four states of a page, what is unevictable, what is on no list.

use serde::Serialize;

use crate::analysis::note::Note;
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::tally::Tally;
use crate::error::Result;
use crate::kernel::counters::Counters;
use crate::kernel::root::{Root, text};
use crate::kernel::sweep::sweep;
use crate::model::frame_flags::{ACTIVE, LRU, REFERENCED, SWAPBACKED, UNEVICTABLE};
use crate::unit::{PageSize, difference, hexadecimal};

/// The LRU lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LruReport"))]
pub struct Report {
    /// Frames on the active and inactive lists, by state and class. All that can be are there, also those of 0.
    #[serde(skip)]
    pub states: Vec<State>,
    /// Frames of processes and of the page cache that are on no list: not yet added (new ones wait in per-CPU batches),
    /// isolated for migration or reclaim, or never on one (mapped by drivers).
    pub not_on_lru_frames: u64,
    /// The same by class.
    pub not_on_lru: Vec<ClassFrames>,
    /// Frames on the unevictable list (mlock, ramfs, secretmem).
    pub unevictable_frames: u64,
    /// The same by class.
    pub unevictable: Vec<ClassFrames>,
    /// Comparisons with the kernel's counters.
    pub checks: Vec<ListCheck>,
}

/// The frames of a state and a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// On the active list.
    pub active: bool,
    /// Marked as referenced since it was put there.
    pub referenced: bool,
    /// `anon` (with KSM), `shmem` or `file`.
    pub class: Class,
    /// How many.
    pub frames: u64,
}

/// The frames of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClassFrames {
    /// The class.
    pub class: Class,
    /// The number of frames.
    pub frames: u64,
}

/// A list compared with the kernel's counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListCheck {
    /// The key in meminfo.
    pub name: &'static str,
    /// pmem's value: the sum over frames.
    pub ours_bytes: u64,
    /// meminfo after the frames were read.
    pub kernel_bytes: u64,
    /// pmem's value minus the kernel's.
    pub difference_bytes: i64,
    /// Change in the counter during the reading.
    pub moved_bytes: u64,
}

/// The classes whose frames are on LRU lists.
pub const CLASSES: [Class; 3] = [Class::Anon, Class::Shmem, Class::File];

/// The lists: the key in meminfo, the flags that a frame on the list has, and those it does not have.
const LISTS: [(&str, u64, u64); 5] = [
    ("Active(anon)", ACTIVE | SWAPBACKED, UNEVICTABLE),
    ("Inactive(anon)", SWAPBACKED, ACTIVE | UNEVICTABLE),
    ("Active(file)", ACTIVE, SWAPBACKED | UNEVICTABLE),
    ("Inactive(file)", 0, ACTIVE | SWAPBACKED | UNEVICTABLE),
    ("Unevictable", UNEVICTABLE, 0),
];

/// What one thread counts.
#[derive(Clone, Default)]
struct Counted {
    /// By [`CLASSES`], active and referenced.
    states: [[[u64; 2]; 2]; 3],
    off: [u64; 3],
    unevictable: [u64; 3],
    lists: [u64; 5],
}

impl Counted {
    fn add(&mut self, flags: u64, class: Class, frames: u64) {
        let class = if class == Class::Ksm { Class::Anon } else { class };
        let Some(place) = CLASSES.iter().position(|&of| of == class) else { return };
        if flags & LRU == 0 {
            self.off[place] += frames;
            return;
        }
        for (list, (_, with, without)) in self.lists.iter_mut().zip(LISTS) {
            *list += if flags & with == with && flags & without == 0 { frames } else { 0 };
        }
        match flags & UNEVICTABLE {
            0 => {
                self.states[place][usize::from(flags & ACTIVE != 0)][usize::from(flags & REFERENCED != 0)] += frames;
            }
            _ => self.unevictable[place] += frames,
        }
    }

    fn join(mut self, other: &Self) -> Self {
        let own = self.states.as_flattened_mut().as_flattened_mut().iter_mut();
        let own = own.chain(&mut self.off).chain(&mut self.unevictable).chain(&mut self.lists);
        let others = other.states.as_flattened().as_flattened().iter();
        let others = others.chain(&other.off).chain(&other.unevictable).chain(&other.lists);
        own.zip(others).for_each(|(own, other)| *own += other);
        self
    }
}

/// Looks at every frame up to `end`.
///
/// # Errors
/// Any error from reading kpageflags.
pub fn lru(root: &Root, frame_reader: &FrameReader, end: u64, progress: impl FnMut(u64)) -> Result<Report> {
    let before = Counters::read(root);
    let window = |counted: &mut Counted, first: u64, words: &[u64]| {
        for (segment, first, words) in frame_reader.physical.parts(first, words) {
            // The tally resolves folios and tails; what else it counts is small, and not wanted here.
            Tally::default().window(first, words, frame_reader.classifier, segment.memory, |same| {
                counted.add(same.effective, same.class, same.frames);
            });
        }
        Ok(())
    };
    let (_, counted) = sweep(&frame_reader.files.flags, end, Counted::default, window, progress)?;
    let after = Counters::read(root);
    let counted = counted.iter().fold(Counted::default(), Counted::join);
    Ok(report(&counted, &before, &after, root.page_size()))
}

fn report(counted: &Counted, before: &Counters, after: &Counters, page_size: PageSize) -> Report {
    let mut states = Vec::new();
    for (class, by_state) in CLASSES.into_iter().zip(counted.states) {
        for (active, referenced) in [(true, true), (true, false), (false, true), (false, false)] {
            let frames = by_state[usize::from(active)][usize::from(referenced)];
            states.push(State { active, referenced, class, frames });
        }
    }
    let of = |frames: [u64; 3]| {
        CLASSES.into_iter().zip(frames).map(|(class, frames)| ClassFrames { class, frames }).collect()
    };
    let check = |((name, ..), frames): ((&'static str, u64, u64), u64)| {
        let kernel_bytes = after.meminfo.bytes(name)?;
        let ours_bytes = page_size.bytes_of(frames);
        let moved_bytes = before.meminfo.bytes(name).map_or(0, |before| before.abs_diff(kernel_bytes));
        let difference_bytes = difference(ours_bytes, kernel_bytes);
        Some(ListCheck { name, ours_bytes, kernel_bytes, difference_bytes, moved_bytes })
    };
    Report {
        states,
        not_on_lru_frames: counted.off.iter().sum(),
        not_on_lru: of(counted.off),
        unevictable_frames: counted.unevictable.iter().sum(),
        unevictable: of(counted.unevictable),
        checks: LISTS.into_iter().zip(counted.lists).filter_map(check).collect(),
    }
}

/// Notes on these lists on this machine: without swap only file pages can be reclaimed, and some kernels keep
/// generations instead.
pub fn notes(root: &Root) -> Vec<Note> {
    let mut notes = Vec::new();
    if root.swap_areas() == 0 {
        let text = "there is no swap: anonymous and shared memory cannot be reclaimed, whatever list it is on";
        notes.push(Note::general("no-swap", text));
    }
    let generations = text(root.dir(), "sys/kernel/mm/lru_gen/enabled").and_then(|bits| hexadecimal(&bits));
    if generations.is_some_and(|bits| bits & 1 != 0) {
        let text = "this kernel runs the multi-generational LRU: the age of a page is its generation, which no flag shows, \
                    so ACTIVE and REFERENCED mean less";
        notes.push(Note::general("multi-gen-lru", text));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::meminfo::Meminfo;

    #[test]
    fn every_frame_is_in_one_place() {
        let mut counted = Counted::default();
        for (flags, class, frames) in [
            (LRU | ACTIVE | REFERENCED | SWAPBACKED, Class::Anon, 1),
            (LRU | SWAPBACKED, Class::Ksm, 2),
            // Freed with MADV_FREE: anonymous, but on the list of file pages.
            (LRU, Class::Anon, 4),
            (LRU | ACTIVE, Class::File, 8),
            (LRU | REFERENCED | SWAPBACKED, Class::Shmem, 16),
            (LRU | UNEVICTABLE | SWAPBACKED, Class::Anon, 32),
            (0, Class::File, 64),
            (0, Class::Slab, 128),
        ] {
            counted.add(flags, class, frames);
        }
        let counted = counted.clone().join(&Counted::default());
        let counters = Counters {
            meminfo: Meminfo::parse(b"Active(anon): 4 kB\nUnevictable: 120 kB\n"),
            buddy_pages: None,
            slab_pages: None,
            ksm_frames: None,
        };
        let Some(page_size) = PageSize::new(4096) else { panic!("a page size") };
        let report = report(&counted, &counters, &counters, page_size);
        let on_lists: u64 = report.states.iter().map(|state| state.frames).sum();
        assert_eq!((on_lists, report.unevictable_frames, report.not_on_lru_frames), (31, 32, 64));
        assert_eq!(counted.lists, [1, 18, 8, 4, 32]);
        let differences: Vec<_> = report.checks.iter().map(|check| (check.name, check.difference_bytes)).collect();
        assert_eq!(differences, [("Active(anon)", 0), ("Unevictable", 8192)]);
    }
}
