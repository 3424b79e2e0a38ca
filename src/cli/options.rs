//! The options that every command takes.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use super::run::rounds::Rounds;
use super::status::UsageError;
use crate::unit::decimal;
use crate::view::size::Unit;

/// Options that are accepted before or after the command.
#[derive(Debug, Args)]
pub struct GlobalOptions {
    /// Read a tree recorded by 'pmem capture' instead of the live machine
    #[arg(long, global = true, value_name = "DIR", default_value = "/", hide_default_value = true, help_heading = GLOBAL)]
    pub root: PathBuf,
    /// Output format
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table, help_heading = GLOBAL)]
    pub format: Format,
    /// Same as --format json
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Columns to show, in this order; +NAME adds to the default; 'help' lists them
    #[arg(short = 'o', long, global = true, value_name = "LIST", help_heading = GLOBAL)]
    pub columns: Option<String>,
    /// Sort by this column; descending with a leading '-'
    #[arg(short, long, global = true, value_name = "[-]COLUMN", allow_hyphen_values = true, help_heading = GLOBAL)]
    pub sort: Option<String>,
    /// Omit the header row
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub no_headings: bool,
    #[command(flatten)]
    units: Units,
    /// Write to a new file (mode 0600) instead of standard output
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub out: Option<PathBuf>,
    /// Let --out replace an existing file
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub force: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = When::Auto, help_heading = GLOBAL)]
    pub color: When,
    /// Print less on standard error
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// Print more on standard error
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub verbose: bool,
}

const GLOBAL: &str = "Global options";

/// The unit of sizes and page counts.
#[derive(Debug, Args)]
struct Units {
    /// Sizes and page counts in bytes
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    bytes: bool,
    /// Sizes and page counts in KiB
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    kib: bool,
    /// Sizes and page counts in MiB
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    mib: bool,
    /// Sizes in pages as well
    // A number, so that `pmem demo` can have an option of this name that takes one.
    #[arg(long, global = true, action = ArgAction::SetTrue, value_parser = as_unit(), help_heading = GLOBAL)]
    pages: usize,
}

/// The value of `--pages` given without a number.
pub(super) const PAGES_AS_UNIT: usize = usize::MAX;

fn as_unit() -> impl TypedValueParser<Value = usize> {
    BoolValueParser::new().map(|given| if given { PAGES_AS_UNIT } else { 0 })
}

impl GlobalOptions {
    /// Refuses options that contradict each other, which clap does not check for global options. `writes_a_file`: the
    /// command writes a file through an option of its own.
    ///
    /// # Errors
    /// [`UsageError::Invalid`].
    pub fn check(&self, writes_a_file: bool) -> Result<(), UsageError> {
        let Units { bytes, kib, mib, pages } = self.units;
        let pages = pages == PAGES_AS_UNIT;
        let wrong = |text: &str| Err(UsageError::Invalid(text.to_owned()));
        if [bytes, kib, mib, pages].into_iter().filter(|&unit| unit).count() > 1 {
            return wrong("--bytes, --kib, --mib and --pages are mutually exclusive");
        }
        if self.json && !matches!(self.format, Format::Table | Format::Json) {
            return wrong("--json conflicts with --format");
        }
        if self.quiet && self.verbose {
            return wrong("--quiet conflicts with --verbose");
        }
        if self.force && self.out.is_none() && !writes_a_file {
            return wrong("--force requires --out");
        }
        Ok(())
    }

    /// Whether `--columns help` asks for a list of the columns.
    pub fn asks_for_columns(&self) -> bool {
        self.columns.as_deref() == Some("help")
    }

    /// The output format.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// The unit of sizes.
    pub fn unit(&self) -> Unit {
        match &self.units {
            Units { bytes: true, .. } => Unit::Bytes,
            Units { kib: true, .. } => Unit::Kib,
            Units { mib: true, .. } => Unit::Mib,
            Units { pages: PAGES_AS_UNIT, .. } => Unit::Pages,
            _ => Unit::Human,
        }
    }
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    Table,
    /// One JSON document
    Json,
    /// One JSON object per row
    Jsonl,
    /// Comma-separated values, numbers without units
    Csv,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options for repeating a command.
#[derive(Debug, Args)]
pub struct Repeat {
    /// Repeat every SECONDS; each round shows the change since the previous one
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub delay: Option<Duration>,
    /// Stop after N rounds (one per second unless -d is given)
    #[arg(short = 'n', long, value_name = "N", value_parser = rounds)]
    pub count: Option<NonZeroU32>,
}

impl Repeat {
    /// The rounds; one by default.
    pub(super) fn rounds(&self) -> Rounds {
        let count = match (self.delay, self.count) {
            (_, Some(count)) => Some(count.get()),
            (Some(_), None) => None,
            (None, None) => Some(1),
        };
        Rounds { count, interval: self.delay.unwrap_or(Duration::from_secs(1)) }
    }
}

/// Options for repeating on a live screen, or like [`Repeat`].
#[derive(Debug, Args)]
pub struct Top {
    /// Live screen; without a terminal, print repeated tables
    ///
    /// Letters sort by column, / filters, g shows what grows, space freezes, Enter shows a row in detail, ? lists all
    /// keys, and q quits. -d sets the interval between readings, -o the columns, -s the order, and -n ends it after N
    /// readings.
    #[arg(long)]
    pub top: bool,
    /// The rounds.
    #[command(flatten)]
    pub repeat: Repeat,
}

impl Top {
    /// The rounds; one by default.
    pub(super) fn rounds(&self) -> Rounds {
        let rounds = self.repeat.rounds();
        Rounds { count: rounds.count.filter(|_| !self.top || self.repeat.count.is_some()), ..rounds }
    }
}

/// A size in bytes, or with the suffix K, M, G or T in KiB, MiB, GiB or TiB.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let digits = upper.trim_end_matches("IB").trim_end_matches('B');
    let powers = ["K", "M", "G", "T"];
    let (digits, power) = powers
        .iter()
        .zip(1_u32..)
        .find_map(|(letter, power)| Some((digits.strip_suffix(letter)?, power)))
        .unwrap_or((digits, 0));
    let bytes = decimal(digits).and_then(|number| number.checked_mul(1 << (10 * power)));
    bytes.ok_or_else(|| "expected bytes, or a number with the suffix K, M, G or T".to_owned())
}

/// The number of rounds.
fn rounds(text: &str) -> Result<NonZeroU32, String> {
    let number = decimal(text).ok_or_else(|| "expected a number of rounds".to_owned())?;
    let number = u32::try_from(number).map_err(|_| format!("at most {}", u32::MAX))?;
    NonZeroU32::new(number).ok_or_else(|| "at least 1".to_owned())
}

/// A time to wait.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.01..=86_400.0 * 365.0).contains(&seconds) {
        return Err("expected 0.01 seconds to one year".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_one_at_least() {
        assert_eq!(rounds("1").map(NonZeroU32::get), Ok(1));
        assert_eq!(rounds("0"), Err("at least 1".to_owned()));
        for wrong in ["", "-1", "x", "4294967296"] {
            assert!(rounds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        let good =
            [("0", 0), ("512", 512), ("64K", 65536), ("10m", 10 << 20), ("1GiB", 1 << 30), ("2tb", 2 << 40), ("7B", 7)];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "K", "-1", "1.5M", "1X", "99999999999T", "1 K"] {
            assert!(size(wrong).is_err(), "{wrong:?}");
        }
    }
}
