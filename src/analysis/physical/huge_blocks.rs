//! What each block of memory that could be a huge page contains, and what keeps it from being one: from the flags of
//! its frames.

use std::cmp::Reverse;

use serde::Serialize;

use crate::analysis::physical::class::{Class, Classifier};
use crate::analysis::physical::tally::ByClass;
use crate::error::Result;
use crate::kernel::physical::Physical;
use crate::kernel::sweep::sweep;
use crate::kernel::words::Words;
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL, LRU, MLOCKED, UNEVICTABLE};

/// The aligned blocks of huge page size in a zone, each in one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HugeBlocks {
    /// Blocks that are entirely memory; the next seven add up to it.
    pub blocks: u64,
    /// Entirely free.
    pub free: u64,
    /// Already a huge page: one folio of a process or of a file, hugetlb, or the huge zero page.
    pub huge: u64,
    /// Held only by frames that can be moved, judging by their flags.
    pub movable: u64,
    /// Also held by locked or unevictable frames: these are moved only if `vm.compact_unevictable_allowed` is 1.
    pub locked: u64,
    /// Held by at least one frame that cannot be moved, and whose flags show what it is.
    pub unmovable: u64,
    /// Held by unclassified frames, and by none that is known to be unmovable: free pages on per-CPU lists, or kernel
    /// allocations without a page type.
    pub unclassified: u64,
    /// None of its frames has a flag: kernel text, driver memory, a huge page on a per-CPU list, memory not yet
    /// initialised.
    pub unflagged: u64,
    /// Blocks that are not memory, or only partly; not included in `blocks`.
    pub outside: u64,
    /// How many compaction can empty at most: limited by the movable blocks, and by the free frames in partly free
    /// blocks.
    pub by_compaction: u64,
    /// What holds the unmovable blocks, most blocks first.
    pub blockers: Vec<Blocker>,
    /// Unclassified frames in the blocks that are not `unflagged`.
    pub unclassified_frames: u64,
    /// Free frames in blocks that are not entirely free.
    pub scattered_free_frames: u64,
}

/// A class of frames that cannot be moved; never `unclassified`, for which this is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Blocker {
    /// The class; `file` here means frames on no LRU list: mapped by a driver or by io_uring.
    pub class: Class,
    /// Blocks in which it is the most frequent class that cannot be moved.
    pub blocks: u64,
    /// Its frames in all unmovable blocks.
    pub frames: u64,
}

impl HugeBlocks {
    /// Adds the blocks of another zone.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.free += other.free;
        self.huge += other.huge;
        self.movable += other.movable;
        self.locked += other.locked;
        self.unmovable += other.unmovable;
        self.unclassified += other.unclassified;
        self.unclassified_frames += other.unclassified_frames;
        self.unflagged += other.unflagged;
        self.outside += other.outside;
        self.by_compaction += other.by_compaction;
        self.scattered_free_frames += other.scattered_free_frames;
        for blocker in &other.blockers {
            self.add_blocker(blocker.class, blocker.blocks, blocker.frames);
        }
        self.blockers.sort_by_key(|blocker| (Reverse((blocker.blocks, blocker.frames)), blocker.class));
    }

    fn add_blocker(&mut self, class: Class, blocks: u64, frames: u64) {
        match self.blockers.iter_mut().find(|blocker| blocker.class == class) {
            Some(blocker) => {
                blocker.blocks += blocks;
                blocker.frames += frames;
            }
            None => self.blockers.push(Blocker { class, blocks, frames }),
        }
    }
}

/// Looks at the aligned blocks of 2^`order` frames (a sweep's window at most) up to `end`, and counts what they are by
/// zone, from `words` (`/proc/kpageflags`). `progress` gets the number of frames read so far, now and then.
///
/// # Errors
/// Any error from reading kpageflags.
pub fn count(
    words: &Words,
    physical: &Physical,
    end: u64,
    order: u32,
    progress: impl FnMut(u64),
) -> Result<Vec<HugeBlocks>> {
    let new = || vec![HugeBlocks::default(); physical.zones.len()];
    let window = |found: &mut Vec<HugeBlocks>, first: u64, words: &[u64]| {
        look(found, physical, order, first, words);
        Ok(())
    };
    let (_, gathered) = sweep(words, end, new, window, progress)?;
    let mut zones = new();
    for found in gathered {
        zones.iter_mut().zip(&found).for_each(|(zone, found)| zone.add(found));
    }
    zones.iter_mut().for_each(|zone| zone.by_compaction = zone.movable.min(zone.scattered_free_frames >> order));
    Ok(zones)
}

/// Looks at the whole blocks of a window. One that is not entirely in one zone counts for none.
fn look(found: &mut [HugeBlocks], physical: &Physical, order: u32, first: u64, words: &[u64]) {
    let size = 1 << order;
    let mut head = 0;
    for (first, words) in (first..).step_by(size).zip(words.chunks_exact(size)) {
        let block = Block::of(words, &mut head);
        let mut parts = physical.parts(first, words);
        let Some((segment, _, part)) = parts.next() else { continue };
        let Some(zone) = segment.zone.filter(|_| parts.all(|(other, ..)| other.zone == segment.zone)) else { continue };
        // Memory and the lack of it are different segments.
        let is_memory = part.len() == size && Class::of_absent(segment.memory).is_none() && block.holes == 0;
        match is_memory {
            true => found[zone].add_block(&block, words),
            false => found[zone].outside += 1,
        }
    }
}

/// It does not matter here whether KSM merged a page: it can be moved like any anonymous one.
const CLASSIFIER: Classifier = Classifier { ksm_flag_right: true };

/// The frames of a block by what they are.
#[derive(Debug, Default)]
struct Block {
    holes: u64,
    free: u64,
    movable: u64,
    locked: u64,
    unclassified: u64,
    unmovable: ByClass,
    /// The class of the first frame.
    first: Option<Class>,
}

impl Block {
    /// Counts frames. `head` carries the flags of the head of the current compound page from one block to the next; 0
    /// if the head was not seen.
    fn of(words: &[u64], head: &mut u64) -> Self {
        let mut block = Self::default();
        for run in words.chunk_by(|a, b| a == b) {
            let tail = run[0] & COMPOUND_TAIL != 0;
            if !tail {
                *head = if run[0] & COMPOUND_HEAD != 0 { run[0] } else { 0 };
            }
            // Before Linux 6.10 a tail does not have the flags of its head.
            let flags = if tail && *head != 0 { *head } else { run[0] };
            let class = CLASSIFIER.class(flags);
            block.first.get_or_insert(class);
            *block.counter(class, flags) += run.len() as u64;
        }
        block
    }

    /// The counter for frames of this class; `flags` are those of the head for tails.
    fn counter(&mut self, class: Class, flags: u64) -> &mut u64 {
        match class {
            Class::Hole => &mut self.holes,
            Class::Free => &mut self.free,
            Class::Unclassified => &mut self.unclassified,
            // Pages mapped by drivers and io_uring have the flags of a file page, but are on no list.
            Class::File if flags & LRU == 0 => &mut self.unmovable[class as usize],
            Class::Anon | Class::Ksm | Class::Shmem | Class::File => match flags & (MLOCKED | UNEVICTABLE) {
                0 => &mut self.movable,
                _ => &mut self.locked,
            },
            _ => &mut self.unmovable[class as usize],
        }
    }

    /// Whether all of it is one compound page, or part of a larger one, that is in use as a huge page.
    fn is_huge_page(&self, words: &[u64]) -> bool {
        let compound = words[0] & (COMPOUND_HEAD | COMPOUND_TAIL) != 0;
        let somebody = |class| {
            matches!(class, Class::Anon | Class::Ksm | Class::Shmem | Class::File | Class::Hugetlb | Class::ZeroPage)
        };
        compound && words[1..].iter().all(|word| word & COMPOUND_TAIL != 0) && self.first.is_some_and(somebody)
    }
}

impl HugeBlocks {
    /// Counts a block that is memory.
    fn add_block(&mut self, block: &Block, words: &[u64]) {
        self.blocks += 1;
        if block.free == words.len() as u64 {
            self.free += 1;
            return;
        }
        if words.iter().all(|&word| word == 0) {
            self.unflagged += 1;
            return;
        }
        self.scattered_free_frames += block.free;
        self.unclassified_frames += block.unclassified;
        let unmovable = |class: &Class| block.unmovable[*class as usize];
        let present = || Class::ALL.into_iter().filter(|class| unmovable(class) > 0);
        // max_by_key returns the last of equal elements.
        match present().rev().max_by_key(unmovable) {
            _ if block.is_huge_page(words) => self.huge += 1,
            Some(main) => {
                self.unmovable += 1;
                present().for_each(|class| self.add_blocker(class, u64::from(class == main), unmovable(&class)));
            }
            None if block.unclassified > 0 => self.unclassified += 1,
            None if block.locked > 0 => self.locked += 1,
            None => self.movable += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::dir::Dir;
    use crate::kernel::physical::{Memory, Segment};
    use crate::model::frame_flags::{
        ANON, BUDDY, HUGE, MMAP, NOPAGE, PGTABLE, RESERVED, SLAB, SWAPBACKED, THP, UPTODATE, ZERO_PAGE,
    };
    use crate::model::zoneinfo::Zone;
    use std::ops::Range;

    const ANONYMOUS: u64 = ANON | MMAP | LRU | SWAPBACKED | UPTODATE;
    const CACHE: u64 = LRU | UPTODATE;

    /// Recorded blocks of eight frames from frame 8 on, with a zone and memory as these segments say.
    fn look_at(blocks: &[[u64; 8]], segments: &[(Range<u64>, Option<usize>, Memory)]) -> HugeBlocks {
        let segments =
            segments.iter().cloned().map(|(frames, zone, memory)| Segment { frames, zone, memory }).collect();
        let physical = Physical { zones: vec![Zone::default()], segments, by_iomem: true };
        let recorded: String =
            (8u64..).zip(blocks.iter().flatten()).map(|(pfn, word)| format!("{pfn:x} 1 {word:x} 0\n")).collect();
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join("words"), format!("pmem-words 1 holes=zero\n{recorded}")).unwrap();
        let words = Words::open(&Dir::confined(top.path()).unwrap(), "words", true).unwrap();
        count(&words, &physical, 8 + 8 * blocks.len() as u64, 3, |_| ()).unwrap().remove(0)
    }

    /// The same, all of it memory of a zone.
    fn look(blocks: &[[u64; 8]]) -> HugeBlocks {
        let found = look_at(blocks, &[(0..8, None, Memory::Hole), (8..u64::MAX, Some(0), Memory::Ram)]);
        let held = found.movable + found.locked + found.unmovable + found.unclassified;
        let kinds = found.free + found.huge + held + found.unflagged;
        assert_eq!((kinds, found.blocks + found.outside), (found.blocks, blocks.len() as u64));
        let main: u64 = found.blockers.iter().map(|blocker| blocker.blocks).sum();
        assert_eq!(main, found.unmovable, "each has one main blocker");
        found
    }

    fn with(mut block: [u64; 8], frames: &[(usize, u64)]) -> [u64; 8] {
        frames.iter().for_each(|&(at, flags)| block[at] = flags);
        block
    }

    #[test]
    fn a_block_is_one_thing() {
        let head = |flags: u64| {
            let mut block = [flags | COMPOUND_TAIL; 8];
            block[0] = flags | COMPOUND_HEAD;
            block
        };
        // Before Linux 6.10: tails without the flags of their head.
        let old = |flags: u64| with([COMPOUND_TAIL; 8], &[(0, flags | COMPOUND_HEAD)]);
        let two_folios = with(head(ANONYMOUS), &[(4, ANONYMOUS | COMPOUND_HEAD)]);
        for (block, expected) in [
            ([BUDDY; 8], "free"),
            (with([BUDDY; 8], &[(3, ANONYMOUS)]), "movable"),
            (with([CACHE; 8], &[(0, BUDDY)]), "movable"),
            ([ANONYMOUS; 8], "movable"),
            (two_folios, "movable"),
            (head(ANONYMOUS | THP), "huge"),
            (head(CACHE | THP), "huge"),
            (head(HUGE), "huge"),
            (old(ANONYMOUS), "huge"),
            (old(HUGE), "huge"),
            (old(SLAB), "unmovable"),
            (head(ZERO_PAGE), "huge"),
            (head(SLAB), "unmovable"),
            (head(0), "unmovable"),
            (with([BUDDY; 8], &[(7, SLAB)]), "unmovable"),
            (with([BUDDY; 8], &[(7, PGTABLE), (1, ANONYMOUS | MLOCKED)]), "unmovable"),
            (with([BUDDY; 8], &[(1, ANONYMOUS | MLOCKED)]), "locked"),
            (with([BUDDY; 8], &[(1, CACHE | UNEVICTABLE)]), "locked"),
            (with([BUDDY; 8], &[(1, MMAP)]), "unmovable"),
            (with([BUDDY; 8], &[(1, 0)]), "unclassified"),
            (with([ANONYMOUS | MLOCKED; 8], &[(1, ANON), (2, 0)]), "unclassified"),
            ([ANON; 8], "unclassified"),
            (with([0; 8], &[(1, SLAB)]), "unmovable"),
            ([0; 8], "unflagged"),
            (with([BUDDY; 8], &[(1, NOPAGE)]), "outside"),
        ] {
            let found = serde_json::to_value(look(&[block])).unwrap();
            assert_eq!(found[expected], 1, "{expected}: {block:x?}: {found}");
        }
    }

    #[test]
    fn parts_of_a_larger_page_are_huge_pages_too() {
        let mut gigantic = vec![[HUGE | COMPOUND_TAIL; 8]; 3];
        gigantic[0][0] = HUGE | COMPOUND_HEAD;
        assert_eq!(look(&gigantic).huge, 3);
        // The head is known from a block before.
        let mut old = vec![[COMPOUND_TAIL; 8]; 3];
        old[0][0] = HUGE | COMPOUND_HEAD;
        assert_eq!(look(&old).huge, 3);
        // A page of several windows: its head is not known in the second.
        assert_eq!(look(&gigantic[1..]).huge, 2);
        // The head of tails after an ordinary frame is not known.
        let found = look(&[gigantic[0], [CACHE; 8], [COMPOUND_TAIL; 8]]);
        assert_eq!((found.huge, found.blockers[0].class), (1, Class::OtherCompound));
    }

    #[test]
    fn the_most_frequent_class_blocks_and_all_frames_are_counted() {
        let found = look(&[
            with([BUDDY; 8], &[(0, SLAB), (1, SLAB), (2, PGTABLE)]),
            with([ANONYMOUS; 8], &[(0, PGTABLE)]),
            with([BUDDY; 8], &[(0, SLAB), (1, PGTABLE)]),
            with([CACHE; 8], &[(0, RESERVED), (1, PGTABLE), (2, PGTABLE), (3, 0), (4, 0), (5, 0)]),
            with([BUDDY; 8], &[(0, 0)]),
            [0; 8],
        ]);
        let blocker = |class, blocks, frames| Blocker { class, blocks, frames };
        let expected = [blocker(Class::PageTable, 2, 5), blocker(Class::Slab, 2, 3), blocker(Class::Reserved, 0, 1)];
        assert_eq!(found.blockers, expected, "slab comes before page tables where both are as frequent");
        assert_eq!((found.unclassified, found.unclassified_frames), (1, 4));
        let mut twice = found.clone();
        twice.add(&found);
        assert_eq!((twice.unmovable, twice.blockers[0]), (8, blocker(Class::PageTable, 4, 10)));
        // Whichever thread finishes first.
        let [mut one, mut other] = [SLAB, PGTABLE].map(|flags| look(&[with([BUDDY; 8], &[(0, flags)])]));
        let (slab, table) = (one.clone(), other.clone());
        one.add(&table);
        other.add(&slab);
        assert_eq!(one, other);
    }

    #[test]
    fn compaction_needs_free_frames_to_move_to() {
        let full = [ANONYMOUS; 8];
        let half = with(full, &[(0, BUDDY), (1, BUDDY), (2, BUDDY), (3, BUDDY)]);
        for (blocks, by_compaction) in [
            (vec![full; 3], 0),
            (vec![half, full], 0),
            (vec![half, half], 1),
            (vec![half, half, half], 1),
            // Room in a block that cannot be emptied itself.
            (vec![half, with(half, &[(7, SLAB)])], 1),
            (vec![[BUDDY; 8], full], 0),
            (vec![with([BUDDY; 8], &[(0, full[0])]), with([BUDDY; 8], &[(7, SLAB)])], 1),
        ] {
            assert_eq!(look(&blocks).by_compaction, by_compaction, "{blocks:x?}");
        }
    }

    #[test]
    fn what_is_no_memory_is_left_out() {
        // Frames 8 to 15 are memory, and all but the last of the next eight; then come eight without memory, eight that
        // are offline, a block half in the zone, and one in no zone.
        let segments = [
            (0..8, None, Memory::Hole),
            (8..23, Some(0), Memory::Ram),
            (23..32, Some(0), Memory::Hole),
            (32..40, Some(0), Memory::Offline),
            (40..44, Some(0), Memory::Ram),
            (44..u64::MAX, None, Memory::Ram),
        ];
        let found = look_at(&[[BUDDY; 8], [BUDDY; 8], [RESERVED | MMAP; 8], [0; 8], [BUDDY; 8], [BUDDY; 8]], &segments);
        assert_eq!(found, HugeBlocks { blocks: 1, free: 1, outside: 3, ..HugeBlocks::default() });
        // The block in which the file, or all of memory, ends is not a whole block.
        let all = Segment { frames: 0..u64::MAX, zone: Some(0), memory: Memory::Ram };
        let physical = Physical { zones: vec![Zone::default()], segments: vec![all], by_iomem: true };
        let mut found = [HugeBlocks::default()];
        super::look(&mut found, &physical, 3, 8, &[BUDDY; 7]);
        assert_eq!(found[0], HugeBlocks::default());
    }
}
