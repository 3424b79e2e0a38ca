//! Exit status and error messages: one contract for all commands.

use std::process::{ExitCode, Termination};

use crate::analysis::gap::{Gap, Reason, Severity};
use crate::error::Error;
use crate::kernel::catalogue::what_would_help;
use crate::name::escaped;

/// The exit status of pmem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Everything that was requested is in the output.
    Complete = 0,
    /// It failed, or the output is incomplete.
    Incomplete = 1,
    /// The command line is wrong.
    Usage = 2,
    /// This kernel does not have what the command needs.
    Unsupported = 3,
    /// Not permitted.
    Denied = 4,
    /// No such process.
    NoProcess = 42,
}

impl Termination for Status {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Errors on the command line that clap cannot detect.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// It asks for something impossible.
    #[error("{0}")]
    Invalid(String),
    /// It names a process that does not exist.
    #[error("{0}")]
    NoProcess(String),
}

/// The exit status for an error.
pub fn of(error: &anyhow::Error) -> Status {
    if is_broken_pipe(error) {
        return Status::Complete;
    }
    match error.downcast_ref::<UsageError>() {
        Some(UsageError::Invalid(_)) => return Status::Usage,
        Some(UsageError::NoProcess(_)) => return Status::NoProcess,
        None => {}
    }
    error.downcast_ref::<Error>().map_or(Status::Incomplete, |error| Severity::of(error).into())
}

impl From<Severity> for Status {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Incomplete => Self::Incomplete,
            Severity::Unsupported => Self::Unsupported,
            Severity::Denied => Self::Denied,
        }
    }
}

/// The error of a command that has nothing to show because of a gap.
pub fn error_of(gap: Gap) -> anyhow::Error {
    match gap.reason {
        Reason::Denied(error) | Reason::Failed(error) => error.into(),
        _ => anyhow::anyhow!("{gap}"),
    }
}

/// Prints an error on standard error and returns its status. A broken pipe is not an error: the reader has had enough.
pub fn report(error: &anyhow::Error, quiet: bool) -> Status {
    let status = of(error);
    if status != Status::Complete {
        say(&format!("{error:#}"));
        if let Some(help) = error.downcast_ref::<Error>().and_then(what_would_help)
            && !quiet
        {
            explain(help);
        }
    }
    status
}

/// Prints a line on standard error, with the program's name in front.
pub fn say(text: &str) {
    to_stderr(&format!("pmem: {}\n", escaped(text.as_bytes())));
}

/// Prints what would help, below the last line printed.
pub fn explain(text: &str) {
    to_stderr(&crate::view::table::wrapped(&escaped(text.as_bytes()), 80, 2));
}

/// Failure is ignored: standard error is closed.
fn to_stderr(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
