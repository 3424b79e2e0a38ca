//! What the slab caches did lately: readings one after the other, their changes per minute and the course of each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::analysis::slab::{Reading, Reconcile, Row, Totals};
use crate::name::Name;
use crate::unit::difference;

/// The time that changes are given for, and the least that something has to be looked at for before anything is said of how
/// fast it changes.
pub const MINUTE: Duration = Duration::from_secs(60);

/// What a change within `time` would be within `unit`; `None` where that is no number of 64 bits, or no time went by.
pub fn rate(change: i64, time: Duration, unit: Duration) -> Option<i64> {
    let [time, unit] = [time, unit].map(|time| i128::try_from(time.as_micros()).ok());
    i64::try_from(i128::from(change).checked_mul(unit?)?.checked_div(time?)?).ok()
}

/// Into how many parts the window is divided: of readings in the same part, the last one is kept.
const PARTS: u32 = 240;

/// A number that was read again and again.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// When, and what; ascending.
    values: VecDeque<(Duration, u64)>,
}

impl Series {
    /// Adds what was read at `at`, and forgets what is not needed to tell of the last `window`.
    pub fn push(&mut self, at: Duration, value: u64, window: Duration) {
        let place = |number: usize| self.values.get(self.values.len().checked_sub(number)?).map(|(at, _)| *at);
        if place(2).is_some_and(|before| at.saturating_sub(before) < window / PARTS) {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        let begin = at.saturating_sub(window);
        while self.values.get(1).is_some_and(|(next, _)| *next <= begin) {
            self.values.pop_front();
        }
    }

    /// The last value.
    pub fn last(&self) -> Option<u64> {
        self.values.back().map(|(_, value)| *value)
    }

    /// The first value that is remembered.
    pub fn first(&self) -> Option<u64> {
        self.values.front().map(|(_, value)| *value)
    }

    /// The least and the most of what is remembered.
    pub fn ends(&self) -> [u64; 2] {
        let values = || self.values.iter().map(|(_, value)| *value);
        [values().min().unwrap_or(0), values().max().unwrap_or(0)]
    }

    /// How long it was looked at.
    pub fn time(&self) -> Duration {
        match (self.values.front(), self.values.back()) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        }
    }

    /// The change within a minute. As long as it was looked at for less, the change so far: what a few seconds saw says
    /// nothing about a minute. `None` for a single value.
    pub fn change_per_minute(&self) -> Option<i64> {
        if self.values.len() < 2 {
            return None;
        }
        rate(difference(self.last()?, self.first()?), self.time().max(MINUTE), MINUTE)
    }

    /// Its course in the last `window`, from 0 to `highest` in each of `cells` stretches of equal length: the most in each, or
    /// what was read last before. All are 0 where nothing changed. `None` before the first reading.
    pub fn course(&self, cells: usize, highest: usize, window: Duration) -> Vec<Option<usize>> {
        let now = self.values.back().map_or(Duration::ZERO, |(at, _)| *at);
        let end = |cell: usize| now.checked_sub(window.mul_f64((cells - 1 - cell) as f64 / cells as f64));
        let mut values = self.values.iter().peekable();
        let mut last = None;
        let most: Vec<Option<u64>> = (0..cells)
            .map(|cell| {
                let mut most = None;
                while let Some((_, value)) = values.next_if(|(at, _)| Some(*at) <= end(cell)) {
                    most = most.max(Some(*value));
                    last = Some(*value);
                }
                most.or(last)
            })
            .collect();
        let known = || most.iter().flatten().copied();
        let (low, high) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
        let range = u128::from(high.saturating_sub(low)).max(1);
        // Rounded up: what is above the lowest is not shown as the lowest.
        let level = |value: u64| (u128::from(value.saturating_sub(low)) * highest as u128).div_ceil(range);
        most.into_iter().map(|value| Some(usize::try_from(level(value?)).unwrap_or(highest))).collect()
    }
}

/// A cache, and what it did.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Stays the same as long as the cache is there. (A name may be there twice.)
    pub id: u64,
    /// The cache as it was last.
    pub row: Row,
    /// Its size in bytes.
    pub size: Series,
    /// Its objects in use, at most.
    pub active: Series,
}

/// The memory of all slabs.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Of all slabs, in bytes.
    pub all: Series,
    /// What is read of meminfo and slabinfo last.
    pub reconcile: Reconcile,
    /// slabtop's sums.
    pub totals: Totals,
}

/// The last reading, and what is remembered of those before.
#[derive(Clone, Debug)]
pub struct History {
    /// The caches in the order of slabinfo.
    pub caches: Vec<Tracked>,
    /// The memory of all slabs.
    pub memory: Memory,
    /// The time of day of the last reading.
    pub clock: String,
    /// Why the last reading failed, or is not whole.
    pub trouble: Option<String>,
    window: Duration,
    next_id: u64,
}

impl History {
    /// A history of nothing yet, for readings that come every `interval`.
    pub fn new(interval: Duration) -> Self {
        let mut new = Self {
            caches: Vec::new(),
            memory: Memory::default(),
            clock: String::new(),
            trouble: None,
            window: MINUTE,
            next_id: 0,
        };
        new.expect_every(interval);
        new
    }

    /// Readings come every `interval` from now on: a minute is remembered, or longer where few readings fall into one.
    pub fn expect_every(&mut self, interval: Duration) {
        self.window = MINUTE.max(interval.saturating_mul(12));
    }

    /// How far back it goes.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Adds a reading. `at` is the time since some start, `clock` the time of day. A reading without slabinfo changes nothing
    /// but [`trouble`](Self::trouble).
    pub fn add(&mut self, reading: Reading, at: Duration, clock: String) {
        self.trouble = reading.trouble.map(|error| error.to_string());
        let (Some(totals), Some(reconcile)) = (reading.totals, reading.reconcile) else { return };
        self.clock = clock;
        let bytes = reconcile.meminfo_slab_bytes.or(reconcile.held_bytes).unwrap_or(0);
        self.memory.all.push(at, bytes, self.window);
        self.memory.reconcile = reconcile;
        self.memory.totals = totals;
        let mut before: BTreeMap<Name, VecDeque<Tracked>> = BTreeMap::new();
        for tracked in self.caches.drain(..) {
            before.entry(tracked.row.name.clone()).or_default().push_back(tracked);
        }
        for row in reading.caches {
            let mut tracked = match before.get_mut(&row.name).and_then(VecDeque::pop_front) {
                Some(tracked) => Tracked { row, ..tracked },
                None => {
                    self.next_id += 1;
                    Tracked { id: self.next_id, row, size: Series::default(), active: Series::default() }
                }
            };
            if let Some(counts) = &tracked.row.counts {
                tracked.size.push(at, counts.size_bytes, self.window);
                tracked.active.push(at, counts.cache.active_objects, self.window);
            }
            self.caches.push(tracked);
        }
    }

    /// Nothing could be read.
    pub fn failed(&mut self, why: String) {
        self.trouble = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::slab::{Counts, totals};
    use crate::model::slabinfo::Cache;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn series(values: &[(u64, u64)]) -> Series {
        let mut series = Series::default();
        values.iter().for_each(|&(at, value)| series.push(seconds(at), value, MINUTE));
        series
    }

    fn reading(caches: &[(&str, u64)]) -> Reading {
        let row = |&(name, bytes): &(&str, u64)| Row {
            name: Name::new(name.as_bytes()),
            counts: Some(Counts { cache: Cache::default(), size_bytes: bytes, ..Counts::default() }),
            ..Row::default()
        };
        let caches: Vec<Row> = caches.iter().map(row).collect();
        Reading { totals: Some(totals(&caches)), reconcile: Some(Reconcile::default()), caches, ..Reading::default() }
    }

    #[test]
    fn changes_are_those_of_a_minute() {
        let cases: &[(&[(u64, u64)], _)] = &[
            (&[], None),
            (&[(5, 7)], None),
            // Not yet a minute: what it was so far.
            (&[(0, 100), (3, 130)], Some(30)),
            (&[(0, 100), (60, 700)], Some(600)),
            // The first is forgotten.
            (&[(0, 100), (30, 200), (60, 700), (90, 900)], Some(700)),
            // A gap of two minutes.
            (&[(0, 100), (120, 700)], Some(300)),
            // Backwards, and as far as it goes.
            (&[(0, 500), (1, 100)], Some(-400)),
            (&[(0, u64::MAX), (1, 0)], Some(i64::MIN)),
        ];
        for (values, expected) in cases {
            assert_eq!(series(values).change_per_minute(), *expected, "{values:?}");
        }
    }

    #[test]
    fn a_course_is_between_its_least_and_its_most() {
        let course = |values: &[(u64, u64)], cells| {
            let levels = series(values).course(cells, 7, MINUTE);
            levels
                .into_iter()
                .map(|level| level.map_or(' ', |level| char::from(b'0' + level as u8)))
                .collect::<String>()
        };
        assert_eq!(course(&[], 3), "   ");
        // Before the first reading.
        assert_eq!(course(&[(0, 7), (1, 7)], 3), "  0");
        assert_eq!(course(&[(100, 7)], 3), "  0");
        assert_eq!(course(&[(0, 7), (30, 7), (60, 7)], 4), "0000");
        assert_eq!(course(&[(0, 0), (15, 0), (30, 1), (45, 500), (60, 1000)], 4), "0147");
        // The most of a stretch, also of a short one.
        assert_eq!(course(&[(0, 5), (20, 5), (31, 9), (32, 5), (60, 5)], 4), "0070");
        assert_eq!(course(&[(40, 0), (60, u64::MAX)], 6), "   007");
        assert_eq!(course(&[(0, 1)], 0), "");
    }

    #[test]
    fn memory_is_bounded() {
        let mut series = Series::default();
        for millis in 0..200_000 {
            series.push(Duration::from_millis(millis), millis, MINUTE);
        }
        assert!(series.values.len() <= PARTS as usize + 3, "{}", series.values.len());
        assert_eq!(series.change_per_minute(), Some(60_000));
        assert_eq!(series.last(), Some(199_999));
    }

    #[test]
    fn caches_are_followed_by_name() {
        let mut history = History::new(seconds(1));
        let state = |history: &History| {
            let of = |cache: &Tracked| (cache.id, cache.size.change_per_minute());
            history.caches.iter().map(of).collect::<Vec<_>>()
        };
        history.add(reading(&[("a", 10), ("b", 20), ("a", 30)]), seconds(0), "1".to_owned());
        assert_eq!(state(&history), [(1, None), (2, None), (3, None)]);
        // In another order; a name twice; one that is new.
        history.add(reading(&[("new", 1), ("b", 25), ("a", 10), ("a", 20)]), seconds(1), "2".to_owned());
        assert_eq!(state(&history), [(4, None), (2, Some(5)), (1, Some(0)), (3, Some(-10))]);
        // One that went away and came back is another one.
        history.add(reading(&[("a", 10)]), seconds(2), "3".to_owned());
        history.add(reading(&[("a", 10), ("b", 25)]), seconds(3), "4".to_owned());
        assert_eq!(state(&history), [(1, Some(0)), (5, None)]);
    }

    #[test]
    fn what_fails_leaves_the_last_numbers() {
        let mut history = History::new(seconds(1));
        history.add(reading(&[("a", 10)]), seconds(0), "1".to_owned());
        let error = || crate::error::Error::Denied { path: "/proc/slabinfo".into() };
        history.add(Reading { trouble: Some(error()), ..Reading::default() }, seconds(1), "2".to_owned());
        assert_eq!((history.caches.len(), history.clock.as_str()), (1, "1"));
        assert_eq!(history.trouble.as_deref(), Some("/proc/slabinfo: permission denied"));
        history.add(reading(&[("a", 10)]), seconds(2), "3".to_owned());
        assert_eq!((history.trouble.as_deref(), history.clock.as_str()), (None, "3"));
    }

    #[test]
    fn few_readings_a_minute_need_a_longer_time() {
        assert_eq!(History::new(seconds(1)).window(), MINUTE);
        assert_eq!(History::new(seconds(10)).window(), seconds(120));
        assert_eq!(History::new(Duration::MAX).window(), Duration::MAX);
    }
}
