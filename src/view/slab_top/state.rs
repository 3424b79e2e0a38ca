//! What the live screen shows: the readings, and what the person in front of it chose.

use std::time::Duration;

use regex_lite::Regex;

use super::columns::{self, Sort};
use crate::analysis::slab::history::{History, Tracked};
use crate::analysis::slab::{Details, Reading, Row};
use crate::view::size::Scale;

/// Which caches are shown by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    text: String,
    regex: Option<Regex>,
    is_plain: bool,
}

impl Filter {
    /// A filter for names that match `text`: a regular expression, or while it is none, plain text.
    pub(crate) fn new(text: &str) -> Self {
        let regex = Regex::new(text);
        let is_plain = regex.is_err();
        let plain = |_| Regex::new(&regex_lite::escape(text));
        Self { text: text.to_owned(), regex: regex.or_else(plain).ok(), is_plain }
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is taken for plain text.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    fn keeps(&self, row: &Row) -> bool {
        self.regex.as_ref().is_none_or(|regex| row.names().any(|name| name.matches(regex)))
    }
}

/// What lies over the table, or below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    /// Nothing: the table has the screen.
    #[default]
    None,
    /// All of the selected cache.
    Detail,
    /// The keys.
    Help,
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub(crate) struct State {
    history: History,
    /// What is shown while the screen is frozen.
    frozen: Option<Box<History>>,
    /// The time between two readings.
    interval: Duration,
    /// What the table is sorted by.
    pub sort: Sort,
    /// Which names are shown.
    pub filter: Filter,
    /// Whether keys go into the filter.
    pub is_typing: bool,
    /// Caches of fewer bytes are not shown.
    pub least_bytes: Option<u64>,
    /// Whether only those are shown that grew.
    pub growing: bool,
    /// How quantities are written.
    pub scale: Scale,
    /// What is open.
    pub pane: Pane,
    /// What was read for the selected cache alone: its id, and the files of its directory.
    pub details: Option<(u64, Details)>,
    /// Something that happened, shown until the next key.
    pub notice: Option<String>,
    /// The columns and lines of the terminal.
    size: (u16, u16),
    /// The rows in the order they are shown, as places in the history.
    order: Vec<usize>,
    /// The id of the selected cache; `None` as long as nobody chose: then the first row, whatever it is.
    selected: Option<u64>,
    /// The place of the selected row in `order`.
    place: usize,
    /// The first row that is in sight.
    first: usize,
}

impl State {
    /// A screen without readings.
    pub(crate) fn new(interval: Duration, scale: Scale, size: (u16, u16)) -> Self {
        Self {
            history: History::new(interval),
            frozen: None,
            interval,
            sort: Sort::default(),
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

    /// The readings that are shown.
    pub(crate) fn shown(&self) -> &History {
        self.frozen.as_deref().unwrap_or(&self.history)
    }

    /// Adds a reading: see [`History::add`].
    pub(crate) fn add(&mut self, reading: Reading, at: Duration, clock: String) {
        self.history.add(reading, at, clock);
        self.settle();
    }

    /// Nothing could be read.
    pub(crate) fn failed(&mut self, why: String) {
        self.history.failed(why);
        self.settle();
    }

    /// The time between two readings.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Sets the time between two readings.
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
        self.history.expect_every(interval);
    }

    /// The columns and lines of the terminal.
    pub(crate) fn size(&self) -> (u16, u16) {
        self.size
    }

    /// The terminal has so many columns and lines.
    pub(crate) fn resize(&mut self, size: (u16, u16)) {
        if self.size != size {
            self.size = size;
            self.settle();
        }
    }

    /// Whether the screen stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Stops the screen, or lets it go on. Readings go on meanwhile, so that nothing is missing afterwards.
    pub(crate) fn freeze_or_go_on(&mut self) {
        self.frozen = match self.frozen {
            None => Some(Box::new(self.history.clone())),
            Some(_) => None,
        };
    }

    /// The rows from the first that is in sight, each with whether it is the selected one.
    pub(crate) fn rows_in_sight(&self) -> impl Iterator<Item = (&Tracked, bool)> {
        let rows = self.order.iter().enumerate().skip(self.first);
        rows.filter_map(|(place, &at)| Some((self.shown().caches.get(at)?, place == self.place)))
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.order.len()
    }

    /// The selected cache.
    pub(crate) fn selected(&self) -> Option<&Tracked> {
        self.shown().caches.get(*self.order.get(self.place)?)
    }

    /// Selects the row so many places away.
    pub(crate) fn move_by(&mut self, rows: isize) {
        self.select(self.place.saturating_add_signed(rows));
    }

    /// Selects the row of this place, or the last.
    pub(crate) fn select(&mut self, place: usize) {
        self.place = place.min(self.order.len().saturating_sub(1));
        self.selected = self.selected().map(|cache| cache.id);
    }

    /// Brings everything in line with what changed: which rows there are and in which order, where the selected cache is
    /// among them, and which part of them is in sight.
    pub(crate) fn settle(&mut self) {
        let History { caches, .. } = self.shown();
        let mut order: Vec<usize> = (0..caches.len()).filter(|&at| self.keeps(&caches[at])).collect();
        order.sort_by(|&a, &b| self.sort.compare(&caches[a], &caches[b]));
        match self.selected.map(|id| (id, order.iter().position(|&at| caches[at].id == id))) {
            None => self.place = 0,
            Some((_, Some(place))) => self.place = place,
            // Not among the rows any more: what has its place now is selected.
            Some((id, None)) => {
                let is_gone = !caches.iter().any(|cache| cache.id == id);
                let place = self.place.min(order.len().saturating_sub(1));
                self.selected = Some(order.get(place).map_or(id, |&at| caches[at].id));
                self.place = place;
                if is_gone && self.pane == Pane::Detail {
                    self.notice = Some("the selected cache is gone".to_owned());
                }
            }
        }
        self.order = order;
        let height = usize::from(super::Regions::of(self).rows.height).max(1);
        let least = (self.place + 1).saturating_sub(height);
        // No empty lines below the last row, as long as there are rows above.
        self.first = self.first.clamp(least, self.place.max(least)).min(self.order.len().saturating_sub(height));
    }

    fn keeps(&self, cache: &Tracked) -> bool {
        let large = |least| cache.row.counts.as_ref().is_none_or(|counts| counts.size_bytes >= least);
        let grew = || columns::change(cache).is_some_and(|change| change > 0);
        self.filter.keeps(&cache.row) && self.least_bytes.is_none_or(large) && (!self.growing || grew())
    }
}
