//! A pmem that runs in rounds, read one document at a time.
//!
//! Which pages of the C library are shared depends on what is running: while pmem is, they are mapped once more. So the
//! kernel's numbers of shared pages are read while a pmem is waiting for its next round.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A pmem that runs in rounds. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Watch {
    /// Starts `pmem ARGUMENTS… --json`, a round every 50 ms.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
        command.args(arguments).args(["--json", "--delay", "0.05"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The only process of the next document.
    pub(crate) fn next(&mut self) -> Value {
        let mut text = String::new();
        // An indented document ends with the only line that begins with a closing brace.
        while !text.ends_with("\n}\n") {
            let read = self.stdout.read_line(&mut text).unwrap();
            assert!(read > 0, "pmem ended in the middle: {text}");
        }
        let document: Value = serde_json::from_str(&text).unwrap();
        document["data"]["processes"][0].clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
