//! A temporary memory cgroup, removed when pmem ends, however it ends.
//!
//! A cgroup directory outlives its creator. Therefore a caretaker, a process in its own session, waits on a pipe that closes
//! when pmem ends, even by SIGKILL to its whole process group. The caretaker then kills the processes left in the group, as
//! listed by the group itself, and removes the directory.

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

/// The common prefix of the names of such groups.
pub const NAME: &str = "pmem-demo-";

/// The names of a group's files. (Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst)
#[derive(Debug)]
struct Files {
    limit: &'static str,
    /// The file that prevents swapping, and whether to write the limit (true) or 0 to it.
    swap: (&'static str, bool),
    usage: &'static str,
    /// The file with the key `oom_kill`.
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
    /// Creates a group limited to this many bytes of memory and no swap.
    ///
    /// It is created where this process may create a group with the memory controller: below the version 1 mount, or below the
    /// nearest possible ancestor of this process's own group in version 2. Only the new group is written to.
    ///
    /// # Errors
    /// Why it failed: not permitted, no memory controller, or the caretaker could not be started.
    pub fn create(root: &Root, limit: u64) -> Result<Self> {
        let (files, parents) = parents(root)?;
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let name = format!("{NAME}{}-{}", std::process::id(), since_1970.as_nanos());
        let places: Vec<_> = parents.iter().map(|parent| parent.join(&name)).collect();
        if !in_pid_namespace(root) {
            parents.iter().for_each(|parent| remove_left_behind(parent));
        }
        let mut caretaker = Caretaker::start(&places).map_err(|e| Error::from_errno(e, "fork"))?;
        let mut error = Error::Missing { path: "a memory cgroup that allows child groups".into() };
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

    /// Moves the calling process, and so its later children, into the group.
    ///
    /// # Errors
    /// Those of the kernel, for example if the process may not leave its current group.
    pub fn enter(&self) -> nix::Result<()> {
        // The caretaker must see the end of pmem, not of the group's processes.
        drop(self.caretaker.end.take());
        unistd::write(&self.processes, b"0").map(drop)
    }

    /// The memory currently charged to it, in bytes: its processes' pages, page cache and kernel memory.
    pub fn usage(&self) -> Option<u64> {
        self.number(self.files.usage, None)
    }

    /// How many of its processes were OOM-killed; `None` before Linux 4.13.
    pub fn kills(&self) -> Option<u64> {
        self.number(self.files.kills, Some("oom_kill"))
    }

    /// The number of processes in it.
    pub fn processes(&self) -> Option<u64> {
        let text = self.dir.read("cgroup.procs", SMALL).ok()?;
        Some(text.iter().filter(|&&byte| byte == b'\n').count() as u64)
    }

    /// The number that makes up a file, or that follows a key in it.
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

/// The groups below which one might be created, nearest first.
fn parents(root: &Root) -> Result<(&'static Files, Vec<PathBuf>)> {
    let missing = || Error::Missing { path: "a mounted memory cgroup hierarchy".into() };
    let mount = cgroups::mount(root)?.ok_or_else(missing)?;
    if root.dir().exists(mount.strip_prefix("/").unwrap_or(&mount).join("memory.limit_in_bytes")) {
        return Ok((&VERSION_1, vec![mount]));
    }
    let own = cgroups::own(root).unwrap_or_else(|| mount.clone());
    // A group outside this process's namespace is called `/../…`.
    let below = |group: &&Path| group.starts_with(&mount) && !group.components().any(|c| c == Component::ParentDir);
    Ok((&VERSION_2, own.ancestors().filter(below).map(Path::to_owned).collect()))
}

/// The process that removes the group if pmem cannot. It is detached: killing pmem and its descendants does not kill it.
#[derive(Debug)]
struct Caretaker {
    /// The PID that started it: a forked child has a copy of this value but must not remove anything.
    owner: Pid,
    /// The group, once created.
    made: Option<PathBuf>,
    /// The pipe it waits on.
    end: RefCell<Option<OwnedFd>>,
}

impl Caretaker {
    /// Starts the caretaker for a group about to be created at one of these places. It is ready when this returns.
    fn start(places: &[PathBuf]) -> nix::Result<Self> {
        let (waiting, end) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (readiness, ready) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        let mut end = Some(end);
        let between = forked(|| {
            // If it kept the other end of the pipe, it would wait for itself.
            drop(end.take());
            let caretaker = forked(|| {
                take_care(places, &waiting, &ready);
                0
            });
            i32::from(caretaker.is_err())
        })?;
        drop(ready);
        waitpid(between, None)?;
        // A byte, or end of file if it did not start.
        match unistd::read(&readiness, &mut [0])? {
            0 => Err(Errno::EAGAIN),
            _ => Ok(Self { owner: unistd::getpid(), made: None, end: RefCell::new(end) }),
        }
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        if let (Some(group), true) = (&self.made, self.owner == unistd::getpid()) {
            // If this fails, the caretaker does it.
            remove(group, Duration::from_secs(5));
        }
    }
}

/// The main function of the caretaker.
fn take_care(places: &[PathBuf], waiting: &OwnedFd, ready: &OwnedFd) {
    // No signal except SIGKILL may end it, whether from a terminal or from a process.
    let _ = unistd::setsid();
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
    // Anyone looking for pmem by name to kill it does not mean this process.
    let _ = nix::sys::prctl::set_name(c"group-caretaker");
    // Readers of pmem's output must not wait for this process.
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = unistd::dup2_stdin(&null);
        let _ = unistd::dup2_stdout(&null);
        let _ = unistd::dup2_stderr(&null);
    }
    let _ = unistd::write(ready, b".");
    while unistd::read(waiting, &mut [0]) == Err(Errno::EINTR) {}
    places.iter().for_each(|place| remove(place, Duration::from_secs(60)));
}

/// Removes groups left over from an earlier run if its caretaker was killed too: old groups with a PID in their name that no
/// longer exists (old, because a run in another PID namespace has a different PID there). Groups that are not empty are not
/// removed.
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

/// Kills the processes of a group and removes it, if it exists. A process in uninterruptible I/O dies only when that is done.
fn remove(group: &Path, patience: Duration) {
    let deadline = Instant::now() + patience;
    // On a read-only mount the error is EROFS even if the group does not exist.
    while fs::remove_dir(group).is_err() && group.try_exists().unwrap_or(true) && Instant::now() < deadline {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0 means a process this one cannot see; as a kill target it would mean this process's own process group.
        for pid in processes.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
