//! What comparisons of two readings share, whatever the readings are of: where each is from, and the time between them.

use std::time::Duration;

use chrono::DateTime;
use serde::Serialize;

use super::note::Note;
use crate::kernel::manifest::Host;

/// The origin of one side's numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Origin {
    /// When they were read, in UTC, in RFC 3339 format; `None` for a saved file, which does not say.
    pub time: Option<String>,
    /// `live`, `recorded`, or `file` for a saved file.
    pub source: &'static str,
    /// The kernel release, if it is known.
    pub kernel: Option<String>,
}

/// The time from one point to another; `None` if it runs backwards, or if one of them is not a time.
pub fn between(before: &str, after: &str) -> Option<Duration> {
    let [before, after] = [before, after].map(|time| DateTime::parse_from_rfc3339(time).ok());
    after?.signed_duration_since(before?).to_std().ok()
}

/// Whether both may be from the same boot of the same machine: `true` unless their boot IDs differ.
pub fn same_boot(before: Option<&Host>, after: Option<&Host>) -> bool {
    let boot = |host: Option<&Host>| host.and_then(|host| host.boot_id.clone());
    boot(before).zip(boot(after)).is_none_or(|(before, after)| before == after)
}

/// Why there are no rates, if there are none; `between` is the time, if it is known and not backwards.
pub fn no_rates(same_boot: bool, between: Option<Duration>) -> Option<Note> {
    let note = |code, text| Some(Note::general(code, text));
    match between {
        _ if !same_boot => note(
            "different-boots",
            "the two are from different boots or machines: changes are not growth, and there are no rates",
        ),
        None => note("time-backwards", "the second is older than the first by their time stamps: there are no rates"),
        Some(time) if time.is_zero() => note("time-none", "both have the same time: there are no rates"),
        Some(_) => None,
    }
}
