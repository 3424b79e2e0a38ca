//! Files of 64-bit words, one per page or frame: pagemap, kpageflags, kpagecount, kpagecgroup.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::dir::Dir;
use super::runs::{LARGEST, Runs};
use crate::error::{Error, Result};

/// The maximum number of words per call. Buffers from 64 KiB to 2 MiB cost the same per word.
pub const WINDOW: usize = 16 * 1024;

/// Sorted lookups are merged into one read if at most this many unwanted words lie in between: a call costs about as much as
/// seven words of kpagecount (240–310 ns compared with 40 ns).
const JOIN_GAP: u64 = 7;

/// The maximum length of such a run, at which the cost of the call no longer matters.
const MOST_GATHERED: usize = 512;

/// A word file of the live machine or of a recorded tree.
#[derive(Debug)]
pub struct Words {
    path: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Live(File),
    Recorded(Runs),
}

impl Words {
    /// Opens `relative` below `dir`, as the kernel's binary file or, where `recorded`, as run-length text.
    pub fn open(dir: &Dir, relative: impl AsRef<Path>, recorded: bool) -> Result<Self> {
        let path = dir.path().join(relative.as_ref());
        let source = if recorded {
            Source::Recorded(Runs::parse(&dir.read(relative, LARGEST)?, &path)?)
        } else {
            Source::Live(dir.open(relative)?)
        };
        Ok(Self { path, source })
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, on the live machine.
    pub fn live(&self) -> Option<&File> {
        match &self.source {
            Source::Live(file) => Some(file),
            Source::Recorded(_) => None,
        }
    }

    /// The recorded runs, in a recorded tree.
    pub fn recorded(&self) -> Option<&Runs> {
        match &self.source {
            Source::Live(_) => None,
            Source::Recorded(runs) => Some(runs),
        }
    }

    /// Reads the words from `index` on into `words` and returns how many there were: fewer than requested at the end of the
    /// file, 0 if the address space of a pagemap is gone.
    pub fn read(&self, index: u64, words: &mut [u64]) -> Result<usize> {
        match &self.source {
            Source::Live(file) => self.read_live(file, index, words),
            Source::Recorded(runs) => {
                words.fill(0);
                for run in runs.between(index, index.saturating_add(words.len() as u64)) {
                    for at in run.index..run.end() {
                        words[(at - index) as usize] = run.at(at);
                    }
                }
                Ok(words.len())
            }
        }
    }

    /// Reads the words of a range of pagemap through `buffer`, as many at a time as it holds, and passes them to `each` with
    /// the index of the first.
    ///
    /// # Errors
    /// [`Error::Gone`] if there are no words, which means that the address space is gone; and those of `each`.
    pub fn windows(
        &self,
        range: Range<u64>,
        buffer: &mut [u64],
        mut each: impl FnMut(u64, &[u64]) -> Result<()>,
    ) -> Result<()> {
        let mut index = range.start;
        while index < range.end {
            let want = (range.end - index).min(buffer.len() as u64) as usize;
            let got = self.read(index, &mut buffer[..want])?;
            if got == 0 {
                return Err(Error::Gone { path: self.path.clone() });
            }
            each(index, &buffer[..got])?;
            index += got as u64;
        }
        Ok(())
    }

    fn read_live(&self, file: &File, index: u64, words: &mut [u64]) -> Result<usize> {
        let mut done = 0;
        while done < words.len() {
            let offset = index.saturating_add(done as u64).saturating_mul(8);
            match file.read_at(bytemuck::cast_slice_mut(&mut words[done..]), offset) {
                Ok(0) => break,
                Ok(bytes) => done += bytes / 8,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::from_io(e, &self.path)),
            }
        }
        Ok(done)
    }

    /// Calls `each` with the position in `indices` and the word, for each of `indices`, which must be sorted (duplicates are
    /// allowed). The word is `None` past the end of the file and if a tree did not record it.
    pub fn gather(&self, indices: impl Iterator<Item = u64>, mut each: impl FnMut(usize, Option<u64>)) -> Result<()> {
        if let Source::Recorded(runs) = &self.source {
            indices.enumerate().for_each(|(position, index)| each(position, runs.get(index)));
            return Ok(());
        }
        // The range for one call, and the words it read.
        let (mut run, mut words): (Vec<u64>, _) = (Vec::new(), [0; MOST_GATHERED]);
        let mut position = 0;
        let mut read = |run: &mut Vec<u64>| -> Result<()> {
            let (Some(&first), Some(&last)) = (run.first(), run.last()) else { return Ok(()) };
            let got = self.read(first, &mut words[..(last - first) as usize + 1])?;
            for index in run.drain(..) {
                each(position, words[..got].get((index - first) as usize).copied());
                position += 1;
            }
            Ok(())
        };
        for index in indices {
            if let (Some(&first), Some(&last)) = (run.first(), run.last())
                && (index - last > JOIN_GAP + 1 || index - first >= MOST_GATHERED as u64)
            {
                read(&mut run)?;
            }
            run.push(index);
        }
        read(&mut run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_what_stands_there() {
        let top = tempfile::tempdir().unwrap();
        let numbers: Vec<u64> = (0..5000).collect();
        std::fs::write(top.path().join("words"), bytemuck::cast_slice(&numbers)).unwrap();
        let words = Words::open(&Dir::live(top.path()).unwrap(), "words", false).unwrap();
        // Equal ones, those of one call, gaps on both sides of its limit, more than one call reads, and past the end.
        let indices: Vec<u64> =
            [0, 0, 1, 9, 18].into_iter().chain(100..1500).chain([4000, 4998, 4999, 5000, 5003, 9000]).collect();
        let mut found = vec![Some(7); indices.len()];
        words.gather(indices.iter().copied(), |place, word| found[place] = word).unwrap();
        let expected: Vec<Option<u64>> = indices.iter().map(|&index| (index < 5000).then_some(index)).collect();
        assert_eq!(found, expected);
    }
}
