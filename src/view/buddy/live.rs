//! The live screen of `pmem buddy --top`.

use crate::analysis::physical::buddy::{Buddy, Standing, ZoneReport};
use crate::view::screen::{CHANGE, Live, OF_CHANGES, Said, Spec, Sum, pick};
use crate::view::size::{Scale, grouped_string};

/// The screen of zones.
pub(crate) enum Zones {}

impl Live for Zones {
    type Row = ZoneReport;
    type Report = Buddy;

    const SPEC: Spec = Spec {
        command: "buddy",
        rows: ["zone", "zones"],
        identity: &["node", "zone"],
        followed: &["free_bytes"],
        columns: &[
            pick('n', "node", 12),
            pick('f', "free_bytes", 11).heading("FREE"),
            pick('d', CHANGE, 10),
            pick('p', "per_cpu_pages", 6),
            pick('m', "watermarks.min_pages", 3),
            pick('l', "watermarks.low_pages", 5),
            pick('i', "watermarks.high_pages", 4),
            pick('b', "watermarks.boost_pages", 2),
            pick('u', "free_huge_pages", 7),
            pick('a', "managed_pages", 1),
            pick('s', "watermarks.standing", 8),
            pick('z', "zone", u8::MAX),
        ],
        sort: 'n',
        help: &[
            "FREE: in free blocks; PER-CPU: free pages on per-CPU lists, in no block.",
            "MIN, LOW, HIGH: watermarks with their boost; kswapd is woken below LOW and sleeps above HIGH.",
            "FREE HUGE: huge pages in the free blocks.",
            OF_CHANGES,
            "Growing (g): more is free than a minute ago.",
            "Bars: free memory, scaled from minimum to maximum; flat: no change.",
        ],
    };

    fn total(report: &Buddy) -> Option<(&'static str, i64)> {
        let free = report.zones.iter().fold(0u64, |sum, zone| sum.saturating_add(zone.free_bytes));
        Some(("free", i64::try_from(free).unwrap_or(i64::MAX)))
    }

    fn sums(report: &Buddy, scale: &Scale, _is_whole: bool) -> Vec<Sum> {
        let sum = |of: fn(&ZoneReport) -> u64| report.zones.iter().map(of).fold(0, u64::saturating_add);
        let per_cpu = scale.sized(scale.page_size.bytes_of(sum(|zone| zone.per_cpu_pages)));
        let huge = scale.sized(report.huge_page_bytes);
        let mut sums = vec![
            Sum::new(4, format!("{per_cpu} more on per-CPU lists")),
            Sum::new(3, format!("{} free huge pages of {huge}", grouped_string(sum(|zone| zone.free_huge_pages)))),
        ];
        let low = report.zones.iter().filter(|zone| is_low(zone)).count();
        if low > 0 {
            sums.push(Sum::new(6, format!("below the low watermark: {low}")));
        }
        sums
    }

    fn detail(zone: &ZoneReport, scale: &Scale, _room: (usize, usize)) -> Option<Vec<Said>> {
        let pages = |pages: u64| scale.sized(scale.page_size.bytes_of(pages));
        let marks = &zone.watermarks;
        let level = format!(
            "{} counted as free; min {}, low {}, high {}",
            pages(marks.free_pages),
            pages(marks.min_pages),
            pages(marks.low_pages),
            pages(marks.high_pages)
        );
        let blocks: Vec<String> = zone.free_blocks.iter().map(|blocks| grouped_string(*blocks)).collect();
        let size = format!(
            "{} managed, {} present, {} spanned",
            pages(zone.managed_pages),
            pages(zone.present_pages),
            pages(zone.spanned_pages)
        );
        let mut lines: Vec<Said> = vec![
            ("node".into(), zone.node.to_string()),
            ("free blocks".into(), format!("{} (orders 0 to {})", blocks.join(" "), blocks.len().saturating_sub(1))),
        ];
        if let Some(index) = &zone.unusable_index {
            let shares: Vec<String> = index.iter().map(|share| format!("{:.0}", share * 100.0)).collect();
            lines.push((
                "too small".into(),
                format!("{} % of free memory, for a request of each order", shares.join(" ")),
            ));
        }
        lines.extend([("watermarks".into(), level), ("size".into(), size)]);
        Some(lines)
    }

    fn is_wrong(zone: &ZoneReport, field: &str) -> bool {
        field == "watermarks.standing" && is_low(zone)
    }
}

/// Whether kswapd is awake, or worse.
fn is_low(zone: &ZoneReport) -> bool {
    matches!(zone.watermarks.standing, Standing::AboveMin | Standing::AtMin)
}
