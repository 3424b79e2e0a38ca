//! A set of page frame numbers, fast enough to be queried for every present page of a machine.

use std::collections::BTreeMap;

use crate::unit::Pfn;

/// A set of frames, in blocks of bits: 512 bytes for each 16 MiB of memory (with pages of 4 KiB) that contains any.
#[derive(Clone, Debug, Default)]
pub struct FrameSet {
    blocks: BTreeMap<u64, Box<[u64; WORDS]>>,
}

const WORDS: usize = 64;
const FRAMES: u64 = 64 * WORDS as u64;

impl FrameSet {
    /// Adds a frame; returns whether it was new.
    pub fn insert(&mut self, pfn: Pfn) -> bool {
        let block = self.blocks.entry(pfn.0 / FRAMES).or_insert_with(|| Box::new([0; WORDS]));
        let (word, bit) = place(pfn);
        let new = block[word] & bit == 0;
        block[word] |= bit;
        new
    }

    /// Whether a frame is in the set.
    pub fn contains(&self, pfn: Pfn) -> bool {
        let (word, bit) = place(pfn);
        self.blocks.get(&(pfn.0 / FRAMES)).is_some_and(|block| block[word] & bit != 0)
    }

    /// How many frames are in it.
    pub fn len(&self) -> u64 {
        self.blocks.values().flat_map(|block| block.iter()).map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frames, ascending, some thousands at a time.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<Pfn>> {
        self.blocks.iter().map(|(number, block)| {
            let first = number * FRAMES;
            let has = |within: &u64| block[(within / 64) as usize] >> (within % 64) & 1 == 1;
            (0..FRAMES).filter(has).map(|within| Pfn(first + within)).collect()
        })
    }

    /// The frames that are in both.
    pub fn and(&self, other: &Self) -> Self {
        let both = self.blocks.iter().filter_map(|(number, own)| {
            let mut block = own.clone();
            block.iter_mut().zip(other.blocks.get(number)?.iter()).for_each(|(own, other)| *own &= other);
            Some((*number, block))
        });
        Self { blocks: both.collect() }
    }

    /// Adds the frames of another set.
    pub fn add(&mut self, other: &Self) {
        for (number, theirs) in &other.blocks {
            let own = self.blocks.entry(*number).or_insert_with(|| Box::new([0; WORDS]));
            own.iter_mut().zip(theirs.iter()).for_each(|(own, other)| *own |= other);
        }
    }

    /// How many frames are in both.
    pub fn in_common(&self, other: &Self) -> u64 {
        let both = self.blocks.iter().filter_map(|(number, own)| Some((own, other.blocks.get(number)?)));
        both.flat_map(|(own, other)| own.iter().zip(other.iter()).map(|(a, b)| u64::from((a & b).count_ones()))).sum()
    }
}

impl FromIterator<Pfn> for FrameSet {
    fn from_iter<I: IntoIterator<Item = Pfn>>(frames: I) -> Self {
        let mut set = Self::default();
        for pfn in frames {
            set.insert(pfn);
        }
        set
    }
}

fn place(pfn: Pfn) -> (usize, u64) {
    let within = pfn.0 % FRAMES;
    ((within / 64) as usize, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let numbers = [0, 63, 64, 4095, 4096, 1 << 40];
        let set: FrameSet = numbers.iter().chain(&numbers).map(|&number| Pfn(number)).collect();
        assert!(numbers.iter().all(|&number| set.contains(Pfn(number))));
        assert!([1, 62, 65, 4097, (1 << 40) + 1].iter().all(|&number| !set.contains(Pfn(number))));
        assert_eq!(set.len(), 6);
        let other: FrameSet = [63, 65, 1 << 40].map(Pfn).into_iter().collect();
        assert_eq!((set.in_common(&other), other.in_common(&set)), (2, 2));
        assert_eq!(set.and(&other).blocks().flatten().collect::<Vec<_>>(), [Pfn(63), Pfn(1 << 40)]);
        let mut all = set.clone();
        all.add(&other);
        assert_eq!((all.len(), set.and(&FrameSet::default()).is_empty()), (7, true));
    }
}
