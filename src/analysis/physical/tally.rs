//! Counting frames by what their flags say: the part of a sweep over all memory that every frame goes through.

use foldhash::HashMap;

use crate::analysis::physical::class::{Class, Classifier};
use crate::kernel::physical::Memory;
use crate::model::frame_flags::{COMPOUND_HEAD, COMPOUND_TAIL, NOPAGE, RESERVED};

/// The number of classes.
pub const CLASSES: usize = Class::ALL.len();

/// Frames by class, in the order of [`Class::ALL`].
pub type ByClass = [u64; CLASSES];

/// The number of folio orders that are counted separately; folios of a higher order are not known.
pub const ORDERS: usize = 32;

/// Consecutive frames with the same flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Same {
    /// The first of them.
    pub first: u64,
    /// How many.
    pub frames: u64,
    /// Their flags.
    pub flags: u64,
    /// The first frame of the folio whose tails they are, if it was seen.
    pub head: Option<u64>,
    /// The flags that determine their class: for a tail, those of its head.
    pub effective: u64,
    /// Their class.
    pub class: Class,
}

/// Part of a folio at the edge of a window: put together with its other parts when all windows are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    first: u64,
    frames: u64,
    class: Class,
    has_head: bool,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Frames by their flags, with their class.
    pub flags: HashMap<(u64, Class), u64>,
    /// Folios by class and order; frames in no compound page count as folios of order 0.
    pub folios: HashMap<Class, [u64; ORDERS]>,
    /// Compound pages that were split or formed while they were being read.
    pub torn_folios: u64,
    pieces: Vec<Piece>,
}

impl Tally {
    /// Counts the frames of a window (or part of one) that begins at frame `first`, and passes runs of equal words to
    /// `each`. `memory` says whether there is memory behind frames without flags.
    pub fn window(
        &mut self,
        first: u64,
        words: &[u64],
        classifier: Classifier,
        memory: Memory,
        mut each: impl FnMut(Same),
    ) {
        let absent = Class::of_absent(memory);
        let mut folio: Option<(Piece, u64)> = None;
        let mut at = 0;
        while let Some(&flags) = words.get(at) {
            let frames = words[at..].iter().take_while(|&&word| word == flags).count();
            let place = first + at as u64;
            at += frames;
            let (frames, flags) = (frames as u64, classifier.believed(flags));
            // A tail has its head's class; before Linux 6.10 it has few flags of its own.
            let effective = match folio {
                Some((_, head)) if flags & COMPOUND_TAIL != 0 => head,
                _ => flags,
            };
            let class = match absent {
                Some(class) if flags & !(RESERVED | NOPAGE) == 0 => class,
                _ => classifier.class(effective),
            };
            *self.flags.entry((flags, class)).or_default() += frames;
            let head = folio.filter(|_| flags & COMPOUND_TAIL != 0).map(|(piece, _)| piece.first);
            folio = self.folio(folio, Piece { first: place, frames, class, has_head: false }, flags);
            each(Same { first: place, frames, flags, head, effective, class });
        }
        // It may continue in the next window.
        self.pieces.extend(folio.map(|(piece, _)| piece));
    }

    /// Counts folios: returns the folio in progress after these frames, given the one before them.
    fn folio(&mut self, mut folio: Option<(Piece, u64)>, frames: Piece, flags: u64) -> Option<(Piece, u64)> {
        if flags & COMPOUND_TAIL != 0 {
            match &mut folio {
                Some((piece, _)) => piece.frames += frames.frames,
                // Its head was in the window before.
                None => self.pieces.push(frames),
            }
            return folio;
        }
        if let Some((piece, _)) = folio {
            self.whole(piece);
        }
        if flags & COMPOUND_HEAD == 0 {
            self.folios.entry(frames.class).or_insert([0; ORDERS])[0] += frames.frames;
            return None;
        }
        // Heads without tails in between: their folios were being changed.
        self.torn_folios += frames.frames - 1;
        let last = frames.first + frames.frames - 1;
        Some((Piece { first: last, frames: 1, has_head: true, ..frames }, flags))
    }

    fn whole(&mut self, folio: Piece) {
        // A folio has a power of two of frames, and a compound page at least two.
        if folio.has_head && folio.frames.is_power_of_two() && folio.frames > 1 {
            let order = folio.frames.trailing_zeros() as usize;
            self.folios.entry(folio.class).or_insert([0; ORDERS])[order.min(ORDERS - 1)] += 1;
        } else {
            self.torn_folios += 1;
        }
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: Self) {
        other.flags.into_iter().for_each(|(key, frames)| *self.flags.entry(key).or_default() += frames);
        for (class, orders) in other.folios {
            let own = self.folios.entry(class).or_insert([0; ORDERS]);
            own.iter_mut().zip(orders).for_each(|(own, other)| *own += other);
        }
        self.torn_folios += other.torn_folios;
        self.pieces.extend(other.pieces);
    }

    /// Reassembles the folios that windows cut, when everything has been counted.
    pub fn finish(&mut self) {
        self.pieces.sort_unstable_by_key(|piece| piece.first);
        let mut open: Option<Piece> = None;
        for piece in std::mem::take(&mut self.pieces) {
            match &mut open {
                Some(folio) if !piece.has_head && folio.first + folio.frames == piece.first => {
                    folio.frames += piece.frames;
                }
                _ => open.replace(piece).into_iter().for_each(|folio| self.whole(folio)),
            }
        }
        open.into_iter().for_each(|folio| self.whole(folio));
    }

    /// Frames by class.
    pub fn classes(&self) -> ByClass {
        let mut classes = [0; CLASSES];
        self.flags.iter().for_each(|((_, class), frames)| classes[*class as usize] += frames);
        classes
    }

    /// How many frames have any of these flags and this class.
    pub fn frames_with(&self, of: impl Fn(u64, Class) -> bool) -> u64 {
        self.flags.iter().filter(|((flags, class), _)| of(*flags, *class)).map(|(_, frames)| frames).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::frame_flags::{ANON, BUDDY, HUGE, LRU, MMAP, SLAB, SWAPBACKED, THP};

    const RIGHT: Classifier = Classifier { ksm_flag_right: true };

    fn counted(windows: &[(u64, Vec<u64>)]) -> Tally {
        let mut tally = Tally::default();
        for (first, words) in windows {
            let mut frames = 0;
            tally.window(*first, words, RIGHT, Memory::Ram, |same| frames += same.frames);
            assert_eq!(frames, words.len() as u64);
        }
        tally.finish();
        tally
    }

    fn repeat(parts: &[(u64, usize)]) -> Vec<u64> {
        parts.iter().flat_map(|&(word, times)| std::iter::repeat_n(word, times)).collect()
    }

    #[test]
    fn folios_are_counted_by_their_tails() {
        let head = COMPOUND_HEAD | LRU | MMAP | ANON | SWAPBACKED | THP;
        let tail = head ^ COMPOUND_HEAD ^ COMPOUND_TAIL;
        let words = repeat(&[(head, 1), (tail, 511), (head, 1), (tail, 3), (LRU | MMAP, 5), (BUDDY, 8)]);
        let tally = counted(&[(0, words)]);
        let orders = |class| tally.folios[&class];
        assert_eq!((orders(Class::Anon)[9], orders(Class::Anon)[2], orders(Class::Anon)[0]), (1, 1, 0));
        assert_eq!((orders(Class::File)[0], orders(Class::Free)[0]), (5, 8));
        let classes = tally.classes();
        assert_eq!((classes[Class::Anon as usize], classes.iter().sum::<u64>()), (516, 529));
        assert_eq!(tally.torn_folios, 0);
    }

    #[test]
    fn a_tail_without_flags_of_its_own_has_its_heads_class() {
        // Linux up to 6.9: tails of shared memory say MMAP and THP only.
        let head = COMPOUND_HEAD | LRU | MMAP | SWAPBACKED | THP;
        let tally = counted(&[(0, repeat(&[(head, 1), (COMPOUND_TAIL | MMAP | THP, 511)]))]);
        assert_eq!(tally.classes()[Class::Shmem as usize], 512);
    }

    #[test]
    fn a_folio_over_several_windows_is_one() {
        let (head, tail) = (HUGE | COMPOUND_HEAD, HUGE | COMPOUND_TAIL);
        let windows =
            [(16, repeat(&[(tail, 8)])), (0, repeat(&[(SLAB, 4), (head, 1), (tail, 3)])), (8, repeat(&[(tail, 8)]))];
        let mut tally = counted(&windows);
        assert_eq!(tally.folios.get(&Class::Hugetlb), None, "20 frames are no folio");
        assert_eq!(tally.torn_folios, 1);
        tally = counted(&[(8, repeat(&[(tail, 4), (0, 4)])), (0, repeat(&[(0, 4), (head, 1), (tail, 3)]))]);
        assert_eq!(tally.folios[&Class::Hugetlb][3], 1);
    }

    #[test]
    fn holes_are_where_there_is_no_memory() {
        let mut tally = Tally::default();
        tally.window(0, &[0, RESERVED, MMAP, NOPAGE], RIGHT, Memory::Hole, |_| ());
        let classes = tally.classes();
        assert_eq!((classes[Class::Hole as usize], classes[Class::File as usize]), (3, 1));
    }
}
