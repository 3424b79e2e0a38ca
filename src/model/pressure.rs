//! `/proc/pressure/memory`: the share of time lost waiting for memory. (kernel/sched/psi.c)

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};

/// Memory pressure, from `/proc/pressure/memory`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pressure {
    /// The share of time in which at least one task was stalled on memory.
    pub some: Share,
    /// The share of time in which all non-idle tasks were stalled on memory.
    pub full: Share,
}

/// Shares of time in percent, and the total since boot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PressureShare"))]
pub struct Share {
    /// Over the last 10 seconds, in percent.
    #[serde(rename = "avg10_percent")]
    pub avg10: f64,
    /// Over the last minute, in percent.
    #[serde(rename = "avg60_percent")]
    pub avg60: f64,
    /// Over the last five minutes, in percent.
    #[serde(rename = "avg300_percent")]
    pub avg300: f64,
    /// The total since boot, in microseconds.
    pub total_us: u64,
}

/// Parses the file.
///
/// # Errors
/// [`Error::Malformed`].
pub fn parse(text: &[u8], path: &Path) -> Result<Pressure> {
    let text = std::str::from_utf8(text).map_err(|_| Error::malformed(path, 1, "not UTF-8"))?;
    let find = |name: &str| text.lines().find_map(|line| share(line.strip_prefix(name)?));
    match (find("some "), find("full ")) {
        (Some(some), Some(full)) => Ok(Pressure { some, full }),
        _ => Err(Error::malformed(path, 1, "expected 'some avg10=…' and 'full avg10=…'")),
    }
}

fn share(line: &str) -> Option<Share> {
    let value = |name: &str| line.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let percent = |name| value(name)?.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    Some(Share {
        avg10: percent("avg10")?,
        avg60: percent("avg60")?,
        avg300: percent("avg300")?,
        total_us: value("total")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINUX_6_18: &str =
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";

    #[test]
    fn shares_are_read() {
        let pressure = parse(LINUX_6_18.as_bytes(), Path::new("p")).unwrap();
        assert_eq!((pressure.some.avg10, pressure.some.avg60, pressure.some.total_us), (1.5, 0.25, 1234));
        assert_eq!((pressure.full.avg10, pressure.full.total_us), (0.0, 7));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for bad in ["", "some avg10=1", &LINUX_6_18.replace("1.50", "NaN"), &LINUX_6_18.replace("1.50", "1e300")] {
            assert!(parse(bad.as_bytes(), Path::new("p")).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text, Path::new("p"));
        }
    }
}
