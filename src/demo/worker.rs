//! The process that does the work: what it can be told to do.
//!
//! Nothing here allocates between two turns: what the parent counts is the demo's own memory and no other.

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

/// How a piece of work ended. [`Errno::EFAULT`] stands for memory that is not there (the step that maps it was left out).
pub type Done = nix::Result<()>;

/// For reading and writing.
pub const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// How many files a worker has that are looked at, at most.
pub const FILES: usize = 2;

/// What a worker can say of itself in one turn, at most.
pub const SAID: usize = 8;

/// The process that does the work, as its work sees it.
#[derive(Debug)]
pub struct Worker {
    /// The size of a page, in bytes.
    pub page: usize,
    /// Which repetition of the step this is, from 0 on.
    pub time: usize,
    /// Its memory, by place. A place has an address of its own: far from all else, aligned for any huge page.
    pub maps: [Option<Mapping>; PLACES],
    /// The files that it has open and that are looked at ([`Look::file`](super::look::Look::file)).
    pub files: [Option<File>; FILES],
    /// What else it keeps open. It has room for [`KEPT`] without taking memory.
    pub kept: Vec<OwnedFd>,
    /// Children that only wait. (The one that does work is made by [`fork`](Self::fork).)
    pub children: Vec<Pid>,
    places: Places,
    /// What this turn's answer is going to be.
    pub(super) reply: Reply,
    /// Its sides of the conversations, its own and that of the child it may make, until they are taken up.
    pub(super) turns: [Option<Turns>; 2],
    pub(super) steps: Rc<[Step]>,
    pub(super) own: OwnMemory,
}

/// How many descriptors a worker has room for.
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

    /// Where the memory is stays known from turn to turn; what is counted begins anew.
    pub(super) fn begin_turn(&mut self, time: usize) {
        self.time = time;
        let Reply { ranges, second, .. } = self.reply;
        self.reply = Reply { ranges, second, ..Reply::default() };
    }

    /// Touches the last page of the first place, where there is anything: writes it, or reads it where it is not writable.
    pub(super) fn touch_last_page(&mut self) -> Done {
        let page = self.page;
        self.counting(|w| {
            let Ok(mapping) = w.at(0) else { return Ok(()) };
            let last = mapping.length() - page;
            // By the kernel: what may not be accessed at all is then no signal.
            mapping.try_write(last, 1).or_else(|_| mapping.try_touch(last)).or(Ok(()))
        })
    }

    /// Ends the child that does work, and waits until it has gone.
    pub fn end_second(&mut self) -> Done {
        let second = std::mem::take(&mut self.reply.second);
        if second == 0 {
            return Err(Errno::EFAULT);
        }
        end(Pid::from_raw(second))
    }

    /// Ends all children that only wait.
    pub fn end_children(&mut self) -> Done {
        // One that cannot be ended does not keep the others.
        self.children.drain(..).map(end).fold(Ok(()), Result::and)
    }

    /// The address of a place.
    pub fn address(&self, place: usize) -> usize {
        self.places.address(place)
    }

    /// Maps so many pages of private anonymous memory at a place, for small pages only.
    pub fn map(&mut self, place: usize, pages: usize) -> Done {
        self.map_with(place, pages, READ_WRITE, MapFlags::MAP_PRIVATE)?;
        self.at(place).map(Mapping::keep_small)
    }

    /// Maps so many pages of anonymous memory at a place, as it is told.
    pub fn map_with(&mut self, place: usize, pages: usize, protection: ProtFlags, flags: MapFlags) -> Done {
        let address = Some(self.address(place));
        self.keep(place, Mapping::anonymous(pages * self.page, protection, flags, address)?);
        Ok(())
    }

    /// Maps so many pages of one of its files, from the beginning, at a place.
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

    /// Puts a mapping at a place, where it is looked at.
    pub fn keep(&mut self, place: usize, mapping: Mapping) {
        self.look_at(place, mapping.address(), mapping.length());
        self.maps[place] = Some(mapping);
    }

    /// Has memory that is no mapping of a place (the heap, the stack) looked at as if it were.
    pub fn look_at(&mut self, place: usize, start: VirtAddr, length: usize) {
        self.reply.ranges[place] = [start.0, length as u64];
    }

    /// Unmaps what is at a place. It is looked at there on.
    pub fn unmap(&mut self, place: usize) -> Done {
        self.maps[place].take().map(drop).ok_or(Errno::EFAULT)
    }

    /// What is mapped at a place.
    pub fn at(&self, place: usize) -> nix::Result<&Mapping> {
        self.maps[place].as_ref().ok_or(Errno::EFAULT)
    }

    /// Writes the first byte of each of these pages, and counts the faults.
    pub fn write(&mut self, place: usize, pages: Range<usize>) -> Done {
        self.write_value(place, pages, 1)
    }

    /// The same with another byte than 1.
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

    /// `madvise` with an advice that `nix` has no name for, and counts the faults that it takes.
    pub fn advise_raw(&mut self, place: usize, pages: Range<usize>, advice: i32) -> Done {
        let (mapping, offsets) = self.reach(place, pages)?;
        let mut done = Ok(());
        let faults = faults_of(|| done = mapping.advise_raw(offsets.start, offsets.len(), advice))?;
        self.count(faults);
        done
    }

    /// In how many of these pages the first byte is this one.
    pub fn holding(&self, place: usize, pages: Range<usize>, value: u8) -> nix::Result<i64> {
        let (mapping, offsets) = self.reach(place, pages)?;
        Ok(offsets.step_by(self.page).filter(|&offset| mapping.read(offset) == value).count() as i64)
    }

    /// `mprotect` on these pages.
    pub fn protect(&self, place: usize, pages: Range<usize>, protection: ProtFlags) -> Done {
        let (mapping, offsets) = self.reach(place, pages)?;
        mapping.protect(offsets.start, offsets.len(), protection)
    }

    /// Stays on one processor from now on, and so do its later children: of what each processor keeps for itself (pages that
    /// are not on a list yet, free objects), there is one part then.
    pub fn stay_on_processor(&self) -> Done {
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this)?;
        let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).ok_or(Errno::EINVAL)?;
        let mut one = CpuSet::new();
        one.set(first)?;
        sched_setaffinity(this, &one)
    }

    /// Does something, and counts the faults that it takes.
    pub fn counting(&mut self, work: impl FnOnce(&mut Self) -> Done) -> Done {
        let mut done = Ok(());
        let faults = faults_of(|| done = work(self))?;
        self.count(faults);
        done
    }

    /// Tells the parent a number that only this process knows: that with this index of the demo's
    /// [`says`](super::Demo::says).
    pub fn say(&mut self, index: usize, value: i64) {
        self.reply.said[index] = [1, value];
    }

    /// The mapping at a place, and the offsets of some pages in it.
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

/// The faults that this process took while something was done, minor and major.
pub(super) fn faults_of(work: impl FnOnce()) -> nix::Result<(i64, i64)> {
    let now = || getrusage(UsageWho::RUSAGE_SELF).map(|usage| (usage.minor_page_faults(), usage.major_page_faults()));
    let before = now()?;
    work();
    let after = now()?;
    Ok((after.0 - before.0, after.1 - before.1))
}
