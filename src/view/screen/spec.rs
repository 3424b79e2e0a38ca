//! A command's description of its live screen: which fields are columns, what is followed, and the headline.

use std::borrow::Cow;

use crate::analysis::series::Tracked;
use crate::view::screen::lines::Shown;
use crate::view::size::Scale;

/// A column of the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    /// The key that sorts by it.
    pub(super) key: char,
    /// The field, or [`CHANGE`].
    pub(super) field: &'static str,
    /// Columns of a lower rank are dropped first.
    pub(super) rank: u8,
    /// The heading, if it differs from the field's.
    pub(super) heading: Option<&'static str>,
    /// Its name in the help, if that is not its heading.
    pub(super) help: Option<&'static str>,
    /// Another name for it in `--sort`.
    pub(super) also: Option<&'static str>,
    /// Whether it is a size of a few bytes, which would round to nothing in MiB or pages.
    pub(super) is_small: bool,
}

/// The name of the column with the change of what is followed.
pub(crate) const CHANGE: &str = "change";

/// A column: its key, its field, and its rank.
pub(crate) const fn pick(key: char, field: &'static str, rank: u8) -> Pick {
    Pick { key, field, rank, heading: None, help: None, also: None, is_small: false }
}

impl Pick {
    /// The key that sorts by it.
    #[cfg(test)]
    pub(crate) fn key(&self) -> char {
        self.key
    }

    /// The column under another heading.
    pub(crate) const fn heading(self, heading: &'static str) -> Self {
        Self { heading: Some(heading), ..self }
    }

    /// The column with other words in the help.
    pub(crate) const fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }

    /// The column with another name in `--sort`.
    pub(crate) const fn also(self, name: &'static str) -> Self {
        Self { also: Some(name), ..self }
    }

    /// The column as one with small sizes.
    pub(crate) const fn small(self) -> Self {
        Self { is_small: true, ..self }
    }
}

/// A screen, apart from its rows. Fields are given by their names or aliases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    /// The command.
    pub(crate) command: &'static str,
    /// What a row is called, in the singular and the plural.
    pub(crate) rows: [&'static str; 2],
    /// The fields that together identify a row from reading to reading.
    pub(crate) identity: &'static [&'static str],
    /// The fields that are followed. The first has a course and a change; others are for the detail pane.
    pub(crate) followed: &'static [&'static str],
    /// The columns from left to right; the last takes the rest of a line, and the filter matches it.
    pub(crate) columns: &'static [Pick],
    /// The key that the rows are initially sorted by.
    pub(crate) sort: char,
    /// The help text, apart from the keys.
    pub(crate) help: &'static [&'static str],
}

/// A piece of the lines above the rows.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    /// Pieces of a lower rank are dropped first: 1 to 9.
    pub(super) rank: u8,
    pub(super) text: String,
}

impl Sum {
    pub(crate) fn new(rank: u8, text: impl Into<String>) -> Self {
        Self { rank, text: text.into() }
    }
}

/// A line of the detail pane: its label, at most 12 columns wide, and the text.
pub(crate) type Said = (Cow<'static, str>, String);

/// How the rows of a command appear on a screen.
pub(crate) trait Live: 'static {
    /// A row.
    type Row: 'static;
    /// The report that it comes from.
    type Report: 'static;

    /// The part that is the same for all rows.
    const SPEC: Spec;

    /// A size that the headline follows: its name, and bytes; `None` if it is not known.
    fn total(_report: &Self::Report) -> Option<(&'static str, i64)> {
        None
    }

    /// The parts of that size.
    fn parts(_report: &Self::Report, _scale: &Scale) -> Option<String> {
        None
    }

    /// The line of sums. `is_whole` says that the report is complete.
    fn sums(report: &Self::Report, scale: &Scale, is_whole: bool) -> Vec<Sum>;

    /// What the detail pane says about a row; `None` if listing all of its fields will do. `room` is the number of
    /// columns and lines.
    fn detail(_row: &Self::Row, _scale: &Scale, _room: (usize, usize)) -> Option<Vec<Said>> {
        None
    }

    /// Likewise, below its change: what was read for this row alone.
    fn closer(_row: &Self::Row) -> Vec<Said> {
        Vec::new()
    }

    /// How what is followed changed, in words, if that is more than the change of a size.
    fn changes(_tracked: &Tracked<Shown>, _scale: &Scale) -> Option<String> {
        None
    }

    /// Whether the value of a field in a row cannot be right.
    fn is_wrong(_row: &Self::Row, _field: &str) -> bool {
        false
    }
}

/// What the help of every screen can say about the changes.
pub(crate) const OF_CHANGES: &str = "Δ/min: change in the last minute; in the first minute, Δ in N s: change so far.";
