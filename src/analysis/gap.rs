//! What could not be read, why, and what would help. One type for every command.

use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer};

use super::note::Note;
use super::processes::address_space::NoAddressSpace;
use crate::error::Error;
use crate::kernel::catalogue::what_would_help;

/// Something that could not be read.
#[derive(Debug)]
pub struct Gap {
    /// The process it is about.
    pub pid: u32,
    /// Why.
    pub reason: Reason,
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
            Error::Denied { .. } | Error::Masked { .. } | Error::Hidden { .. } => Self::Denied,
            Error::Unsupported { .. } => Self::Unsupported,
            _ => Self::Incomplete,
        }
    }
}

impl Gap {
    /// A process that could not be read.
    pub fn process(pid: u32, reason: impl Into<Reason>) -> Self {
        Self { pid, reason: reason.into() }
    }

    /// How much it matters if it is all that was requested.
    pub fn severity(&self) -> Severity {
        self.reason.error().map_or(Severity::Incomplete, Severity::of)
    }

    /// A note with the same words, which people have already seen on standard error.
    pub fn note(&self, code: &'static str) -> Note {
        Note { pid: Some(self.pid), ..Note::general(code, self.reason.to_string()) }
    }
}

impl Display for Gap {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.pid, self.reason)
    }
}

impl Serialize for Gap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AsGap { pid: self.pid, why: self.reason.to_string() }.serialize(serializer)
    }
}

/// A process that could not be read
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename = "Gap")]
pub(crate) struct AsGap {
    /// The process
    pid: u32,
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

    pub(crate) fn sort_by_pid(&mut self) {
        self.all.sort_by_key(|gap| gap.pid);
    }

    /// The processes, for a sentence: only the first few if there are many.
    pub fn pids(&self) -> String {
        const NAMED: usize = 5;
        let pids: Vec<String> = self.iter().take(NAMED).map(|gap| gap.pid.to_string()).collect();
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
        for (gap, text) in [
            (Gap::process(7, Reason::Ended), "7: the process ended while it was being read"),
            (Gap::process(7, denied("/proc/7/maps")), "7: /proc/7/maps: permission denied"),
        ] {
            assert_eq!(gap.to_string(), text);
        }
        let gap = Gap::process(7, denied("/proc/7/maps"));
        assert_eq!(serde_json::to_string(&gap).unwrap(), r#"{"pid":7,"why":"/proc/7/maps: permission denied"}"#);
    }

    #[test]
    fn closed_processes_are_counted_together() {
        let mut gaps = Gaps::default();
        assert_eq!((gaps.help(), gaps.denied_together(9)), (None, None));
        gaps.push(Gap::process(1, Reason::Ended));
        assert_eq!(gaps.help(), None);
        gaps.push(Gap::process(2, denied("/proc/2/pagemap")));
        gaps.push(Gap::process(3, Error::Unsupported { what: "x".to_owned() }));
        assert!(gaps.help().unwrap().contains("CAP_SYS_PTRACE"));
        let together = gaps.denied_together(9).unwrap();
        assert_eq!(together, "1 of 9 processes could not be read: permission denied (-v lists them)");
        (4..9).for_each(|pid| gaps.push(Gap::process(pid, Reason::Replaced)));
        assert_eq!(gaps.pids(), "1 2 3 4 5 …");
    }
}
