//! What the live screen shows: the readings, and what the user chose.

use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use regex_lite::Regex;

use super::columns::{self, Columns, Sort};
use super::lines::{Above, Shot, Shown, matches, name};
use super::spec::Spec;
use crate::analysis::series::{History, Series, Tracked};
use crate::view::cell::Cell;
use crate::view::size::Scale;

/// Selects rows by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    text: String,
    regex: Option<Regex>,
    is_plain: bool,
}

impl Filter {
    /// A filter for names that match `text`: a regular expression, or plain text as long as it is not a valid one.
    pub(crate) fn new(text: &str) -> Self {
        let regex = Regex::new(text);
        let is_plain = regex.is_err();
        let plain = |_| Regex::new(&regex_lite::escape(text));
        Self { text: text.to_owned(), regex: regex.or_else(plain).ok(), is_plain }
    }

    /// The text as typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is treated as plain text.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    fn keeps(&self, name: &Cell<'_>) -> bool {
        self.regex.as_ref().is_none_or(|regex| matches(name, regex))
    }
}

/// What is shown over or below the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    /// Nothing: the table fills the screen.
    #[default]
    None,
    /// Everything about the selected row.
    Detail,
    /// The keys.
    Help,
}

/// The readings of a screen.
#[derive(Clone)]
pub(crate) struct Readings {
    history: History<Shown>,
    /// The headline; `None` before the first reading.
    above: Option<Rc<dyn Above>>,
}

impl Deref for Readings {
    type Target = History<Shown>;

    fn deref(&self) -> &History<Shown> {
        &self.history
    }
}

impl Readings {
    /// The headline; `None` before the first reading.
    pub(super) fn above(&self) -> Option<&dyn Above> {
        self.above.as_deref()
    }

    /// The time that all changes are assumed to cover: that of what the headline follows, or of the row that has been
    /// there longest.
    pub(super) fn time(&self) -> Duration {
        match self.total.last() {
            Some(_) => self.total.time(),
            None => self.rows.iter().filter_map(|row| row.courses.first()).map(Series::time).max().unwrap_or_default(),
        }
    }
}

/// The state of the screen.
#[derive(Clone)]
pub(crate) struct State {
    spec: Spec,
    columns: Columns,
    readings: Readings,
    /// What is shown while the screen is frozen.
    frozen: Option<Box<Readings>>,
    /// The time between two readings.
    interval: Duration,
    /// What the table is sorted by.
    pub sort: Sort,
    /// The filter for names.
    pub filter: Filter,
    /// Whether keys go into the filter.
    pub is_typing: bool,
    /// Rows in which what is followed is less than this are not shown.
    pub least_bytes: Option<u64>,
    /// Whether only rows that grew are shown.
    pub growing: bool,
    /// How quantities are written.
    pub scale: Scale,
    /// The open pane.
    pub pane: Pane,
    /// What was read for the selected row alone: its id, and the row with the details.
    pub details: Option<(u64, Shown)>,
    /// Something that happened, shown until the next key.
    pub notice: Option<String>,
    /// The columns and lines of the terminal.
    size: (u16, u16),
    /// The rows in the order in which they are shown, as indices into the history.
    order: Vec<usize>,
    /// The id of the selected row; `None` until one is chosen: until then it is the first row.
    selected: Option<u64>,
    /// The index of the selected row in `order`.
    place: usize,
    /// The first visible row.
    first: usize,
}

impl State {
    /// A screen without readings.
    pub(crate) fn new(spec: Spec, columns: Columns, interval: Duration, scale: Scale, size: (u16, u16)) -> Self {
        Self {
            spec,
            sort: Sort::first(&columns, &spec),
            columns,
            readings: Readings { history: History::new(interval), above: None },
            frozen: None,
            interval,
            filter: Filter::default(),
            is_typing: false,
            least_bytes: None,
            growing: false,
            scale,
            pane: Pane::None,
            details: None,
            notice: None,
            size,
            order: Vec::new(),
            selected: None,
            place: 0,
            first: 0,
        }
    }

    /// The command's description of its screen.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The columns.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Whether there has been a reading.
    pub(crate) fn has_readings(&self) -> bool {
        self.readings.above.is_some()
    }

    /// The readings that are shown.
    pub(crate) fn shown(&self) -> &Readings {
        self.frozen.as_deref().unwrap_or(&self.readings)
    }

    /// Adds a reading; `trouble` is what it lacks.
    pub(crate) fn add(&mut self, shot: Shot, trouble: Option<String>, at: Duration, clock: String) {
        let Shot { rows, above } = shot;
        self.readings.history.add(rows, above.total().map(|(_, bytes)| bytes), at, clock);
        self.readings.history.trouble = trouble;
        self.readings.above = Some(above);
        self.settle();
    }

    /// Notes that nothing could be read.
    pub(crate) fn failed(&mut self, why: String) {
        self.readings.history.failed(why);
        self.settle();
    }

    /// The time between two readings.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Sets the time between two readings.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        self.readings.history.expect_every(interval);
    }

    /// The columns and lines of the terminal.
    pub(crate) fn size(&self) -> (u16, u16) {
        self.size
    }

    /// Sets the size of the terminal, in columns and lines.
    pub(crate) fn resize(&mut self, size: (u16, u16)) {
        if self.size != size {
            self.size = size;
            self.settle();
        }
    }

    /// Whether the screen is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Freezes the screen, or continues. Readings continue while it is frozen, so that nothing is missing afterwards.
    pub(crate) fn freeze_or_go_on(&mut self) {
        self.frozen = match self.frozen {
            None => Some(Box::new(self.readings.clone())),
            Some(_) => None,
        };
    }

    /// The rows from the first visible one on, each with whether it is the selected one.
    pub(crate) fn rows_in_sight(&self) -> impl Iterator<Item = (&Tracked<Shown>, bool)> {
        let rows = self.order.iter().enumerate().skip(self.first);
        rows.filter_map(|(place, &at)| Some((self.shown().rows.get(at)?, place == self.place)))
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.order.len()
    }

    /// The name of a row: the first one.
    pub(crate) fn name(&self, row: &Tracked<Shown>) -> String {
        name(&self.columns.name(row))
    }

    /// The selected row.
    pub(crate) fn selected(&self) -> Option<&Tracked<Shown>> {
        self.shown().rows.get(*self.order.get(self.place)?)
    }

    /// Moves the selection by this many rows.
    pub(crate) fn move_by(&mut self, rows: isize) {
        self.select(self.place.saturating_add_signed(rows));
    }

    /// Selects the row at this index, or the last.
    pub(crate) fn select(&mut self, place: usize) {
        self.place = place.min(self.order.len().saturating_sub(1));
        self.selected = self.selected().map(|row| row.id);
    }

    /// Updates everything that depends on what changed: which rows there are and in which order, where the selected row
    /// is among them, and which part of them is visible.
    pub(crate) fn settle(&mut self) {
        let History { rows, .. } = &**self.shown();
        let mut order: Vec<usize> = (0..rows.len()).filter(|&at| self.keeps(&rows[at])).collect();
        order.sort_by(|&a, &b| self.sort.compare(&self.columns, &rows[a], &rows[b]));
        match self.selected.map(|id| (id, order.iter().position(|&at| rows[at].id == id))) {
            None => self.place = 0,
            Some((_, Some(place))) => self.place = place,
            // It is no longer among the rows: the row now in its place is selected.
            Some((id, None)) => {
                let is_gone = !rows.iter().any(|row| row.id == id);
                let place = self.place.min(order.len().saturating_sub(1));
                self.selected = Some(order.get(place).map_or(id, |&at| rows[at].id));
                self.place = place;
                if is_gone && self.pane == Pane::Detail {
                    self.notice = Some(format!("the selected {} is gone", self.spec.rows[0]));
                }
            }
        }
        self.order = order;
        let height = usize::from(super::Regions::of(self).rows.height).max(1);
        let least = (self.place + 1).saturating_sub(height);
        // No empty lines below the last row, as long as there are rows above.
        self.first = self.first.clamp(least, self.place.max(least)).min(self.order.len().saturating_sub(height));
    }

    fn keeps(&self, row: &Tracked<Shown>) -> bool {
        let size = || row.courses.first().and_then(Series::last);
        let large = |least| size().is_none_or(|size| i128::from(size) >= i128::from(least));
        let grew = || columns::change(row).is_some_and(|change| change > 0);
        let is_named = self.filter.keeps(&self.columns.name(row));
        is_named && self.least_bytes.is_none_or(large) && (!self.growing || grew())
    }
}
