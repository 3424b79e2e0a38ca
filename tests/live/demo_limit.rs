//! `demo limit` where a memory cgroup may be created: the kill, and what happens to the group when pmem is killed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pmem::internal::memcg::Memcg;
use pmem::internal::root::Root;

use super::demo_killed::groups;
use crate::support::run::pmem;
use crate::support::skipped;

/// Whether a group may be created here; if not, reports that a test is skipped.
fn possible(test: &str) -> bool {
    let root = Root::open("/".as_ref()).unwrap();
    let group = Memcg::create(&root, 64 << 20);
    group.inspect_err(|reason| skipped(test, &format!("no memory cgroup may be made: {reason}"))).is_ok()
}

#[test]
fn a_process_that_asks_for_too_much_is_killed_and_the_log_says_so() {
    if !possible("a_process_that_asks_for_too_much_is_killed_and_the_log_says_so") {
        return;
    }
    let report = pmem(["demo", "limit", "--json"]).with_status(0).json()["data"].take();
    let last = report["steps"].as_array().unwrap().last().unwrap();
    let sources = |quantity: &str| {
        let observed = last["observed"].as_array().unwrap().iter().filter(|seen| seen["quantity"] == quantity);
        observed.map(|seen| seen["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let killed = sources("killed_processes");
    assert!(killed.contains(&"waitpid".to_owned()) && killed.contains(&"memory cgroup".to_owned()), "{last:#}");
    // If the log is readable, the record of the kill is found there.
    let readable = fs::File::open("/dev/kmsg").is_ok();
    assert_eq!(killed.contains(&"kernel log".to_owned()), readable, "{last:#}");
}

/// A run of the demo, in its own process group.
struct Running(Child);

impl Running {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        command.args(["demo", "limit"]).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Waits until it has created its group; `false` if it ended before that was seen.
    fn wait_for_group(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while groups(self.0.id()).is_empty() {
            assert!(Instant::now() < deadline, "it makes no group");
            if self.0.try_wait().unwrap().is_some() {
                return false;
            }
        }
        true
    }
}

#[test]
fn a_group_goes_when_pmem_and_all_its_process_group_are_killed() {
    if !possible("a_group_goes_when_pmem_and_all_its_process_group_are_killed") {
        return;
    }
    let mut seen = 0;
    for later in [0, 5, 20, 50, 100, 200] {
        let mut running = Running::start();
        if !running.wait_for_group() {
            continue;
        }
        std::thread::sleep(Duration::from_millis(later));
        let pid = i32::try_from(running.0.id()).unwrap();
        let members: Vec<String> = groups(running.0.id())
            .iter()
            .flat_map(|group| {
                fs::read_to_string(group.join("cgroup.procs"))
                    .unwrap_or_default()
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        // It has not been reaped, so the number still belongs to it.
        kill(Pid::from_raw(-pid), Signal::SIGKILL).unwrap();
        running.0.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !groups(running.0.id()).is_empty() {
            assert!(Instant::now() < deadline, "after {later} ms: {:?} is left", groups(running.0.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
        let runs = |pid: &&String| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.starts_with("Name:\tlimit\n") && !status.contains("State:\tZ") && !status.contains("State:\tX")
        };
        assert_eq!(members.iter().find(runs), None, "a process of the group is left");
        seen += 1;
    }
    assert!(seen > 0, "no run was seen with its group");
}
