//! Running pmem to its end, and what came out.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::schema;
use super::text::assert_no_control;

/// No run takes nearly as long, even on a slow and busy machine: one that does hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// The result of a run of pmem.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs pmem.
#[track_caller]
pub(crate) fn pmem<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
    command.args(arguments);
    finish(&mut command)
}

/// Runs a command to its end, which must come, and not by a panic or a signal. JSON that it writes must match `pmem
/// schema`.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Finished {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let run = outcome(child);
    schema::check_lines(command.get_args(), &run);
    run
}

/// The result of a running pmem. Documents that it writes must match `pmem schema`.
#[track_caller]
pub(crate) fn outcome(mut child: Child) -> Finished {
    let stdout = child.stdout.take().map(in_background);
    let stderr = child.stderr.take().map(in_background);
    let mut all_of = |pipe: Option<Receiver<Vec<u8>>>| {
        pipe.map_or_else(Vec::new, |bytes| {
            bytes.recv_timeout(DEADLINE).unwrap_or_else(|_| {
                let _ = child.kill();
                let _ = child.wait();
                panic!("pmem did not end within {DEADLINE:?}");
            })
        })
    };
    let (stdout, stderr) = (all_of(stdout), all_of(stderr));
    let status = child.wait().unwrap();
    let stderr = String::from_utf8(stderr).expect("standard error is UTF-8");
    assert_eq!(status.signal(), None, "pmem was ended by a signal: {stderr}");
    assert!(!stderr.contains("panicked"), "pmem panicked: {stderr}");
    assert_no_control(stderr.as_bytes(), "standard error");
    let run = Finished { status: status.code().unwrap(), stdout, stderr };
    schema::check_documents(&run);
    run
}

fn in_background(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read is missing, and the test will fail for it.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = send.send(bytes);
    });
    receive
}

impl Finished {
    /// Requires an exit status.
    #[track_caller]
    pub(crate) fn with_status(self, expected: i32) -> Self {
        assert_eq!(self.status, expected, "exit status; standard error was: {}", self.stderr);
        self
    }

    /// Standard output as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is UTF-8")
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).expect("standard output is one JSON document")
    }

    /// The only process of a `pmem.frames/1` document.
    #[track_caller]
    pub(crate) fn process(&self) -> Value {
        let mut document = self.json();
        assert_eq!(document["schema"], "pmem.frames/1");
        let processes = document["data"]["processes"].as_array_mut().expect("processes");
        assert_eq!(processes.len(), 1, "processes in the document");
        processes.remove(0)
    }
}

/// The workload program, which cargo builds along with the tests.
pub(crate) fn workload() -> std::path::PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).map(|target| target.join("examples/workload"));
    let workload = built.expect("the tests are in a directory of the target directory");
    assert!(
        workload.exists(),
        "{}: not there; 'cargo test' builds it, and so does 'cargo build --example workload'",
        workload.display()
    );
    workload
}
