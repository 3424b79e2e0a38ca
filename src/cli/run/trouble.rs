//! What could not be read, reported once on standard error, and its effect on the exit status.

use std::collections::BTreeSet;

use crate::analysis::gap::Gap;
use crate::cli::status::{self, Status, explain, say};
use crate::error::Error;
use crate::kernel::catalogue::what_would_help;

/// Something that the output lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct Trouble {
    /// What and why.
    pub(in crate::cli) text: String,
    /// What would help.
    pub(in crate::cli) help: Option<&'static str>,
    /// The exit status for it.
    pub(in crate::cli) status: Status,
}

impl Trouble {
    /// The output is incomplete.
    pub(in crate::cli) fn incomplete(text: impl Into<String>) -> Self {
        Self { text: text.into(), help: None, status: Status::Incomplete }
    }

    /// Adds what would help.
    pub(in crate::cli) fn with_help(self, help: Option<&'static str>) -> Self {
        Self { help, ..self }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { text: error.to_string(), help: what_would_help(&error), status: status::of(&error.into()) }
    }
}

impl From<Gap> for Trouble {
    fn from(gap: Gap) -> Self {
        Self { text: gap.to_string(), help: gap.reason.help(), status: gap.severity().into() }
    }
}

/// What has been reported so far, and the worst of it.
#[derive(Debug)]
pub(in crate::cli) struct Troubles {
    said: BTreeSet<String>,
    is_quiet: bool,
    /// The exit status.
    pub(in crate::cli) status: Status,
}

impl Troubles {
    /// Nothing reported yet.
    pub(in crate::cli) fn new(is_quiet: bool) -> Self {
        Self { said: BTreeSet::new(), is_quiet, status: Status::Complete }
    }

    /// Reports what the output lacks, unless an earlier round has already done so.
    pub(in crate::cli) fn add(&mut self, trouble: &Trouble) {
        self.status = self.status.max(trouble.status);
        if self.said.insert(trouble.text.clone()) {
            say(&trouble.text);
            if let Some(help) = trouble.help.filter(|_| !self.is_quiet) {
                explain(help);
            }
        }
    }
}
