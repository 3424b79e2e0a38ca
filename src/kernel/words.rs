//! Files of 64-bit words, one per page or per frame: pagemap, kpageflags, kpagecount, kpagecgroup.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::dir::Dir;
use super::runs::{LARGEST, Runs};
use crate::error::{Error, Result};

/// Words read by one call, at most. Buffers from 64 KiB to 2 MiB cost the same per word.
pub const WINDOW: usize = 16 * 1024;

/// Sorted look-ups are read as one run when at most this many unwanted words lie between: a call costs about as much as
/// seven words of kpagecount (240–310 ns against 40 ns).
const JOIN_GAP: u64 = 7;

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

    /// The path the file was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, where this is the live machine's.
    pub fn live(&self) -> Option<&File> {
        match &self.source {
            Source::Live(file) => Some(file),
            Source::Recorded(_) => None,
        }
    }

    /// The recorded runs, where this is a recorded tree's.
    pub fn recorded(&self) -> Option<&Runs> {
        match &self.source {
            Source::Live(_) => None,
            Source::Recorded(runs) => Some(runs),
        }
    }

    /// Reads the words from `index` on into `words` and returns how many there were: fewer than asked for at the end of
    /// the file, none when the address space behind a pagemap is gone.
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

    /// Calls `each` with the position in `indices` and the word there, for every one of `indices`, which must ascend
    /// (equal ones may repeat). The word is `None` past the end of the file and where a tree has it not recorded.
    pub fn gather(
        &self,
        indices: impl ExactSizeIterator<Item = u64> + Clone,
        mut each: impl FnMut(usize, Option<u64>),
    ) -> Result<()> {
        if let Source::Recorded(runs) = &self.source {
            indices.enumerate().for_each(|(position, index)| each(position, runs.get(index)));
            return Ok(());
        }
        let mut words = vec![0; 512];
        let mut wanted = indices.enumerate().peekable();
        while let Some(&(_, first)) = wanted.peek() {
            // Find where this run ends, then read it in one call and hand it out.
            let mut last = first;
            for (_, index) in wanted.clone() {
                if index > last + JOIN_GAP + 1 || index - first >= words.len() as u64 {
                    break;
                }
                last = index;
            }
            let got = self.read(first, &mut words[..(last - first) as usize + 1])?;
            while let Some(&(position, index)) = wanted.peek()
                && index <= last
            {
                each(position, words[..got].get((index - first) as usize).copied());
                wanted.next();
            }
        }
        Ok(())
    }
}
