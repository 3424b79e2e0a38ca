//! The live screen of `pmem where --top`.

use crate::analysis::r#where::ledger::{Bound, Part};
use crate::analysis::r#where::{Report, Row};
use crate::view::screen::{CHANGE, Live, OF_CHANGES, Said, Spec, Sum, pick};
use crate::view::size::Scale;

/// The screen of the ledger's lines.
pub(crate) enum Lines {}

impl Live for Lines {
    type Row = Row;
    type Report = Report;

    const SPEC: Spec = Spec {
        command: "where",
        rows: ["line", "lines"],
        identity: &["name"],
        followed: &["bytes"],
        columns: &[
            pick('b', "bytes", 11),
            pick('s', "share_percent", 8).heading("SHARE %").help("share"),
            pick('d', CHANGE, 10),
            pick('t', "since_start_bytes", 7),
            pick('c', "source", 1),
            pick('n', "title", u8::MAX).also("name"),
        ],
        sort: 'b',
        help: &[
            "SIZE: the lines add up to MemTotal; what no counter covers is 'unaccounted'.",
            "SINCE START: the change since the first reading of this screen.",
            OF_CHANGES,
            "Growing (g): the size is larger than a minute ago.",
            "Bars: a line's size, scaled from minimum to maximum; flat: no change.",
        ],
    };

    fn total(report: &Report) -> Option<(&'static str, i64)> {
        Some(("available", i64::try_from(report.available.bytes?).unwrap_or(i64::MAX)))
    }

    fn sums(report: &Report, scale: &Scale, _is_whole: bool) -> Vec<Sum> {
        let total = scale.sized(report.total_bytes.unsigned_abs());
        let mut sums = vec![Sum::new(6, format!("MemTotal {total}"))];
        sums.extend(report.available.free_bytes.map(|bytes| Sum::new(3, format!("{} free", scale.sized(bytes)))));
        if let Some(pressure) = &report.pressure {
            let (some, full) = (pressure.some.avg10, pressure.full.avg10);
            sums.push(Sum::new(4, format!("pressure (10 s) some {some:.1} % full {full:.1} %")));
        }
        sums.extend(report.verdict_text.iter().map(|text| Sum::new(5, text.clone())));
        sums
    }

    fn detail(row: &Row, scale: &Scale, _room: (usize, usize)) -> Option<Vec<Said>> {
        let mut lines: Vec<Said> = vec![("counted by".into(), row.line.source.to_owned())];
        if let (Some(bytes), Some(share)) = (row.line.bytes, row.share_percent) {
            let sign = if bytes < 0 { "−" } else { "" };
            let size = scale.sized(bytes.unsigned_abs());
            lines.push(("size".into(), format!("{sign}{size}, {share:.1} % of MemTotal").replace(" -", " −")));
        }
        lines.extend(row.line.parts.iter().filter(|part| part.bytes != 0).map(|part| of_part(part, scale)));
        lines.extend(row.line.note.map(|note| ("note".into(), note.to_owned())));
        Some(lines)
    }

    /// A negative size: counters contradict each other.
    fn is_wrong(row: &Row, field: &str) -> bool {
        matches!(field, "bytes" | "share_percent") && row.line.bytes.is_some_and(|bytes| bytes < 0)
    }
}

/// A part of a line.
fn of_part(part: &Part, scale: &Scale) -> Said {
    let bound = match part.bound {
        Bound::Exact => "",
        Bound::AtMost => "at most ",
        Bound::AtLeast => "at least ",
    };
    let sign = if part.bytes < 0 { "−" } else { "" };
    let size = scale.sized(part.bytes.unsigned_abs());
    ("".into(), format!("{bound}{sign}{size} {} ({})", part.name, part.source))
}
