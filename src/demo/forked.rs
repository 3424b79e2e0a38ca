//! The worker process: how it starts, waits for its turns, and ends.

use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, pause};

use super::Demo;
use super::facts::Facts;
use super::script::Step;
use super::turns::{Turn, Turns};
use super::worker::{Done, Worker};
use crate::error::Result;
use crate::kernel::memory::{disable_huge_pages, forked, keep_pages_on_nodes, populate, set_merging};
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::unit::VirtAddr;

/// An unnamed mapping larger than this belongs to the allocator, or was a thread's stack, and is left alone.
const LARGEST_UNNAMED: u64 = 256 * 1024;

/// The maximum length of a process name, in bytes.
const COMM: usize = 15;

/// Ranges of this program's own memory, and whether they are writable.
pub(super) type OwnMemory = Vec<(Range<VirtAddr>, bool)>;

/// Starts the worker: a process that waits for turns and ends when this one does, for whatever reason. Returns the parent's
/// ends of the conversations with the worker and with the child it may fork.
pub(super) fn start(demo: &Demo, facts: &Facts<'_>, steps: Rc<[Step]>) -> io::Result<(Pid, [Turns; 2])> {
    let own = own_memory(facts.root).map_err(io::Error::other)?;
    let (first, of_first) = Turns::pair()?;
    let (second, of_second) = Turns::pair()?;
    let (mut ours, mut theirs) = (Some([first, second]), Some([Some(of_first), Some(of_second)]));
    let child = child(|| {
        // While this process holds the parent's ends, it would never see the parent exit.
        drop(ours.take());
        let turns = theirs.take().unwrap_or_default();
        apart(demo);
        let mut worker = Worker::new(facts.page(), facts.places, turns, steps, own);
        worker.settle();
        let status = obey(&mut worker, 0);
        // Its children would end with it anyway, but only after it.
        let _ = worker.end_second().and(worker.end_children());
        status
    })?;
    ours.take().map(|turns| (child, turns)).ok_or_else(|| io::Error::other("the worker did not start"))
}

/// Runs `work` in a child that ends when this process does.
fn child(work: impl FnOnce() -> i32) -> nix::Result<Pid> {
    let parent = getpid();
    forked(|| if begin(parent).is_ok() { work() } else { 1 })
}

/// Makes this process end when its parent does.
pub(super) fn begin(parent: Pid) -> Done {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have exited before that.
    if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Turns off everything that would affect the numbers of this process, and gives it the demo's name. A setting this kernel does
/// not have needs no turning off.
fn apart(demo: &Demo) {
    let name = demo.name.as_bytes();
    if let Ok(name) = CString::new(&name[..name.len().min(COMM)]) {
        let _ = prctl::set_name(&name);
    }
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    if !demo.huge_pages {
        let _ = disable_huge_pages();
    }
    let _ = set_merging(false);
    let _ = keep_pages_on_nodes();
}

/// Takes turns until there are no more. Returns the exit status.
fn obey(worker: &mut Worker, who: usize) -> i32 {
    let Some(mut turns) = worker.turns[who].take() else { return 1 };
    let steps = Rc::clone(&worker.steps);
    // The first answer means ready: from now on nothing changes except through its work.
    if turns.send(&worker.reply).is_err() {
        return 1;
    }
    while let Ok(Some(turn)) = turns.receive::<Turn>() {
        worker.begin_turn(turn.time);
        let mut done = match steps.get(turn.step) {
            Some(step) if !turn.left_out => (step.work)(worker),
            _ => Ok(()),
        };
        if turn.extra_page {
            done = done.and(worker.touch_last_page());
        }
        worker.reply.files = worker.files.each_ref().map(|file| file.as_ref().map_or(0, AsRawFd::as_raw_fd));
        worker.reply.errno = done.err().map_or(0, |errno| errno as i32);
        if turns.send(&worker.reply).is_err() {
            break;
        }
    }
    0
}

impl Worker {
    /// Forks a child that does the steps of [`Who::Child`].
    ///
    /// [`Who::Child`]: super::script::Who::Child
    pub fn fork(&mut self) -> Done {
        if self.turns[1].is_none() {
            return Err(Errno::EFAULT);
        }
        let child = child(|| {
            self.settle();
            obey(self, 1)
        })?;
        self.turns[1] = None;
        self.reply.second = child.as_raw();
        self.settle();
        Ok(())
    }

    /// Forks a child that only waits until it is killed by [`end_children`](Self::end_children) or with this process.
    pub fn start_child(&mut self) -> Done {
        let child = child(|| {
            loop {
                pause();
            }
        })?;
        self.children.push(child);
        Ok(())
    }

    /// Prefaults what this process needs to continue (program, heap, and stack, which are copied on write after a fork), so
    /// that no step takes faults for them.
    pub(super) fn settle(&self) {
        for (range, write) in &self.own {
            let _ = populate(range, *write);
        }
    }
}

/// The memory of this process that the worker will inherit.
fn own_memory(root: &Root) -> Result<OwnMemory> {
    let process = Process::open(root, std::process::id())?;
    let mut own = OwnMemory::new();
    process.vmas(&process.open_file("maps")?, |vma| {
        let small = vma.range.end.0 - vma.range.start.0 <= LARGEST_UNNAMED;
        if vma.perm.is_readable() && (small || !vma.name.is_empty()) {
            own.push((vma.range, vma.perm.is_writable()));
        }
    })?;
    Ok(own)
}
