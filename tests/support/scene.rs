//! Processes with known memory, which end with the test that started them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::json::{hex_address, number};
use super::run::workload;

/// A running scene of the workload program. Ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    child: Child,
    /// What it reports it has made.
    pub(crate) report: Value,
}

impl Scene {
    /// Starts a scene, and returns when it has made everything.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::from_command(Command::new(workload()).args(arguments))
    }

    /// The same with a command that runs the workload program.
    pub(crate) fn from_command(command: &mut Command) -> Self {
        // In its own process group: Ctrl-C ends the test, and the end of the test ends the scene cleanly.
        let mut child = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let _ = child.kill();
            let status = child.wait();
            panic!("the scene made nothing: {status:?} (its own words are above)");
        }
        let scene = Self { child, report: serde_json::from_str(&line).unwrap() };
        if scene.report["moves"] != true {
            let child = scene.report["child"]["pid"].as_u64();
            [Some(u64::from(scene.pid())), child].into_iter().flatten().for_each(wait_until_asleep);
            ["children", "mappers"].iter().flat_map(|list| scene.report[list].as_array()).flatten().for_each(|child| {
                wait_until_asleep(number(&child["pid"]));
            });
        }
        scene
    }

    /// Its PID.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its PID as an argument.
    pub(crate) fn target(&self) -> String {
        self.pid().to_string()
    }

    /// Why this scene is not possible on the machine, if it is not.
    pub(crate) fn skipped(&self) -> Option<&str> {
        self.report["skipped"].as_str()
    }

    /// Kills it; it stays a zombie until the scene is dropped.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Kills and reaps it.
    pub(crate) fn kill_and_reap(&mut self) {
        self.kill();
        self.child.wait().unwrap();
    }

    /// Waits for a scene that ends by itself, and reaps it.
    pub(crate) fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// Ends it cleanly, by closing its standard input. Returns what else it printed.
    fn end(&mut self) -> Vec<u8> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Only now, and only this PID; no effect if it has been reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut rest = Vec::new();
        let _ = self.child.stdout.take().map(|mut stdout| stdout.read_to_end(&mut rest));
        rest
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let rest = self.end();
        if !std::thread::panicking() {
            assert!(rest.is_empty(), "a scene prints one line");
        }
    }
}

/// After printing its line, a process may still touch a page of the C library or of its stack: returns when it is
/// waiting.
#[track_caller]
fn wait_until_asleep(pid: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap();
        // The state is the letter after the name, which may contain anything.
        let state = stat.iter().rposition(|&byte| byte == b')').and_then(|at| stat.get(at + 2));
        if state == Some(&b'S') {
            return;
        }
        assert!(Instant::now() < deadline, "process {pid} does not come to rest: {state:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// One mapping of a scene, and what the scene claims about it.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    /// What it is, in words.
    pub(crate) what: &'a str,
    /// Where it begins.
    pub(crate) address: u64,
    /// Everything else.
    pub(crate) claims: &'a Value,
}

impl Made<'_> {
    /// One of its numbers.
    pub(crate) fn number(&self, name: &str) -> u64 {
        number(&self.claims[name])
    }
}

/// The mappings that a report lists as made, and those not made, with the reasons.
pub(crate) fn made(report: &Value) -> (Vec<Made<'_>>, Vec<(&str, &str)>) {
    let (mut made, mut skipped) = (Vec::new(), Vec::new());
    for claims in report["mappings"].as_array().unwrap() {
        let what = claims["what"].as_str().unwrap();
        match claims["skipped"].as_str() {
            Some(reason) => skipped.push((what, reason)),
            None => made.push(Made { what, address: hex_address(&claims["address"]), claims }),
        }
    }
    (made, skipped)
}

/// The mapping of a scene with this name.
pub(crate) fn made_as<'a>(report: &'a Value, what: &str) -> Made<'a> {
    made(report).0.into_iter().find(|made| made.what == what).expect(what)
}
