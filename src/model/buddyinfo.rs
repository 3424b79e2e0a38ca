//! `/proc/buddyinfo`: the free blocks of the buddy allocator, by node, zone and order. (mm/vmstat.c)

use std::path::Path;

use super::zoneinfo::head;
use crate::error::{Error, Result};
use crate::unit::decimal;

/// The free blocks of one zone. Pages on per-CPU lists are not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeBlocks {
    /// The node.
    pub node: u32,
    /// The zone's name: letters, digits and underscores.
    pub zone: String,
    /// The number of free blocks of 2^order base pages, by order.
    pub blocks: Vec<u64>,
}

impl FreeBlocks {
    /// The total pages in its free blocks.
    pub fn free_pages(&self) -> u64 {
        pages_from(&self.blocks, 0)
    }
}

/// The pages in blocks of `order` and above, saturating at `u64::MAX`.
pub fn pages_from(blocks: &[u64], order: usize) -> u64 {
    (0u32..).zip(blocks).skip(order).fold(0, |sum, (order, blocks)| {
        sum.saturating_add(blocks.saturating_mul(1u64.checked_shl(order).unwrap_or(u64::MAX)))
    })
}

/// The maximum number of orders accepted: more than 64 would exceed the range of frame numbers.
pub(super) const MOST_ORDERS: usize = 64;

/// The maximum number of zones accepted. Linux has up to 1,024 nodes, and few have memory in more than one zone.
pub(super) const MOST_ZONES: usize = 4096;

/// Parses the file, which has one line per zone with memory.
///
/// # Errors
/// [`Error::Malformed`], also for more orders or zones than any machine has, because later work is quadratic in their number.
pub fn parse(text: &[u8], path: &Path) -> Result<Vec<FreeBlocks>> {
    let lines = text.split(|&b| b == b'\n').zip(1..).filter(|(line, _)| !line.is_empty());
    let mut zones = Vec::new();
    for (line, number) in lines {
        let wrong = |what| Error::malformed(path, number, what);
        let zone = parse_line(line).ok_or_else(|| wrong("expected 'Node NUMBER, zone NAME' and numbers"))?;
        if zone.blocks.len() > MOST_ORDERS || zones.len() == MOST_ZONES {
            return Err(wrong("more orders or zones than a machine has"));
        }
        zones.push(zone);
    }
    Ok(zones)
}

fn parse_line(line: &[u8]) -> Option<FreeBlocks> {
    let (node, zone, blocks) = head(std::str::from_utf8(line).ok()?)?;
    let blocks = blocks.split_ascii_whitespace().map(decimal).collect::<Option<_>>()?;
    Some(FreeBlocks { node, zone: zone.to_owned(), blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      3 
Node 1, zone   Normal   2565   2031   1748   1593   1277    928    635    363    286    208    670 
";

    fn parsed(text: &[u8]) -> Result<Vec<FreeBlocks>> {
        parse(text, Path::new("buddyinfo"))
    }

    #[test]
    fn zones_have_their_blocks_by_order() {
        let zones = parsed(TEXT.as_bytes()).unwrap();
        assert_eq!(zones[0].blocks, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 3]);
        assert_eq!((zones[0].node, zones[0].zone.as_str(), zones[0].free_pages()), (0, "DMA", 3840));
        assert_eq!((zones[1].node, zones[1].zone.as_str(), zones[1].blocks[0]), (1, "Normal", 2565));
        assert_eq!(pages_from(&zones[0].blocks, 10), 3072);
        assert_eq!(pages_from(&zones[0].blocks, 11), 0);
    }

    #[test]
    fn recorded_machines_agree_with_their_zoneinfo() {
        for (buddy, zoneinfo) in [
            (
                &include_bytes!("../../fixtures/6.1/kinds/proc/buddyinfo")[..],
                &include_bytes!("../../fixtures/6.1/kinds/proc/zoneinfo")[..],
            ),
            (
                include_bytes!("../../fixtures/6.12/kinds/proc/buddyinfo"),
                include_bytes!("../../fixtures/6.12/kinds/proc/zoneinfo"),
            ),
        ] {
            let zones = super::super::zoneinfo::parse(zoneinfo, Path::new("zoneinfo")).unwrap();
            for free in parsed(buddy).unwrap() {
                let zone = zones.iter().find(|zone| (zone.node, &zone.name) == (free.node, &free.zone)).unwrap();
                assert_eq!(free.free_pages(), zone.free, "{}", zone.name);
            }
        }
    }

    #[test]
    fn sums_do_not_overflow_and_there_is_an_end_to_orders_and_zones() {
        let line = |orders| format!("Node 0, zone X {}\n", "18446744073709551615 ".repeat(orders));
        let zones = parsed(line(64).as_bytes()).unwrap();
        assert_eq!((zones[0].blocks.len(), zones[0].free_pages()), (64, u64::MAX));
        assert!(matches!(parsed(line(65).as_bytes()), Err(Error::Malformed { line: 1, .. })));
        assert_eq!(parsed(line(1).repeat(4096).as_bytes()).unwrap().len(), 4096);
        assert!(matches!(parsed(line(1).repeat(4097).as_bytes()), Err(Error::Malformed { line: 4097, .. })));
        assert!(parsed(b"Node 0, zone X\n").unwrap()[0].blocks.is_empty());
        assert_eq!(parsed(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_buddyinfo_is_refused() {
        for bad in [
            &b"Node 0, zone DMA 1 x\n"[..],
            b"Node 0, zone DMA 1 +2\n",
            b"zone DMA 1\n",
            b"Node 0, zone \xff 1\n",
            b"Node 0 zone DMA 1\n",
        ] {
            assert!(matches!(parsed(bad), Err(Error::Malformed { line: 1, .. })), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parsed(&text);
        }

        #[test]
        fn a_damaged_file_gives_a_value_or_an_error(at in 0..TEXT.len(), byte in any::<u8>()) {
            let mut text = TEXT.as_bytes().to_vec();
            text[at] = byte;
            let _ = parsed(&text);
        }
    }
}
