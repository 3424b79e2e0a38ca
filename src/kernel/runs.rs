//! The recorded form of the kernel's word files (pagemap, kpageflags, kpagecount, kpagecgroup) and of PAGEMAP_SCAN categories:
//! run-length encoded text in which holes take no space.
//!
//! ```text
//! pmem-words 1 holes=zero
//! # index count word step
//! 7f16688a3 12 8180000000012345 1
//! 7f1668900 1 0 0
//! ```
//!
//! The first line gives the version and the meaning of words not covered by any run: `zero`, as for holes in an address space,
//! or `unrecorded`, if only some words were captured. Every other line is a run, or a comment starting with `#`. A run means
//! that the `count` words from `index` on are `word`, `word + step`, `word + 2 × step`, … (wrapping), so that consecutive
//! frames (step 1) and consecutive swap slots (step 20) form a single run. All four numbers are hexadecimal, without prefix,
//! and separated by one space. Runs are in ascending order and do not overlap.

use std::io::{self, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::unit::hexadecimal;

/// The maximum size of a recorded word file, in bytes: a few million runs, more than the frames of a large machine need (24 GiB
/// took 200,000).
pub const LARGEST: u64 = 64 << 20;

/// The maximum total length of runs with a non-zero step: the words of 16 TiB of 4 KiB pages. These words are processed one by
/// one, so a short file that claims more would take forever; runs of equal words are not, and can have any length.
const MOST_DIFFERENT: u64 = 1 << 32;

/// The meaning of words not covered by a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// Zero: the file was captured completely.
    Zero,
    /// Unknown: only some words were captured.
    Unrecorded,
}

/// `count` words from `index` on: `word`, `word + step`, `word + 2 × step`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The index of the first word.
    pub index: u64,
    /// The number of words, at least one.
    pub count: u64,
    /// The first word.
    pub word: u64,
    /// The difference between consecutive words, wrapping.
    pub step: u64,
}

impl Run {
    /// The index after the last word.
    pub fn end(&self) -> u64 {
        self.index + self.count
    }

    /// The word at `index`, which must be in the run.
    pub fn at(&self, index: u64) -> u64 {
        self.word.wrapping_add(self.step.wrapping_mul(index - self.index))
    }
}

/// A recorded word file.
#[derive(Debug)]
pub struct Runs {
    runs: Vec<Run>,
    holes: Holes,
}

impl Runs {
    /// Parses the text form. Any input gives a value or an error, using memory in proportion to its size.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let mut lines = text.split(|&b| b == b'\n').zip(1..);
        let holes = match lines.next() {
            Some((b"pmem-words 1 holes=zero", _)) => Holes::Zero,
            Some((b"pmem-words 1 holes=unrecorded", _)) => Holes::Unrecorded,
            _ => return Err(Error::malformed(path, 1, "expected 'pmem-words 1 holes=zero' or '… holes=unrecorded'")),
        };
        let mut runs: Vec<Run> = Vec::new();
        let mut different = 0u64;
        for (line, number) in lines {
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let run =
                parse_run(line).ok_or_else(|| Error::malformed(path, number, "expected 'INDEX COUNT WORD STEP'"))?;
            if runs.last().is_some_and(|last| run.index < last.end()) {
                return Err(Error::malformed(path, number, "runs must be in ascending order and not overlap"));
            }
            different = different.saturating_add(if run.step == 0 { 0 } else { run.count });
            if different > MOST_DIFFERENT {
                return Err(Error::malformed(path, number, "more words than any machine has pages"));
            }
            runs.push(run);
        }
        Ok(Self { runs, holes })
    }

    /// The runs within `from..to`, clipped to it, in order.
    pub fn between(&self, from: u64, to: u64) -> impl Iterator<Item = Run> + '_ {
        let first = self.runs.partition_point(|run| run.end() <= from);
        self.runs[first..].iter().take_while(move |run| run.index < to).map(move |run| {
            let index = run.index.max(from);
            Run { index, count: run.end().min(to) - index, word: run.at(index), step: run.step }
        })
    }

    /// The index after the last word in a run; `None` if words between the runs were not recorded.
    pub fn whole_end(&self) -> Option<u64> {
        (self.holes == Holes::Zero).then(|| self.runs.last().map_or(0, Run::end))
    }

    /// The word at `index`; `None` if it was not recorded.
    pub fn get(&self, index: u64) -> Option<u64> {
        match self.between(index, index.saturating_add(1)).next() {
            Some(run) => Some(run.word),
            None => (self.holes == Holes::Zero).then_some(0),
        }
    }
}

fn parse_run(line: &[u8]) -> Option<Run> {
    let mut fields = line.split(|&b| b == b' ').map(|field| {
        let text = std::str::from_utf8(field).ok()?;
        hexadecimal(text).filter(|_| !text.starts_with("0x"))
    });
    let mut next = || fields.next().flatten();
    let run = Run { index: next()?, count: next()?, word: next()?, step: next()? };
    (fields.next().is_none() && run.count > 0 && run.index.checked_add(run.count).is_some()).then_some(run)
}

/// Writes the text form, joining words into runs as they come.
#[derive(Debug)]
pub struct RunWriter<W: Write> {
    out: W,
    pending: Option<Run>,
}

impl<W: Write> RunWriter<W> {
    /// Starts a file that is written to `out`.
    pub fn new(mut out: W, holes: Holes) -> io::Result<Self> {
        let holes = match holes {
            Holes::Zero => "zero",
            Holes::Unrecorded => "unrecorded",
        };
        writeln!(out, "pmem-words 1 holes={holes}\n# index count word step")?;
        Ok(Self { out, pending: None })
    }

    /// Adds `count` copies of `word` from `index` on; indices must increase from call to call.
    pub fn repeat(&mut self, index: u64, count: u64, word: u64) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        if let Some(run) = &mut self.pending
            && run.end() == index
            && run.step == 0
            && run.word == word
        {
            run.count += count;
            return Ok(());
        }
        self.flush_run()?;
        self.pending = Some(Run { index, count, word, step: 0 });
        Ok(())
    }

    /// Adds one word; indices must increase from call to call.
    pub fn push(&mut self, index: u64, word: u64) -> io::Result<()> {
        if let Some(run) = &mut self.pending
            && run.end() == index
        {
            if run.count == 1 {
                let step = word.wrapping_sub(run.word);
                // Steps of one frame or one swap slot; other steps would join unrelated neighbours.
                if matches!(step, 0 | 1 | SWAP_SLOT) {
                    (run.count, run.step) = (2, step);
                    return Ok(());
                }
            } else if run.at(index) == word {
                run.count += 1;
                return Ok(());
            }
        }
        self.flush_run()?;
        self.pending = Some(Run { index, count: 1, word, step: 0 });
        Ok(())
    }

    /// Finishes the file.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush_run()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn flush_run(&mut self) -> io::Result<()> {
        match self.pending.take() {
            Some(Run { index, count, word, step }) => writeln!(self.out, "{index:x} {count:x} {word:x} {step:x}"),
            None => Ok(()),
        }
    }
}

/// The difference between the pagemap words of consecutive swap slots: the offset starts at bit 5.
const SWAP_SLOT: u64 = 1 << 5;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(words: &[(u64, u64)], holes: Holes) -> Vec<u8> {
        let mut writer = RunWriter::new(Vec::new(), holes).unwrap();
        for &(index, word) in words {
            writer.push(index, word).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn neighbours_become_one_run_and_a_hole_costs_nothing() {
        let present = 1 << 63;
        let mut words: Vec<_> = (0..512).map(|i| (1000 + i, present | (7000 + i))).collect();
        words.extend((0..8).map(|i| (1u64 << 50 | i, 1 << 62 | i << 5)));
        let text = written(&words, Holes::Zero);
        assert_eq!(
            String::from_utf8(text.clone()).unwrap(),
            "pmem-words 1 holes=zero\n# index count word step\n\
             3e8 200 8000000000001b58 1\n4000000000000 8 4000000000000000 20\n"
        );
        let runs = Runs::parse(&text, Path::new("x")).unwrap();
        assert_eq!(runs.get(1511), Some(present | 7511));
        assert_eq!(runs.get(1512), Some(0));
        let unrecorded = Runs::parse(&written(&words, Holes::Unrecorded), Path::new("x")).unwrap();
        assert_eq!(unrecorded.get(1512), None);
    }

    #[test]
    fn hostile_files_are_refused() {
        for text in [
            "",
            "pmem-words 2 holes=zero\n",
            "pmem-words 1 holes=zero\n1 0 0 0\n",
            "pmem-words 1 holes=zero\n1 2 3\n",
            "pmem-words 1 holes=zero\n1 2 3 4 5\n",
            "pmem-words 1 holes=zero\n+1 2 3 4\n",
            "pmem-words 1 holes=zero\nffffffffffffffff 2 0 0\n",
            "pmem-words 1 holes=zero\n1 ffffffffffffffff 0 0\n2 1 0 0\n",
            "pmem-words 1 holes=zero\n5 1 0 0\n5 1 0 0\n",
            "pmem-words 1 holes=zero\n5 100000001 0 1\n",
        ] {
            assert!(Runs::parse(text.as_bytes(), Path::new("x")).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(words in prop::collection::btree_map(0u64..2000, 0u64..40, 0..300)) {
            let words: Vec<(u64, u64)> = words.into_iter().collect();
            let runs = Runs::parse(&written(&words, Holes::Unrecorded), Path::new("x")).unwrap();
            for index in 0..2000 {
                let expected = words.binary_search_by_key(&index, |w| w.0).ok().map(|i| words[i].1);
                prop_assert_eq!(runs.get(index), expected);
            }
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = b"pmem-words 1 holes=zero\n".to_vec();
            text.extend(bytes);
            let _ = Runs::parse(&text, Path::new("x"));
        }
    }
}
