//! A memory cgroup of pmem's own, which goes when pmem does, however pmem ends.
//!
//! A directory of cgroupfs outlives who made it. So a caretaker, a process in a session of its own, waits at a pipe that
//! closes when pmem ends, be it by SIGKILL to its whole process group. It then ends what is left in the group, by the group's
//! own list, and removes the directory.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{self, Pid};

use crate::error::{Error, Result};
use crate::kernel::cgroups;
use crate::kernel::dir::Dir;
use crate::kernel::kcmp::in_pid_namespace;
use crate::kernel::memory::forked;
use crate::kernel::root::{Root, SMALL};

/// The group.
#[derive(Debug)]
pub struct Memcg {
    dir: Dir,
    files: &'static Files,
    /// `cgroup.procs`, for writing.
    processes: File,
    caretaker: Caretaker,
}

/// What the names of all such groups begin with.
pub const NAME: &str = "pmem-demo-";

/// What files of a group are called. (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst)
#[derive(Debug)]
struct Files {
    limit: &'static str,
    /// What keeps the group from swapping, and whether that is so with the limit or with 0.
    swap: (&'static str, bool),
    usage: &'static str,
    /// With the key `oom_kill`.
    kills: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    swap: ("memory.memsw.limit_in_bytes", true),
    usage: "memory.usage_in_bytes",
    kills: "memory.oom_control",
};

const VERSION_2: Files =
    Files { limit: "memory.max", swap: ("memory.swap.max", false), usage: "memory.current", kills: "memory.events" };

impl Memcg {
    /// Makes a group whose processes may have so many bytes of memory together, and no swap.
    ///
    /// It is made where this process may make one that has the memory controller: below the mount of version 1, or below the
    /// nearest ancestor of this process's own group in version 2. Nothing but the new group is written to.
    ///
    /// # Errors
    /// Why there is none: not permitted, no such controller, or no process to take care of it.
    pub fn create(root: &Root, limit: u64) -> Result<Self> {
        let (files, parents) = parents(root)?;
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let name = format!("{NAME}{}-{}", std::process::id(), since_1970.as_nanos());
        let places: Vec<_> = parents.iter().map(|parent| parent.join(&name)).collect();
        if !in_pid_namespace(root) {
            parents.iter().for_each(|parent| remove_left_behind(parent));
        }
        let mut caretaker = Caretaker::start(&places).map_err(|e| Error::from_errno(e, "fork"))?;
        let mut error = Error::Missing { path: "a memory cgroup that may have groups in it".into() };
        for place in places {
            match Self::create_at(root, &place, files, limit) {
                Ok((dir, processes)) => {
                    caretaker.made = Some(place);
                    return Ok(Self { dir, files, processes, caretaker });
                }
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    fn create_at(root: &Root, path: &Path, files: &Files, limit: u64) -> Result<(Dir, File)> {
        fs::create_dir(path).map_err(|e| Error::from_io(e, path))?;
        let write = |file: &str, value: u64| {
            let path = path.join(file);
            let mut file = OpenOptions::new().write(true).open(&path).map_err(|e| Error::from_io(e, &path))?;
            file.write_all(value.to_string().as_bytes()).map_err(|e| Error::from_io(e, &path))
        };
        let configured = || {
            write(files.limit, limit)?;
            let (swap, with_limit) = files.swap;
            match write(swap, if with_limit { limit } else { 0 }) {
                Err(Error::Missing { .. }) if root.swap_areas() == 0 => {}
                written => written?,
            }
            let processes = path.join("cgroup.procs");
            let open = OpenOptions::new().write(true).open(&processes);
            Ok((Dir::live(path)?, open.map_err(|e| Error::from_io(e, &processes))?))
        };
        configured().inspect_err(|_| drop(fs::remove_dir(path)))
    }

    /// Puts the calling process, and so its later children, into the group.
    ///
    /// # Errors
    /// What the kernel says, as where the process may not be taken out of the group it is in.
    pub fn enter(&self) -> nix::Result<()> {
        // The caretaker is to see the end of pmem, not of those that it takes care of.
        drop(self.caretaker.end.take());
        unistd::write(&self.processes, b"0").map(drop)
    }

    /// The memory that is charged to it now, in bytes: pages of its processes, its page cache, and what the kernel has for them.
    pub fn usage(&self) -> Option<u64> {
        self.number(self.files.usage, None)
    }

    /// How many of its processes the kernel killed for want of memory; `None` before Linux 4.13.
    pub fn kills(&self) -> Option<u64> {
        self.number(self.files.kills, Some("oom_kill"))
    }

    /// How many processes are in it.
    pub fn processes(&self) -> Option<u64> {
        let text = self.dir.read("cgroup.procs", SMALL).ok()?;
        Some(text.iter().filter(|&&byte| byte == b'\n').count() as u64)
    }

    /// The number that is all of a file, or that stands behind a key.
    fn number(&self, file: &str, key: Option<&str>) -> Option<u64> {
        let text = self.dir.read(file, SMALL).ok()?;
        let text = std::str::from_utf8(&text).ok()?;
        let value = match key {
            None => text.trim(),
            Some(key) => text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?,
        };
        value.parse().ok()
    }
}

/// The groups below which one may be made, nearest first.
fn parents(root: &Root) -> Result<(&'static Files, Vec<PathBuf>)> {
    let missing = || Error::Missing { path: "a mounted memory cgroup hierarchy".into() };
    let mount = cgroups::mount(root)?.ok_or_else(missing)?;
    if root.dir().exists(mount.strip_prefix("/").unwrap_or(&mount).join("memory.limit_in_bytes")) {
        return Ok((&VERSION_1, vec![mount]));
    }
    let own = cgroups::own(root).unwrap_or_else(|| mount.clone());
    // A group out of this process's namespace is called `/../…`.
    let below = |group: &&Path| group.starts_with(&mount) && !group.components().any(|c| c == Component::ParentDir);
    Ok((&VERSION_2, own.ancestors().filter(below).map(Path::to_owned).collect()))
}

/// The process that removes the group when pmem cannot. It is nobody's child: who ends pmem and all that came from it does not
/// end this one.
#[derive(Debug)]
struct Caretaker {
    /// Who started it: what is forked from that has a copy of this, and nothing to remove.
    owner: Pid,
    /// The group, when it has been made.
    made: Option<PathBuf>,
    /// The pipe at whose other end it waits.
    end: RefCell<Option<OwnedFd>>,
}

impl Caretaker {
    /// Starts it. It is ready when this returns, for a group at one of these places, which is going to be made.
    fn start(places: &[PathBuf]) -> nix::Result<Self> {
        let (waiting, end) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (readiness, ready) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let mut end = Some(end);
        let between = forked(|| {
            // As long as it had the pipe's other end, it would wait for itself.
            drop(end.take());
            let caretaker = forked(|| {
                take_care(places, &waiting, &ready);
                0
            });
            i32::from(caretaker.is_err())
        })?;
        drop(ready);
        waitpid(between, None)?;
        // A byte, or the end of what was not started.
        match unistd::read(&readiness, &mut [0])? {
            0 => Err(Errno::EAGAIN),
            _ => Ok(Self { owner: unistd::getpid(), made: None, end: RefCell::new(end) }),
        }
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        if let (Some(group), true) = (&self.made, self.owner == unistd::getpid()) {
            // What it does not get done is done by the caretaker.
            remove(group, Duration::from_secs(5));
        }
    }
}

/// The caretaker's life.
fn take_care(places: &[PathBuf], waiting: &OwnedFd, ready: &OwnedFd) {
    // No signal of a terminal, and none but SIGKILL of anybody, is to end it.
    let _ = unistd::setsid();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    // Who searches for pmem to kill it does not mean this one.
    let _ = nix::sys::prctl::set_name(c"group-caretaker");
    // Who waits for the end of pmem's output waits for pmem alone.
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = unistd::dup2_stdin(&null);
        let _ = unistd::dup2_stdout(&null);
        let _ = unistd::dup2_stderr(&null);
    }
    let _ = unistd::write(ready, b".");
    while unistd::read(waiting, &mut [0]) == Err(Errno::EINTR) {}
    places.iter().for_each(|place| remove(place, Duration::from_secs(60)));
}

/// Removes groups that an earlier pmem left behind, whose caretaker was killed too: those whose name has the PID of no process
/// and that are old, since one in a PID namespace of its own has another number there. What is not empty is not removed.
fn remove_left_behind(parent: &Path) {
    const OLD: Duration = Duration::from_secs(3600);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let is_left = |name: &str| {
        let (pid, since_1970) = name.strip_prefix(NAME)?.split_once('-')?;
        let (pid, since_1970) = (pid.parse::<i32>().ok()?, since_1970.parse::<u128>().ok()?);
        let is_old = since_1970 + OLD.as_nanos() < now;
        Some(pid > 0 && is_old && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH))
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(is_left) == Some(true) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Ends the processes of a group and removes it, unless it is not there. A process that is just exchanging memory with a disk
/// ends only then.
fn remove(group: &Path, patience: Duration) {
    let deadline = Instant::now() + patience;
    // Where nothing may be written, the answer is that, also of a group that is not there.
    while fs::remove_dir(group).is_err() && group.try_exists().unwrap_or(true) && Instant::now() < deadline {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0 stands for a process that this one cannot see; as a target it would be all of this one's own group.
        for pid in processes.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
