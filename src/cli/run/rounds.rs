//! Rounds: the one loop for every command that repeats.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How often, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Rounds {
    /// How many; `None` for an endless loop.
    pub(in crate::cli) count: Option<u32>,
    /// The time from the beginning of one to that of the next.
    pub(in crate::cli) interval: Duration,
}

impl Rounds {
    /// A single round.
    pub(in crate::cli) const ONE: Self = Self { count: Some(1), interval: Duration::from_secs(1) };

    /// Whether there are several rounds.
    pub(in crate::cli) fn is_repeated(&self) -> bool {
        self.count != Some(1)
    }

    /// Runs `round` for each, with its number counted from 0, until it says that it was the last.
    ///
    /// Rounds begin one interval apart, however long they take. A late one does not delay the others; if rounds take
    /// longer than the interval, missed ones are not made up for.
    pub(in crate::cli) fn each(&self, mut round: impl FnMut(u32) -> Result<Flow>) -> Result<()> {
        let mut next = Instant::now();
        for number in 0.. {
            if round(number)? == Flow::Last || self.count.is_some_and(|count| number + 1 >= count) {
                break;
            }
            next = following(next, self.interval, Instant::now());
            sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}

/// When the next round begins after one that was due at `due`, if the time is `now`.
pub(super) fn following(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next + interval < now { now } else { next }
}

/// Whether there are more rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Flow {
    /// There are more.
    GoOn,
    /// This was the last one.
    Last,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_round_does_not_make_others_late() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let second = Duration::from_secs(1);
        assert_eq!(following(start, second, at(10)), at(1000));
        assert_eq!(following(start, second, at(1500)), at(1000), "at once");
        assert_eq!(following(at(1000), second, at(1600)), at(2000));
        // Several were missed: they are not made up for.
        assert_eq!(following(start, second, at(5300)), at(5300));
    }

    #[test]
    fn rounds_do_not_drift() {
        let rounds = Rounds { count: Some(6), interval: Duration::from_millis(40) };
        let (began, mut begins) = (Instant::now(), Vec::new());
        let round = |number| {
            begins.push(began.elapsed());
            assert_eq!(number as usize + 1, begins.len());
            sleep(Duration::from_millis(25));
            Ok(Flow::GoOn)
        };
        rounds.each(round).unwrap();
        // With pauses of 40 ms it would be 325.
        assert!(begins.len() == 6 && begins[5] >= Duration::from_millis(200), "{begins:?}");
        assert!(begins[5] < Duration::from_millis(300), "{begins:?}");
    }

    #[test]
    fn a_round_can_be_the_last() {
        let mut done = 0;
        let round = |_| {
            done += 1;
            Ok(if done == 2 { Flow::Last } else { Flow::GoOn })
        };
        Rounds { count: None, interval: Duration::from_millis(1) }.each(round).unwrap();
        assert_eq!(done, 2);
    }
}
