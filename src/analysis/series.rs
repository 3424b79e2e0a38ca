//! Numbers that are read repeatedly: the course of each, its change per minute, and the rows that they belong to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The unit of time for changes, and the least time something has to be observed before a rate of change is shown.
pub const MINUTE: Duration = Duration::from_secs(60);

/// What a change within `time` comes to within `unit`; `None` if that does not fit in 64 bits, or no time has passed.
pub fn rate(change: i64, time: Duration, unit: Duration) -> Option<i64> {
    let [time, unit] = [time, unit].map(|time| i128::try_from(time.as_micros()).ok());
    i64::try_from(i128::from(change).checked_mul(unit?)?.checked_div(time?)?).ok()
}

/// Into how many parts the window is divided: of the readings in one part, only the last is kept.
const PARTS: u32 = 240;

/// A number that is read repeatedly.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Times and values; times ascend.
    values: VecDeque<(Duration, i64)>,
}

impl Series {
    /// Adds what was read at `at`, and forgets what is not needed for the last `window`. Of a stretch without changes,
    /// only the ends are kept.
    pub fn push(&mut self, at: Duration, value: i64, window: Duration) {
        let place = |number: usize| self.values.get(self.values.len().checked_sub(number)?).copied();
        let is_level = |(_, before)| before == value;
        if place(2).is_some_and(|(before, _)| at.saturating_sub(before) < window / PARTS)
            || (place(1).is_some_and(is_level) && place(2).is_some_and(is_level))
        {
            self.values.pop_back();
        }
        self.values.push_back((at, value));
        let begin = at.saturating_sub(window);
        while self.values.get(1).is_some_and(|(next, _)| *next <= begin) {
            self.values.pop_front();
        }
        // It kept this value until the next one.
        let next = self.values.get(1).map(|(_, value)| *value);
        if let Some((first, value)) = self.values.front_mut()
            && Some(*value) == next
        {
            *first = begin.max(*first);
        }
    }

    /// The last value.
    pub fn last(&self) -> Option<i64> {
        self.values.back().map(|(_, value)| *value)
    }

    /// The first value that is remembered.
    pub fn first(&self) -> Option<i64> {
        self.values.front().map(|(_, value)| *value)
    }

    /// The minimum and the maximum of what is remembered.
    pub fn ends(&self) -> [i64; 2] {
        let values = || self.values.iter().map(|(_, value)| *value);
        [values().min().unwrap_or(0), values().max().unwrap_or(0)]
    }

    /// How long it has been observed.
    pub fn time(&self) -> Duration {
        match (self.values.front(), self.values.back()) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        }
    }

    /// The change per minute. As long as it has been observed for less than a minute, the change so far: a few seconds
    /// say nothing about a minute. `None` for a single value.
    pub fn change_per_minute(&self) -> Option<i64> {
        if self.values.len() < 2 {
            return None;
        }
        rate(self.last()?.saturating_sub(self.first()?), self.time().max(MINUTE), MINUTE)
    }

    /// Its course in the last `window`, as a level from 0 to `highest` for each of `cells` intervals of equal length:
    /// the maximum in each, or else the last value before it. All are 0 if nothing changed. `None` before the first
    /// reading.
    pub fn course(&self, cells: usize, highest: usize, window: Duration) -> Vec<Option<usize>> {
        let now = self.values.back().map_or(Duration::ZERO, |(at, _)| *at);
        let end = |cell: usize| now.checked_sub(window.mul_f64((cells - 1 - cell) as f64 / cells as f64));
        let mut values = self.values.iter().peekable();
        let mut last = None;
        let most: Vec<Option<i64>> = (0..cells)
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
        let range = u128::from(high.abs_diff(low)).max(1);
        // Rounded up, so that no value above the lowest is shown as the lowest.
        let level = |value: i64| (u128::from(value.abs_diff(low)) * highest as u128).div_ceil(range);
        most.into_iter().map(|value| Some(usize::try_from(level(value?)).unwrap_or(highest))).collect()
    }
}

/// A row that is read repeatedly, and the courses of its numbers.
#[derive(Clone, Debug)]
pub struct Tracked<R> {
    /// Stays the same as long as the row exists.
    pub id: u64,
    /// The row as last read.
    pub row: R,
    /// The courses of the numbers that are followed.
    pub courses: Vec<Series>,
    /// Its identity.
    key: String,
}

/// A row of a reading.
#[derive(Clone, Debug)]
pub struct Reading<R> {
    /// Its identity. Rows with the same key are distinguished by their order.
    pub key: String,
    /// The row.
    pub row: R,
    /// The numbers that are followed, the same count for every row; `None` if not known.
    pub values: Vec<Option<i64>>,
}

/// The last reading, and what is remembered from earlier ones.
#[derive(Clone, Debug)]
pub struct History<R> {
    /// The rows in the order of the last reading.
    pub rows: Vec<Tracked<R>>,
    /// The course of a number that belongs to all rows together.
    pub total: Series,
    /// The time of day of the last reading.
    pub clock: String,
    /// Why the last reading failed, or is incomplete.
    pub trouble: Option<String>,
    window: Duration,
    next_id: u64,
}

impl<R> History<R> {
    /// An empty history, for readings that come every `interval`.
    pub fn new(interval: Duration) -> Self {
        let mut new = Self {
            rows: Vec::new(),
            total: Series::default(),
            clock: String::new(),
            trouble: None,
            window: MINUTE,
            next_id: 0,
        };
        new.expect_every(interval);
        new
    }

    /// Readings come every `interval` from now on: a minute is remembered, or longer if only few readings fit in one.
    pub fn expect_every(&mut self, interval: Duration) {
        self.window = MINUTE.max(interval.saturating_mul(12));
    }

    /// How far back it goes.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Adds a reading. `at` is the time since some start, `clock` the time of day.
    pub fn add(&mut self, reading: Vec<Reading<R>>, total: Option<i64>, at: Duration, clock: String) {
        self.clock = clock;
        self.trouble = None;
        if let Some(total) = total {
            self.total.push(at, total, self.window);
        }
        let mut before: BTreeMap<String, VecDeque<Tracked<R>>> = BTreeMap::new();
        for mut tracked in self.rows.drain(..) {
            before.entry(std::mem::take(&mut tracked.key)).or_default().push_back(tracked);
        }
        for Reading { key, row, values } in reading {
            let mut tracked = match before.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(tracked) => Tracked { row, key, ..tracked },
                None => {
                    self.next_id += 1;
                    Tracked { id: self.next_id, row, courses: vec![Series::default(); values.len()], key }
                }
            };
            for (course, value) in tracked.courses.iter_mut().zip(values) {
                if let Some(value) = value {
                    course.push(at, value, self.window);
                }
            }
            self.rows.push(tracked);
        }
    }

    /// Notes that nothing could be read, or not everything.
    pub fn failed(&mut self, why: String) {
        self.trouble = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn series(values: &[(u64, i64)]) -> Series {
        let mut series = Series::default();
        values.iter().for_each(|&(at, value)| series.push(seconds(at), value, MINUTE));
        series
    }

    fn reading(rows: &[(&str, i64)]) -> Vec<Reading<i64>> {
        let row = |&(key, value): &(&str, i64)| Reading { key: key.to_owned(), row: value, values: vec![Some(value)] };
        rows.iter().map(row).collect()
    }

    #[test]
    fn changes_are_those_of_a_minute() {
        let cases: &[(&[(u64, i64)], _)] = &[
            (&[], None),
            (&[(5, 7)], None),
            // Less than a minute: the change so far.
            (&[(0, 100), (3, 130)], Some(30)),
            (&[(0, 100), (60, 700)], Some(600)),
            // The first value is forgotten.
            (&[(0, 100), (30, 200), (60, 700), (90, 900)], Some(700)),
            // A gap of two minutes.
            (&[(0, 100), (120, 700)], Some(300)),
            // A decrease, over less than a minute.
            (&[(0, 500), (1, 100)], Some(-400)),
            (&[(0, i64::MAX), (1, i64::MIN)], Some(i64::MIN)),
            (&[(0, -5), (1, -2)], Some(3)),
            // A minute without a change, and then one.
            (&[(0, 100), (30, 100), (60, 100), (90, 100), (100, 160)], Some(60)),
        ];
        for (values, expected) in cases {
            assert_eq!(series(values).change_per_minute(), *expected, "{values:?}");
        }
    }

    #[test]
    fn a_course_is_between_its_least_and_its_most() {
        let course = |values: &[(u64, i64)], cells| {
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
        // The maximum of an interval, even if it lasted only briefly.
        assert_eq!(course(&[(0, 5), (20, 5), (31, 9), (32, 5), (60, 5)], 4), "0070");
        assert_eq!(course(&[(40, i64::MIN), (60, i64::MAX)], 6), "   007");
        assert_eq!(course(&[(0, 1)], 0), "");
    }

    #[test]
    fn memory_is_bounded() {
        let mut series = Series::default();
        for millis in 0..200_000_u32 {
            series.push(Duration::from_millis(millis.into()), millis.into(), MINUTE);
        }
        assert!(series.values.len() <= PARTS as usize + 3, "{}", series.values.len());
        assert_eq!(series.change_per_minute(), Some(60_000));
        assert_eq!(series.last(), Some(199_999));
        // A number that does not change takes no room, and its time is not lost.
        for seconds in 0..200 {
            series.push(Duration::from_secs(200 + seconds), 7, MINUTE);
        }
        assert_eq!((series.values.len(), series.time()), (2, MINUTE));
    }

    #[test]
    fn rows_are_followed_by_their_keys() {
        let mut history = History::new(seconds(1));
        let state = |history: &History<i64>| {
            let of = |row: &Tracked<i64>| (row.id, row.courses[0].change_per_minute());
            history.rows.iter().map(of).collect::<Vec<_>>()
        };
        history.add(reading(&[("a", 10), ("b", 20), ("a", 30)]), Some(1), seconds(0), "1".to_owned());
        assert_eq!(state(&history), [(1, None), (2, None), (3, None)]);
        // In another order; a name twice; one that is new.
        history.add(reading(&[("new", 1), ("b", 25), ("a", 10), ("a", 20)]), Some(1), seconds(1), "2".to_owned());
        assert_eq!(state(&history), [(4, None), (2, Some(5)), (1, Some(0)), (3, Some(-10))]);
        // A row that disappeared and came back is a new one.
        history.add(reading(&[("a", 10)]), Some(1), seconds(2), "3".to_owned());
        history.add(reading(&[("a", 10), ("b", 25)]), Some(1), seconds(3), "4".to_owned());
        assert_eq!(state(&history), [(1, Some(0)), (5, None)]);
    }

    #[test]
    fn what_fails_leaves_the_last_numbers() {
        let mut history = History::new(seconds(1));
        history.add(reading(&[("a", 10)]), Some(1), seconds(0), "1".to_owned());
        history.failed("/proc/slabinfo: permission denied".to_owned());
        assert_eq!((history.rows.len(), history.clock.as_str()), (1, "1"));
        assert_eq!(history.trouble.as_deref(), Some("/proc/slabinfo: permission denied"));
        history.add(reading(&[("a", 10)]), Some(1), seconds(2), "3".to_owned());
        assert_eq!((history.trouble.as_deref(), history.clock.as_str()), (None, "3"));
    }

    #[test]
    fn few_readings_a_minute_need_a_longer_time() {
        assert_eq!(History::<()>::new(seconds(1)).window(), MINUTE);
        assert_eq!(History::<()>::new(seconds(10)).window(), seconds(120));
        assert_eq!(History::<()>::new(Duration::MAX).window(), Duration::MAX);
    }
}
