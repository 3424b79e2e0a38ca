//! The processes of a demo, seen from the parent.

use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Demo, forked};
use crate::demo::facts::{Facts, Ranges};
use crate::demo::script::{Step, Who};
use crate::demo::turns::{Reply, Turn, Turns};
use crate::error::{Error, Result};
use crate::kernel::process::Process;
use crate::kernel::root::Root;

/// How long a worker may take to exit on its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// The worker and its child. Dropping this ends them.
#[derive(Debug)]
pub(super) struct Workers {
    first: Pid,
    /// How the worker ended, once it has been reaped.
    ended: Option<String>,
    /// `None` once the turns are over.
    turns: Option<[Turns; 2]>,
    members: [Option<Member>; 2],
}

/// One of the processes, while it exists.
#[derive(Debug)]
struct Member {
    process: Process,
    ranges: Ranges,
}

impl Workers {
    /// Starts the worker.
    ///
    /// # Errors
    /// Those of starting a process.
    pub(super) fn start(demo: &Demo, facts: &Facts<'_>, steps: &Rc<[Step]>) -> Result<Self> {
        let io = |error| Error::from_io(error, "process for the demo");
        let (first, turns) = forked::start(demo, facts, Rc::clone(steps)).map_err(io)?;
        let mut workers = Self { first, ended: None, turns: Some(turns), members: [None, None] };
        let pid = workers.pid();
        workers.meet(facts.root, Who::Worker, pid)?;
        Ok(workers)
    }

    /// The PID of the worker.
    pub(super) fn pid(&self) -> u32 {
        self.first.as_raw().unsigned_abs()
    }

    /// The processes that exist, with their memory.
    pub(super) fn members(&self) -> [Option<(&Process, Ranges)>; 2] {
        self.members.each_ref().map(|member| member.as_ref().map(|member| (&member.process, member.ranges)))
    }

    /// Opens one of the processes and waits until it is ready.
    fn meet(&mut self, root: &Root, who: Who, pid: u32) -> Result<()> {
        let process = Process::open(root, pid)?;
        let ready = self.turns.as_mut().map(|turns| turns[who as usize].receive::<Reply>());
        let Some(Ok(Some(ready))) = ready else { return Err(Error::Gone { path: process.path("stat") }) };
        self.members[who as usize] = Some(Member { process, ranges: ready.ranges });
        Ok(())
    }

    /// Sends one of the processes its turn and waits for the answer.
    ///
    /// # Errors
    /// A sentence on why no answer came.
    pub(super) fn take_turn(&mut self, who: Who, turn: Turn) -> std::result::Result<Reply, String> {
        let (Some(turns), Some(_)) = (&mut self.turns, &self.members[who as usize]) else {
            return Err("the process that should do it does not exist".to_owned());
        };
        let turns = &mut turns[who as usize];
        let answer = turns.send(&turn).and_then(|()| turns.receive());
        match answer {
            Ok(Some(answer)) => Ok(answer),
            _ => Err(match who {
                Who::Worker => self.reap(),
                Who::Child => "the child of the demo's process has exited".to_owned(),
            }),
        }
    }

    /// Updates the memory ranges and the child from an answer.
    ///
    /// # Errors
    /// Those of opening the child.
    pub(super) fn follow(&mut self, root: &Root, who: Who, reply: &Reply) -> Result<()> {
        if let Some(member) = &mut self.members[who as usize] {
            member.ranges = reply.ranges;
        }
        if who == Who::Worker {
            match (reply.second.unsigned_abs(), &self.members[1]) {
                (0, _) => self.members[1] = None,
                (pid, None) => self.meet(root, Who::Child, pid)?,
                (_, Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Ends the worker if it is still running, and reaps it. Returns how it ended.
    pub(super) fn reap(&mut self) -> String {
        if let Some(how) = &self.ended {
            return how.clone();
        }
        // Closing the pipes ends the worker and its children. It has not been reaped yet, so its PID cannot have been reused.
        self.turns = None;
        let asked = Instant::now();
        let mut state = waitpid(self.first, Some(WaitPidFlag::WNOHANG));
        while state == Ok(WaitStatus::StillAlive) && asked.elapsed() < PATIENCE {
            sleep(Duration::from_millis(1));
            state = waitpid(self.first, Some(WaitPidFlag::WNOHANG));
        }
        if state == Ok(WaitStatus::StillAlive) {
            let _ = kill(self.first, Signal::SIGKILL);
            state = waitpid(self.first, None);
        }
        let how = match state {
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("the demo's process was killed by {signal}"),
            Ok(WaitStatus::Exited(_, status)) => format!("the demo's process exited with status {status}"),
            _ => "the demo's process is gone".to_owned(),
        };
        self.ended.insert(how).clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.reap();
    }
}
