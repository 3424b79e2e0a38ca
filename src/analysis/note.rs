//! What the reader must know to interpret the numbers correctly.

use serde::Serialize;

/// A sentence about a report, with a code that scripts can rely on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Note {
    /// A code, stable between releases.
    pub code: &'static str,
    /// The process, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What, why, and what would help.
    pub text: String,
    /// Whether it is left out for people: it does not change what they should conclude.
    #[serde(skip)]
    pub in_json_only: bool,
}

impl Note {
    /// A note about one process.
    pub fn of(pid: u32, code: &'static str, text: impl Into<String>) -> Self {
        Self { code, pid: Some(pid), text: text.into(), in_json_only: false }
    }

    /// A note about the whole report.
    pub fn general(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, pid: None, text: text.into(), in_json_only: false }
    }
}
