//! Reading processes, one or all, with one policy for processes that end or change while they are read.
//!
//! - A process that ended after it was listed was not there; one that ends while it is read has ended. Its files then belong to
//!   root, which looks like a denial, so pmem checks whether it is still running.
//! - A process that calls exec while its files are open is read again.
//! - A process whose first thread has ended is read through another thread; if none is running, it is a zombie.
//! - Kernel threads and zombies have no address space; the caller decides whether that is an answer.
//! - In a recorded tree nothing ends: a missing file is missing.
//! - Processes that share an address space are each read. Callers that add them up use
//!   [`shared_address_spaces`](crate::kernel::kcmp::shared_address_spaces).

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::scope;

use super::address_space::{NoAddressSpace, SeenThrough, is_alive, seen_through};
use crate::analysis::gap::{Gap, Gaps, Reason};
use crate::error::{Error, Result};
use crate::kernel::process::{Process, pids};
use crate::kernel::root::Root;
use crate::kernel::threads;
use crate::model::stat::Stat;

/// The result of reading a process, or why there is none.
pub type Looked<T> = std::result::Result<T, Reason>;

/// How often a process may call exec while it is read before pmem gives up.
const MOST_REPLACED: u32 = 50;

/// The maximum number of threads that walk.
const MOST_THREADS: usize = 8;

/// A process that is being read.
#[derive(Debug)]
pub struct Seen<'p> {
    process: &'p Process,
    stat: Stat,
    through: SeenThrough,
    replaced: bool,
}

impl Seen<'_> {
    /// The process itself: its name and `stat` are its own, even if it is seen through a thread.
    pub fn process(&self) -> &Process {
        self.process
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its `stat`, as it was when reading began.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// The process or thread through which its address space is read.
    ///
    /// # Errors
    /// Why it has none.
    pub fn address_space(&self) -> std::result::Result<&Process, NoAddressSpace> {
        match &self.through {
            SeenThrough::Itself => Ok(self.process),
            SeenThrough::Thread(thread) => Ok(thread),
            SeenThrough::Nothing(why) => Err(*why),
        }
    }

    /// Whether its first thread has ended, and it is seen through another.
    pub fn is_through_thread(&self) -> bool {
        matches!(self.through, SeenThrough::Thread(_))
    }

    /// Whether it called exec since the first look.
    pub fn was_replaced(&self) -> bool {
        self.replaced
    }
}

/// Reads the process with this PID. If the process calls exec during `look`, `look` is called again and must start over.
///
/// # Errors
/// Why there is no result: the error of `look`, or that the process ended or was replaced.
pub fn process<T>(root: &Root, pid: u32, look: impl FnMut(&Seen<'_>) -> Looked<T>) -> Looked<T> {
    match Process::open(root, pid) {
        Err(error) if error.is_gone() && !root.is_recorded() => Err(Reason::NotThere),
        other => held(&other?, look),
    }
}

/// The same for a process that is already open.
///
/// # Errors
/// As [`process`].
pub fn held<T>(process: &Process, mut look: impl FnMut(&Seen<'_>) -> Looked<T>) -> Looked<T> {
    let (mut attempts, mut replaced) = (0, false);
    loop {
        let stat = match process.stat() {
            Err(error) if error.is_gone() && !process.is_recorded() => return Err(Reason::Ended),
            other => other?,
        };
        let seen = Seen { through: seen_through(process, &stat), process, stat, replaced };
        let error = match look(&seen) {
            Err(Reason::Denied(error) | Reason::Failed(error)) if !process.is_recorded() => error,
            done => return done,
        };
        let still_runs = is_alive(seen.address_space().unwrap_or(process));
        match error {
            Error::Gone { .. } | Error::Missing { .. } | Error::Denied { .. } if !still_runs => {
                // The thread it was seen through has ended; another may still be running.
                if !process.running_thread().is_some_and(|thread| is_alive(&thread)) {
                    return Err(Reason::Ended);
                }
            }
            Error::Gone { .. } => replaced = true,
            Error::Missing { path } if path.starts_with(process.dir().path()) => {
                return Err(Reason::Failed(Error::not_built_in(&path)));
            }
            other => return Err(other.into()),
        }
        attempts += 1;
        if attempts > MOST_REPLACED {
            return Err(Reason::Replaced);
        }
    }
}

/// A walk over all processes.
#[derive(Debug)]
pub struct Walk<T> {
    /// What was found, in no order.
    pub found: Vec<T>,
    /// What became of the processes.
    pub tally: Tally,
}

/// What became of the processes of a walk.
#[derive(Debug, Default)]
pub struct Tally {
    /// Those that were read.
    pub looked: u64,
    /// Those that ended during the walk, or kept calling exec.
    pub ended: u64,
    /// Those that could not be read.
    pub gaps: Gaps,
}

impl Tally {
    /// Counts one process; returns what was found. One without an address space has nothing that could be missing.
    pub fn take<T>(&mut self, pid: u32, looked: Looked<T>) -> Option<T> {
        match looked {
            Ok(found) => {
                self.looked += 1;
                return Some(found);
            }
            Err(Reason::NoAddressSpace(_)) => {}
            Err(reason) if reason.is_gone() => self.ended += 1,
            Err(reason) => self.gaps.push(Gap::process(pid, reason)),
        }
        None
    }
}

/// Reads all processes, on several threads. `progress` gets the number started and the total.
///
/// # Errors
/// If the processes cannot be listed.
pub fn all<T: Send>(
    root: &Root,
    mut progress: impl FnMut(usize, usize),
    look: impl Fn(&Seen<'_>) -> Looked<T> + Sync,
) -> Result<Walk<T>> {
    let pids = pids(root)?;
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let work = |progress: &mut dyn FnMut(usize, usize)| {
        let mut found = Vec::new();
        loop {
            let place = next.fetch_add(1, Relaxed);
            let Some(&pid) = pids.get(place) else { return found };
            progress(place, pids.len());
            let looked = process(root, pid, &look);
            found.extend(tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take(pid, looked));
        }
    };
    let found = scope(|scope| {
        let others: Vec<_> = (1..threads::worthwhile(MOST_THREADS))
            .map_while(|_| threads::start(scope, || work(&mut |_, _| ())))
            .collect();
        let mut found = work(&mut progress);
        for other in others {
            found.extend(threads::join(other));
        }
        found
    });
    let mut tally = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tally.gaps.sort_by_pid();
    Ok(Walk { found, tally })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn live() -> Root {
        Root::open("/".as_ref()).unwrap()
    }

    /// A process that waits for its standard input to be closed.
    fn child() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn gone() -> Error {
        Error::Gone { path: "maps".into() }
    }

    #[test]
    fn a_process_that_lives_is_looked_at_again_until_it_holds() {
        let mut looks = Vec::new();
        let looked = process(&live(), std::process::id(), |seen| {
            looks.push(seen.was_replaced());
            if looks.len() < 3 { Err(gone().into()) } else { Ok(seen.address_space()?.pid()) }
        });
        assert_eq!(looked.unwrap(), std::process::id());
        assert_eq!(looks, [false, true, true]);
        let mut looks = 0;
        let looked: Looked<()> = process(&live(), std::process::id(), |_| {
            looks += 1;
            Err(gone().into())
        });
        assert!(matches!(looked, Err(Reason::Replaced)), "{looked:?}");
        assert_eq!(looks, MOST_REPLACED + 1);
    }

    #[test]
    fn a_process_that_ends_has_ended_whatever_the_kernel_says() {
        type MakeError = fn(&Process) -> Error;
        let errors: [MakeError; 3] = [
            |_| gone(),
            |process| Error::Missing { path: process.path("maps") },
            |process| Error::Denied { path: process.path("maps") },
        ];
        for error in errors {
            let mut child = child();
            let pid = child.id();
            let looked: Looked<()> = process(&live(), pid, |seen| {
                child.kill().unwrap();
                child.wait().unwrap();
                Err(error(seen.process()).into())
            });
            assert!(matches!(looked, Err(Reason::Ended)), "{looked:?}");
            let looked: Looked<()> = process(&live(), pid, |_| Ok(()));
            assert!(matches!(looked, Err(Reason::NotThere)), "{looked:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_process_that_lives_is_said() {
        let of = |error: fn(&Process) -> Error| -> Reason {
            process(&live(), std::process::id(), |seen| -> Looked<()> { Err(error(seen.process()).into()) })
                .unwrap_err()
        };
        assert!(matches!(of(|process| Error::Denied { path: process.path("maps") }), Reason::Denied(_)));
        assert!(matches!(
            of(|process| Error::Missing { path: process.path("pagemap") }),
            Reason::Failed(Error::Unsupported { .. })
        ));
        // Outside /proc, it says nothing about how the kernel was built.
        assert!(matches!(of(|_| Error::Missing { path: "/tmp/x".into() }), Reason::Failed(Error::Missing { .. })));
    }

    #[test]
    fn a_zombie_and_a_thread_of_the_kernel_have_no_address_space() {
        let mut child = child();
        child.kill().unwrap();
        let (root, pid) = (live(), child.id());
        let zombie = || Process::open(&root, pid).unwrap().stat().unwrap().is_zombie();
        while !zombie() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let look = |seen: &Seen<'_>| Ok(seen.address_space()?.pid());
        assert!(matches!(process(&root, pid, look), Err(Reason::NoAddressSpace(NoAddressSpace::Zombie))));
        let walk = all(&root, |_, _| (), look).unwrap();
        assert!(walk.found.contains(&std::process::id()) && !walk.found.contains(&pid));
        assert_eq!(walk.tally.looked, walk.found.len() as u64);
        child.wait().unwrap();
        let kernel = pids(&root).unwrap().into_iter().find(|&pid| {
            Process::open(&root, pid).and_then(|process| process.stat()).is_ok_and(|stat| stat.is_kernel_thread())
        });
        if let Some(pid) = kernel {
            let looked = process(&root, pid, look);
            assert!(matches!(looked, Err(Reason::NoAddressSpace(NoAddressSpace::KernelThread))), "{looked:?}");
        }
    }
}
