//! What could not be read, why, and what would help. One type for every command.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::note::Note;
use super::processes::address_space::NoAddressSpace;
use crate::error::Error;
use crate::kernel::catalogue::what_would_help;

/// Something that could not be read.
#[derive(Debug)]
pub struct Gap {
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
}

/// What a gap is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A process.
    Process(u32),
    /// A file.
    File(PathBuf),
    /// The machine as a whole.
    Machine,
}

/// Why something could not be read.
#[derive(Debug)]
pub enum Reason {
    /// The process has no address space.
    NoAddressSpace(NoAddressSpace),
    /// The process ended after it was listed, before it was read.
    NotThere,
    /// The process ended while it was being read.
    Ended,
    /// The process kept calling exec while it was being read.
    Replaced,
    /// The kernel refused.
    Denied(Error),
    /// Anything else.
    Failed(Error),
}

/// How much a gap matters: the worst one decides the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What is shown is incomplete.
    Incomplete,
    /// This kernel, or this recorded tree, does not have it.
    Unsupported,
    /// This user may not read it.
    Denied,
}

impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied { .. } => Self::Denied(error),
            _ => Self::Failed(error),
        }
    }
}

impl From<NoAddressSpace> for Reason {
    fn from(why: NoAddressSpace) -> Self {
        Self::NoAddressSpace(why)
    }
}

impl Reason {
    /// The underlying error, if there is one.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Denied(error) | Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the process, or the program it ran when it was first looked at, is gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NotThere | Self::Ended | Self::Replaced)
    }

    /// What would help, as one or two sentences; `None` if nothing is known to.
    pub fn help(&self) -> Option<&'static str> {
        self.error().and_then(what_would_help)
    }
}

impl Display for Reason {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddressSpace(why) => out.write_str(why.words()),
            Self::NotThere | Self::Ended => out.write_str("the process ended while it was being read"),
            Self::Replaced => out.write_str("the process kept calling exec while it was being read"),
            Self::Denied(error) | Self::Failed(error) => error.fmt(out),
        }
    }
}

impl Severity {
    /// The severity of an error when that is the whole result.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Denied { .. } | Error::Hidden { .. } => Self::Denied,
            Error::Unsupported { .. } => Self::Unsupported,
            _ => Self::Incomplete,
        }
    }
}

impl Gap {
    /// A process that could not be read.
    pub fn process(pid: u32, reason: impl Into<Reason>) -> Self {
        Self { subject: Subject::Process(pid), reason: reason.into() }
    }

    /// A file that could not be read.
    pub fn file(path: impl Into<PathBuf>, reason: impl Into<Reason>) -> Self {
        Self { subject: Subject::File(path.into()), reason: reason.into() }
    }

    /// Something of the machine that could not be read.
    pub fn machine(reason: impl Into<Reason>) -> Self {
        Self { subject: Subject::Machine, reason: reason.into() }
    }

    /// The process it is about, if any.
    pub fn pid(&self) -> Option<u32> {
        match self.subject {
            Subject::Process(pid) => Some(pid),
            _ => None,
        }
    }

    /// How much it matters if it is all that was requested.
    pub fn severity(&self) -> Severity {
        self.reason.error().map_or(Severity::Incomplete, Severity::of)
    }

    /// A note with the same words, which people have already seen on standard error.
    pub fn note(&self, code: &'static str) -> Note {
        Note { pid: self.pid(), ..Note::general(code, self.reason.to_string()) }
    }
}

impl Display for Gap {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Process(pid) => write!(out, "{pid}: {}", self.reason),
            // Errors include the path.
            Subject::File(path) if self.reason.error().is_none() => write!(out, "{}: {}", path.display(), self.reason),
            Subject::File(_) | Subject::Machine => self.reason.fmt(out),
        }
    }
}

impl Serialize for Gap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.subject {
            Subject::Process(pid) => map.serialize_entry("pid", pid)?,
            Subject::File(path) => map.serialize_entry("path", &path.to_string_lossy())?,
            Subject::Machine => {}
        }
        map.serialize_entry("why", &self.reason.to_string())?;
        map.end()
    }
}

/// Something that could not be read
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(rename = "Gap")]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct AsGap {
    /// The process, if it is about one
    #[schemars(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// The file, if it is about one
    #[schemars(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Why it could not be read
    why: String,
}

/// The gaps of one answer, in the order they were met.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct Gaps {
    #[cfg_attr(test, schemars(with = "Vec<AsGap>"))]
    all: Vec<Gap>,
}

impl Gaps {
    /// Adds one.
    pub fn push(&mut self, gap: Gap) {
        self.all.push(gap);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Gap> {
        self.all.iter()
    }

    /// How many processes were closed to this user.
    pub fn denied(&self) -> usize {
        self.iter().filter(|gap| matches!(gap.reason, Reason::Denied(_))).count()
    }

    /// The message about processes that could not be read, out of `total`, when they are not listed one by one.
    pub fn denied_together(&self, total: usize) -> Option<String> {
        let denied = self.denied();
        let text = format!("{denied} of {total} processes could not be read: permission denied (-v lists them)");
        (denied > 0).then_some(text)
    }

    /// What would help with the first gap for which there is help.
    pub fn help(&self) -> Option<&'static str> {
        self.iter().find_map(|gap| gap.reason.help())
    }

    /// The severity of the worst of them.
    pub fn worst(&self) -> Option<Severity> {
        self.iter().map(Gap::severity).max()
    }

    pub(crate) fn sort_by_pid(&mut self) {
        self.all.sort_by_key(Gap::pid);
    }

    /// The processes, for a sentence: only the first few if there are many.
    pub fn pids(&self) -> String {
        const NAMED: usize = 5;
        let pids: Vec<String> = self.iter().filter_map(Gap::pid).take(NAMED).map(|pid| pid.to_string()).collect();
        let more = if self.len() > pids.len() { " …" } else { "" };
        format!("{}{more}", pids.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(path: &str) -> Error {
        Error::Denied { path: path.into() }
    }

    #[test]
    fn a_gap_is_said_with_its_subject_once() {
        let missing = Error::Missing { path: "/proc/slabinfo".into() };
        for (gap, text) in [
            (Gap::process(7, Reason::Ended), "7: the process ended while it was being read"),
            (Gap::process(7, denied("/proc/7/maps")), "7: /proc/7/maps: permission denied"),
            (Gap::file("/proc/slabinfo", missing), "/proc/slabinfo: no such file"),
            (Gap::file("/x", Reason::Ended), "/x: the process ended while it was being read"),
            (Gap::machine(Error::frames_hidden()), "frame numbers are hidden from this user"),
        ] {
            assert_eq!(gap.to_string(), text);
        }
        let gap = Gap::process(7, denied("/proc/7/maps"));
        assert_eq!(serde_json::to_string(&gap).unwrap(), r#"{"pid":7,"why":"/proc/7/maps: permission denied"}"#);
    }

    #[test]
    fn the_worst_gap_decides_and_closed_processes_are_counted_together() {
        let mut gaps = Gaps::default();
        assert_eq!((gaps.worst(), gaps.help(), gaps.denied_together(9)), (None, None, None));
        gaps.push(Gap::process(1, Reason::Ended));
        assert_eq!((gaps.worst(), gaps.help()), (Some(Severity::Incomplete), None));
        gaps.push(Gap::process(2, denied("/proc/2/pagemap")));
        gaps.push(Gap::process(3, Error::Unsupported { what: "x".to_owned() }));
        assert_eq!(gaps.worst(), Some(Severity::Denied));
        assert!(gaps.help().unwrap().contains("CAP_SYS_PTRACE"));
        let together = gaps.denied_together(9).unwrap();
        assert_eq!(together, "1 of 9 processes could not be read: permission denied (-v lists them)");
        (4..9).for_each(|pid| gaps.push(Gap::process(pid, Reason::Replaced)));
        assert_eq!(gaps.pids(), "1 2 3 4 5 …");
    }
}
