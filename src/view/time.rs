//! Points in time, for people and for programs.
//!
//! This uses `chrono`: `jiff` searches the whole time zone database for the name of the local zone, which took longer
//! than everything else `pmem frames` does for a small process.

use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat, TimeDelta, TimeZone, Utc};

/// The current time in UTC, in the form of RFC 3339, to the second.
pub(crate) fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Like [`now`], to the millisecond.
pub(crate) fn now_to_the_millisecond() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The current local time of day, such as `22:41:07`.
pub(crate) fn clock() -> String {
    Local::now().format("%H:%M:%S").to_string()
}

/// A duration in its two largest units: `1 h 2 min`; `0.25 s`.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |large: u64, large_name, small: u64, small_name| match small {
        0 => format!("{large} {large_name}"),
        _ => format!("{large} {large_name} {small} {small_name}"),
    };
    match seconds {
        0..10 => format!("{} s", (time.as_secs_f64() * 100.0).round() / 100.0),
        10..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// The time zone in which points in time are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// The user's time zone.
    Local,
    /// UTC: for recorded trees, which may come from another place.
    Utc,
}

/// When a process started: the time of day within the last day, else the date. `boot_time` is in seconds since 1970;
/// `ticks` count from boot.
pub(crate) fn started(boot_time: i64, ticks: u64, clock_ticks: u64, zone: Zone) -> Option<String> {
    let seconds = boot_time.checked_add(i64::try_from(ticks / clock_ticks.max(1)).ok()?)?;
    let start = DateTime::from_timestamp(seconds, 0)?;
    let recent = Utc::now().signed_duration_since(start) < TimeDelta::hours(24);
    let form = if recent { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    Some(match zone {
        Zone::Local => Local.from_utc_datetime(&start.naive_utc()).format(form).to_string(),
        Zone::Utc => start.format(form).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_boot_time_and_ticks() {
        let started = |ticks| started(1_700_000_000, ticks, 100, Zone::Utc);
        assert_eq!(started(6_000).as_deref(), Some("2023-11-14 22:14"));
        assert_eq!(started(u64::MAX), None);
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, words) in [
            (0.25, "0.25 s"),
            (9.0, "9 s"),
            (59.9, "59 s"),
            (61.0, "1 min 1 s"),
            (3600.0, "1 h"),
            (90_000.0, "1 d 1 h"),
            (f64::from(u32::MAX), "49710 d 6 h"),
        ] {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), words);
        }
    }
}
