//! A demo that is killed in the middle leaves nothing behind, whichever of its processes and whatever signal it is.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pmem::internal::DEMOS;
use tempfile::TempDir;

use crate::support::kernel::pids;

/// A variable in the environment of a demo and of all its processes, by which they are found.
const MARK: &str = "PMEM_TEST_OF_KILLING";

/// A running demo, and a directory that it uses for temporary files.
struct Running {
    demo: &'static str,
    pmem: Child,
    mark: String,
    temporary: TempDir,
}

impl Running {
    fn start(demo: &'static str) -> Self {
        let temporary = TempDir::new().unwrap();
        let mark = format!("{MARK}={}", temporary.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        command.args(["demo", demo, "--slow", "0.05"]).env(MARK, temporary.path()).env("TMPDIR", temporary.path());
        // In its own process group, so that it can be killed as a whole.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { demo, pmem: command.spawn().unwrap(), mark, temporary }
    }

    /// Its processes, except for those that have ended and are waiting to be reaped.
    fn processes(&self) -> Vec<u32> {
        let is_one = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|&b| b == 0).any(|variable| variable == self.mark.as_bytes())
        };
        pids().into_iter().filter(is_one).collect()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pmem.id()).unwrap())
    }

    /// Waits until it has a worker, which has the name of the demo, or has ended.
    fn wait_for_a_worker(&mut self) -> Option<u32> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.pmem.try_wait().unwrap().is_none() {
            let name = &self.demo[..self.demo.len().min(15)];
            let is_worker =
                |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
            if let Some(worker) = self.processes().into_iter().find(is_worker) {
                return Some(worker);
            }
            assert!(Instant::now() < deadline, "it starts no worker");
        }
        None
    }

    /// Waits until pmem has ended, and requires that soon nothing is left.
    fn assert_nothing_is_left(mut self, what: &str) {
        self.pmem.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() {
            assert!(Instant::now() < deadline, "{what}: {:?} are left", self.processes());
            std::thread::sleep(Duration::from_millis(2));
        }
        let files: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(files.is_empty(), "{what}: {files:?} are left");
        let groups = groups(self.pmem.id());
        assert!(groups.is_empty(), "{what}: {groups:?} are left");
    }
}

/// The directories of the cgroups that the demos of a pmem created.
pub(super) fn groups(pmem: u32) -> Vec<PathBuf> {
    let prefix = format!("pmem-demo-{pmem}-");
    let walk = walkdir::WalkDir::new("/sys/fs/cgroup").into_iter().filter_map(Result::ok);
    let own = walk.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    own.map(walkdir::DirEntry::into_path).collect()
}

#[test]
fn a_demo_that_is_killed_leaves_nothing_behind() {
    let mut killed = 0;
    for demo in DEMOS {
        for (signal, whole_group) in
            [(Signal::SIGKILL, false), (Signal::SIGKILL, true), (Signal::SIGTERM, false), (Signal::SIGINT, true)]
        {
            let mut running = Running::start(demo.name);
            if running.wait_for_a_worker().is_some() {
                let pid = running.pid().as_raw();
                kill(Pid::from_raw(if whole_group { -pid } else { pid }), signal).unwrap();
                killed += 1;
            }
            running.assert_nothing_is_left(&format!("{}, {signal}", demo.name));
        }
    }
    assert!(killed > DEMOS.len(), "most were killed in the middle");
}

#[test]
fn a_demo_whose_worker_is_killed_says_so_and_leaves_nothing_behind() {
    for demo in DEMOS {
        let mut running = Running::start(demo.name);
        if let Some(worker) = running.wait_for_a_worker() {
            let _ = kill(Pid::from_raw(i32::try_from(worker).unwrap()), Signal::SIGKILL);
            let status = running.pmem.wait().unwrap();
            assert!(matches!(status.code(), Some(1 | 3)), "{}: {status:?}", demo.name);
        }
        running.assert_nothing_is_left(demo.name);
    }
}
