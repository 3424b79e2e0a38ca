//! CPU and node lists in sysfs format: `0-3,8`, or an empty line. (lib/vsprintf.c, `%*pbl`)

use std::ops::RangeInclusive;

use crate::unit::decimal;

/// The maximum number of ranges accepted: a machine has at most 8,192 CPUs, and adjacent CPUs share a range.
const MOST_RANGES: usize = 4096;

/// The list: ascending, disjoint ranges. Ranges are not expanded, because a recorded tree can claim any size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdList(Vec<RangeInclusive<u32>>);

impl IdList {
    /// Parses the file; `None` if it is not such a list, or too long.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text| u32::try_from(decimal(text)?).ok();
            let range = number(first)?..=number(last)?;
            let is_after = ranges.last().is_none_or(|before| before.end() < range.start());
            if range.is_empty() || !is_after || ranges.len() == MOST_RANGES {
                return None;
            }
            ranges.push(range);
        }
        Some(Self(ranges))
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the list contains this number.
    pub fn contains(&self, id: u32) -> bool {
        self.0.iter().any(|range| range.contains(&id))
    }

    /// The numbers, ascending: up to 2^32 of them.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().cloned().flatten()
    }
}

/// The list in the kernel's format; an empty list prints nothing.
impl std::fmt::Display for IdList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match range.start() == range.end() {
                true => write!(f, "{comma}{}", range.start())?,
                false => write!(f, "{comma}{}-{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_and_single_numbers_are_read() {
        let list = IdList::parse(b"0-2,5,7-8\n").unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        assert_eq!((list.iter().count(), list.contains(5), list.contains(6)), (6, true, false));
        assert_eq!(list.to_string(), "0-2,5,7-8");
    }

    #[test]
    fn an_empty_line_is_an_empty_list() {
        for text in [&b"\n"[..], b""] {
            let list = IdList::parse(text).unwrap();
            assert!(list.is_empty() && list.iter().next().is_none() && list.to_string().is_empty());
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["x", "1,", ",1", "3-1", "1,1", "2,1", "0-3,3", "-1", "1-", "+1", "4294967296", "1 2", "0-0-0"] {
            assert_eq!(IdList::parse(text.as_bytes()), None, "{text:?}");
        }
        let many = (0..=MOST_RANGES).map(|n| (2 * n).to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(IdList::parse(many.as_bytes()), None);
        assert_eq!(IdList::parse(b"\xff"), None);
    }

    #[test]
    fn the_largest_range_is_not_expanded() {
        let list = IdList::parse(b"0-4294967295").unwrap();
        assert_eq!((list.contains(0), list.contains(u32::MAX)), (true, true));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_list_or_none(text in prop::collection::vec(any::<u8>(), 0..50)) {
            let _ = IdList::parse(&text);
        }

        #[test]
        fn what_is_written_is_read_again(ids in prop::collection::btree_set(0u32..200, 0..60)) {
            let text = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            let list = IdList::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), ids.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(IdList::parse(list.to_string().as_bytes()), Some(list));
        }
    }
}
