//! Which processes share frames, and how many.

use serde::Serialize;

use crate::analysis::processes::visit::{self, Looked};
use crate::analysis::rmap::frame_set::FrameSet;
use crate::analysis::rmap::{Asked, Search};
use crate::error::Result;
use crate::kernel::process::Process;
use crate::model::frame_flags::ZERO_PAGE;
use crate::name::{Name, as_comm};
use crate::unit::Pfn;

/// A process and its frames, without those of the zero page, which all processes share.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: Name,
    /// Its frames.
    pub frames: FrameSet,
}

/// A process that shares frames with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharer {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: Name,
    /// How many frames they share.
    pub frames: u64,
}

/// Which processes share frames with one.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SharedWith {
    /// The process.
    pub pid: u32,
    /// Its name.
    #[serde(flatten, serialize_with = "as_comm")]
    #[cfg_attr(test, schemars(with = "crate::name::schema::AsComm"))]
    pub comm: Name,
    /// Its frames.
    pub frames: u64,
    /// Frames it shares with no other process.
    pub alone_frames: u64,
    /// The others, who shares most first.
    #[serde(skip)]
    pub sharers: Vec<Sharer>,
    /// Which processes could be searched.
    pub asked: Asked,
}

/// How many frames several processes share with each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Matrix {
    /// The processes, with the number of their frames.
    #[serde(skip)]
    pub processes: Vec<Sharer>,
    /// The frames that two of them have in common; on the diagonal, all frames of a process.
    pub frames: Vec<Vec<u64>>,
}

impl Search<'_> {
    /// The frames of a process.
    ///
    /// # Errors
    /// [`Reason::NoAddressSpace`] for a process without one, and any other reason it cannot be read.
    pub fn holder(&self, pid: u32) -> Looked<Holder> {
        visit::process(self.root, pid, |seen| {
            let comm = seen.process().comm()?;
            let frames = self.without_zero_pages(&self.frames_of(seen.address_space()?, |_| true)?)?;
            Ok(Holder { pid, comm, frames })
        })
    }

    /// The frames of a process among those that are `wanted`.
    fn frames_of(&self, process: &Process, wanted: impl Fn(Pfn) -> bool) -> Result<FrameSet> {
        let mut frames = FrameSet::default();
        self.each_frame(process, |pfn, _| {
            if wanted(pfn) {
                frames.insert(pfn);
            }
        })?;
        Ok(frames)
    }

    fn without_zero_pages(&self, frames: &FrameSet) -> Result<FrameSet> {
        let mut others = FrameSet::default();
        for part in frames.blocks() {
            self.frame_reader.files.flags.gather(part.iter().map(|pfn| pfn.0), |place, flags| {
                if flags.is_none_or(|flags| flags & ZERO_PAGE == 0) {
                    others.insert(part[place]);
                }
            })?;
        }
        Ok(others)
    }

    /// Finds which frames all other processes share with this one.
    ///
    /// # Errors
    /// If the processes cannot be listed, or this one cannot be read again; another process that cannot be read is
    /// reported.
    pub fn shared_with(&self, holder: &Holder, progress: impl FnMut(usize, usize)) -> Looked<SharedWith> {
        let ask = |pid: u32, process: &Process| {
            if pid == holder.pid {
                return Ok(None);
            }
            let frames = self.frames_of(process, |pfn| holder.frames.contains(pfn))?;
            Ok(if frames.is_empty() { None } else { Some((pid, process.comm()?, frames)) })
        };
        let (found, asked) = self.ask_all(ask, progress)?;
        // A frame that it freed in the meantime may belong to another process now: only what it has now as before is
        // shared.
        let holder = Holder { frames: holder.frames.and(&self.holder(holder.pid)?.frames), ..holder.clone() };
        let (mut shared, mut sharers) = (FrameSet::default(), Vec::new());
        for (pid, comm, frames) in found.into_iter().flatten() {
            let frames = frames.and(&holder.frames);
            sharers.extend((!frames.is_empty()).then(|| Sharer { pid, comm, frames: frames.len() }));
            shared.add(&frames);
        }
        sharers.sort_unstable_by_key(|sharer| (std::cmp::Reverse(sharer.frames), sharer.pid));
        let frames = holder.frames.len();
        let (pid, comm) = (holder.pid, holder.comm);
        Ok(SharedWith { pid, comm, frames, alone_frames: frames - shared.len(), sharers, asked })
    }
}

impl Matrix {
    /// Compares all holders with each other.
    pub fn of(holders: &[Holder]) -> Self {
        let in_common = |a: &Holder| holders.iter().map(|b| a.frames.in_common(&b.frames)).collect();
        let sharer =
            |holder: &Holder| Sharer { pid: holder.pid, comm: holder.comm.clone(), frames: holder.frames.len() };
        Self { processes: holders.iter().map(sharer).collect(), frames: holders.iter().map(in_common).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_what_two_have_in_common() {
        let holder = |pid, frames: &[u64]| Holder {
            pid,
            comm: Name::new(b"x"),
            frames: frames.iter().map(|&pfn| Pfn(pfn)).collect(),
        };
        let matrix = Matrix::of(&[holder(1, &[1, 2, 3]), holder(2, &[3, 4]), holder(3, &[])]);
        assert_eq!(matrix.frames, [[3, 1, 0], [1, 2, 0], [0, 0, 0]]);
    }
}
