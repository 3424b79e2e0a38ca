//! The worker process and the operations a step can use.
//!
//! Nothing here allocates between two turns, so the parent counts only the demo's own memory.

use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::facts::{PLACES, Places};
use super::forked::OwnMemory;
use super::script::Step;
use super::turns::{Reply, Turns};
use crate::kernel::memory::Mapping;
use crate::unit::VirtAddr;

/// The result of a piece of work. [`Errno::EFAULT`] means that the memory is not mapped (the step that maps it was left out).
pub type Done = nix::Result<()>;

/// Readable and writable.
pub const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// The maximum number of observed files of a worker.
pub const FILES: usize = 2;

/// The maximum number of values a worker can report in one turn.
pub const SAID: usize = 8;

/// The worker, as the work of a step sees it.
#[derive(Debug)]
pub struct Worker {
    /// The base page size in bytes.
    pub page: usize,
    /// The index of this repetition of the step, from 0.
    pub time: usize,
    /// Its memory, by place. Each place has a fixed address, far from everything else and aligned for any huge page.
    pub maps: [Option<Mapping>; PLACES],
    /// The open files that are observed ([`Look::file`](super::look::Look::file)).
    pub files: [Option<File>; FILES],
    /// Other descriptors kept open. It has room for [`KEPT`] of them without allocating.
    pub kept: Vec<OwnedFd>,
    /// Children that only wait. (The child that does work is created by [`fork`](Self::fork).)
    pub children: Vec<Pid>,
    places: Places,
    /// The answer to this turn.
    pub(super) reply: Reply,
    /// Its ends of the conversations, its own and the one for its child, until they are taken.
    pub(super) turns: [Option<Turns>; 2],
    pub(super) steps: Rc<[Step]>,
    pub(super) own: OwnMemory,
}

/// The number of descriptors a worker has room for.
pub const KEPT: usize = 4096;

impl Worker {
    pub(super) fn new(
        page: usize,
        places: Places,
        turns: [Option<Turns>; 2],
        steps: Rc<[Step]>,
        own: OwnMemory,
    ) -> Self {
        Self {
            page,
            time: 0,
            maps: Default::default(),
            files: Default::default(),
            kept: Vec::with_capacity(KEPT),
            children: Vec::with_capacity(KEPT),
            places,
            reply: Reply::default(),
            turns,
            steps,
            own,
        }
    }

    /// Keeps the memory ranges from turn to turn, and resets everything that is counted.
    pub(super) fn begin_turn(&mut self, time: usize) {
        self.time = time;
        let Reply { ranges, second, .. } = self.reply;
        self.reply = Reply { ranges, second, ..Reply::default() };
    }

    /// Touches the last page of the first place, if it is mapped: writes it, or reads it if it is not writable.
    pub(super) fn touch_last_page(&mut self) -> Done {
        let page = self.page;
        self.counting(|w| {
            let Ok(mapping) = w.at(0) else { return Ok(()) };
            let last = mapping.length() - page;
            // Through the kernel, so that an inaccessible page raises no signal.
            mapping.try_write(last, 1).or_else(|_| mapping.try_touch(last)).or(Ok(()))
        })
    }

    /// Kills the child that does work, and reaps it.
    pub fn end_second(&mut self) -> Done {
        let second = std::mem::take(&mut self.reply.second);
        if second == 0 {
            return Err(Errno::EFAULT);
        }
        end(Pid::from_raw(second))
    }

    /// Kills all children that only wait.
    pub fn end_children(&mut self) -> Done {
        // A child that cannot be killed does not stop the others from being killed.
        self.children.drain(..).map(end).fold(Ok(()), Result::and)
    }

    /// The address of a place.
    pub fn address(&self, place: usize) -> usize {
        self.places.address(place)
    }

    /// Maps private anonymous memory at a place, without huge pages.
    pub fn map(&mut self, place: usize, pages: usize) -> Done {
        self.map_with(place, pages, READ_WRITE, MapFlags::MAP_PRIVATE)?;
        self.at(place).map(Mapping::keep_small)
    }

    /// Maps anonymous memory at a place with these flags.
    pub fn map_with(&mut self, place: usize, pages: usize, protection: ProtFlags, flags: MapFlags) -> Done {
        let address = Some(self.address(place));
        self.keep(place, Mapping::anonymous(pages * self.page, protection, flags, address)?);
        Ok(())
    }

    /// Maps the first pages of one of its files at a place.
    pub fn map_file(
        &mut self,
        place: usize,
        file: usize,
        pages: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> Done {
        let length = pages * self.page;
        let address = self.address(place);
        let file = self.files[file].as_ref().ok_or(Errno::EFAULT)?;
        self.keep(place, Mapping::file_placed(file, 0, length, protection, flags, Some(address))?);
        Ok(())
    }

    /// Puts a mapping at a place, where it is observed.
    pub fn keep(&mut self, place: usize, mapping: Mapping) {
        self.look_at(place, mapping.address(), mapping.length());
        self.maps[place] = Some(mapping);
    }

    /// Observes memory that is not a mapping of a place (the heap, the stack) as if it were.
    pub fn look_at(&mut self, place: usize, start: VirtAddr, length: usize) {
        self.reply.ranges[place] = [start.0, length as u64];
    }

    /// Unmaps the mapping at a place. The place remains observed.
    pub fn unmap(&mut self, place: usize) -> Done {
        self.maps[place].take().map(drop).ok_or(Errno::EFAULT)
    }

    /// The mapping at a place.
    pub fn at(&self, place: usize) -> nix::Result<&Mapping> {
        self.maps[place].as_ref().ok_or(Errno::EFAULT)
    }

    /// Writes 1 to the first byte of each of these pages, and counts the faults.
    pub fn write(&mut self, place: usize, pages: Range<usize>) -> Done {
        self.write_value(place, pages, 1)
    }

    /// Like `write`, with another value.
    pub fn write_value(&mut self, place: usize, pages: Range<usize>, value: u8) -> Done {
        let page = self.page;
        let (mapping, offsets) = self.reach(place, pages)?;
        let faults = faults_of(|| offsets.step_by(page).for_each(|offset| mapping.write(offset, value)))?;
        self.count(faults);
        Ok(())
    }

    /// Reads the first byte of each of these pages, and counts the faults.
    pub fn read(&mut self, place: usize, pages: Range<usize>) -> Done {
        let page = self.page;
        let (mapping, offsets) = self.reach(place, pages)?;
        let faults = faults_of(|| {
            offsets.step_by(page).for_each(|offset| {
                mapping.read(offset);
            });
        })?;
        self.count(faults);
        Ok(())
    }

    /// `madvise` on these pages.
    pub fn advise(&self, place: usize, pages: Range<usize>, advice: MmapAdvise) -> Done {
        let (mapping, offsets) = self.reach(place, pages)?;
        mapping.advise(offsets.start, offsets.len(), advice)
    }

    /// `madvise` with an advice value that `nix` does not define; counts the faults.
    pub fn advise_raw(&mut self, place: usize, pages: Range<usize>, advice: i32) -> Done {
        let (mapping, offsets) = self.reach(place, pages)?;
        let mut done = Ok(());
        let faults = faults_of(|| done = mapping.advise_raw(offsets.start, offsets.len(), advice))?;
        self.count(faults);
        done
    }

    /// The number of these pages that begin with this byte.
    pub fn holding(&self, place: usize, pages: Range<usize>, value: u8) -> nix::Result<i64> {
        let (mapping, offsets) = self.reach(place, pages)?;
        Ok(offsets.step_by(self.page).filter(|&offset| mapping.read(offset) == value).count() as i64)
    }

    /// `mprotect` on these pages.
    pub fn protect(&self, place: usize, pages: Range<usize>, protection: ProtFlags) -> Done {
        let (mapping, offsets) = self.reach(place, pages)?;
        mapping.protect(offsets.start, offsets.len(), protection)
    }

    /// Pins itself and its later children to one CPU, so that per-CPU state (LRU-add batches, free slab objects) is in one
    /// place only.
    pub fn stay_on_processor(&self) -> Done {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this)?;
        let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).ok_or(Errno::EINVAL)?;
        let mut one = CpuSet::new();
        one.set(first)?;
        sched_setaffinity(this, &one)
    }

    /// Does something and counts the faults it takes.
    pub fn counting(&mut self, work: impl FnOnce(&mut Self) -> Done) -> Done {
        let mut done = Ok(());
        let faults = faults_of(|| done = work(self))?;
        self.count(faults);
        done
    }

    /// Reports a number that only this process knows; the index is that of the demo's [`says`](super::Demo::says).
    pub fn say(&mut self, index: usize, value: i64) {
        self.reply.said[index] = [1, value];
    }

    /// The mapping at a place, and the byte offsets of these pages in it.
    fn reach(&self, place: usize, pages: Range<usize>) -> nix::Result<(&Mapping, Range<usize>)> {
        let mapping = self.at(place)?;
        let offsets = pages.start * self.page..pages.end * self.page;
        if offsets.end > mapping.length() {
            return Err(Errno::EFAULT);
        }
        Ok((mapping, offsets))
    }

    fn count(&mut self, faults: (i64, i64)) {
        self.reply.minor += faults.0;
        self.reply.major += faults.1;
    }
}

fn end(child: Pid) -> Done {
    kill(child, Signal::SIGKILL)?;
    waitpid(child, None).map(drop)
}

/// The minor and major faults this process took while `work` ran.
pub(super) fn faults_of(work: impl FnOnce()) -> nix::Result<(i64, i64)> {
    let now = || getrusage(UsageWho::RUSAGE_SELF).map(|usage| (usage.minor_page_faults(), usage.major_page_faults()));
    let before = now()?;
    work();
    let after = now()?;
    Ok((after.0 - before.0, after.1 - before.1))
}
