//! Selecting frames by their flags: `anon,!swapbacked`.

use std::fmt;
use std::str::FromStr;

use super::flag_table::{FLAGS, Flag, Origin};
use super::frame_flags::{FrameFlags, UnknownFlag};
use crate::unit::hexadecimal;

/// A condition on frame flags: terms separated by commas, all of which must hold.
///
/// A term is a flag by any of its names, `!FLAG` or `~FLAG`, or several of these separated by `|`, one of which must hold. A
/// name matches if it is in [`FrameFlags::names`]: stale bits do not match `anon`, and `uptodate` does not match a free frame
/// that was reported to the hypervisor. `0x…` is a mask: it matches if all of its bits are set in the raw word, stale bits
/// included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagFilter {
    text: String,
    all: Vec<Vec<Term>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    /// The bits it tests.
    mask: u64,
    /// The required value of these bits.
    set: u64,
    /// Whether the test is negated.
    not: bool,
    /// Whether it tests the raw word, stale bits included.
    raw: bool,
}

impl FlagFilter {
    /// Parses a condition.
    ///
    /// # Errors
    /// A message naming the term that is not valid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let any = |clause: &str| clause.split('|').map(|term| Term::parse(term.trim())).collect();
        Ok(Self { text: text.to_owned(), all: text.split(',').map(any).collect::<Result<_, _>>()? })
    }

    /// Whether a frame with this kpageflags word matches.
    pub fn matches(&self, word: u64) -> bool {
        let meaningful = FrameFlags(word).meaningful();
        let holds = |term: &Term| (if term.raw { word } else { meaningful } & term.mask == term.set) != term.not;
        self.all.iter().all(|any| any.iter().any(holds))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        let (not, name) = match text.strip_prefix(['!', '~']) {
            Some(name) => (true, name.trim()),
            None => (false, text),
        };
        if name.is_empty() {
            return Err("empty flag: expected a list such as 'anon,!swapbacked' or 'dirty|writeback'".to_owned());
        }
        if name.starts_with("0x") {
            let mask = hexadecimal(name).filter(|mask| *mask != 0);
            let mask = mask.ok_or_else(|| {
                format!(
                    "'{name}' is not a flag mask: expected 0x and up to 16 hexadecimal \
                                                   digits"
                )
            })?;
            return Ok(Self { mask, set: mask, not, raw: true });
        }
        match Flag::named(name) {
            Some(flag) => {
                let (set, clear) = flag.condition()?;
                Ok(Self { mask: set | clear, set, not, raw: false })
            }
            None => {
                let set = FrameFlags::from_names(name).map_err(|error: UnknownFlag| error.to_string())?;
                Ok(Self { mask: set, set, not, raw: false })
            }
        }
    }
}

impl Flag {
    /// The bits that are set, and the bits that are clear, in words that have this flag.
    fn condition(&self) -> Result<(u64, u64), String> {
        match self.origin {
            Origin::Pagemap | Origin::PageTypes { .. } => Err(format!(
                "'{}' is a page-types flag and never set in /proc/kpageflags: no frame can match it",
                self.name.to_ascii_lowercase()
            )),
            Origin::Overloaded { clear, .. } => Ok((self.bits(), clear)),
            Origin::Kernel => {
                // Exclude the special meanings of the same bit.
                let others = FLAGS.iter().filter(|other| other.bit == self.bit);
                let special = others.filter_map(|other| match other.origin {
                    Origin::Overloaded { set, clear } => Some((set, clear)),
                    _ => None,
                });
                Ok(special.fold((self.bits(), 0), |(set, clear), other| (set | other.1, clear | other.0)))
            }
        }
    }
}

impl FromStr for FlagFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for FlagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frame_flags::{
        ACTIVE, ANON, BUDDY, DIRTY, KSM, LOCKED, LRU, MMAP, OWNER_2, RECLAIM, SLAB, SWAPBACKED, UPTODATE, WRITEBACK,
    };
    use super::*;

    #[test]
    fn conditions_choose_frames() {
        let anon = ANON | MMAP | SWAPBACKED;
        for (text, matching, others) in [
            ("anon", vec![anon, anon | KSM], vec![0, LRU, SLAB | ANON | KSM, ANON]),
            ("anon,!swapbacked", vec![ANON | MMAP], vec![anon, MMAP]),
            ("Anonymous, ~PG_swapbacked", vec![ANON | MMAP], vec![anon, MMAP]),
            ("!anon", vec![0, SLAB | ANON], vec![anon]),
            ("dirty|writeback", vec![DIRTY, WRITEBACK], vec![0, LRU]),
            ("dirty|!lru,locked", vec![DIRTY | LRU | LOCKED, LOCKED], vec![LOCKED | LRU, DIRTY, 0]),
            ("slab,0x1000", vec![SLAB | ANON], vec![SLAB, anon]),
            ("0x1800", vec![ANON | MMAP], vec![ANON, MMAP]),
            ("!0x1800", vec![ANON, MMAP, 0], vec![ANON | MMAP]),
            ("anon_exclusive", vec![anon | OWNER_2], vec![anon, LRU | OWNER_2]),
            ("!anon_exclusive", vec![anon, LRU | OWNER_2], vec![anon | OWNER_2]),
            ("owner_2", vec![LRU | OWNER_2], vec![anon | OWNER_2]),
            ("mappedtodisk", vec![LRU | OWNER_2], vec![anon | OWNER_2]),
            ("readahead", vec![RECLAIM], vec![RECLAIM | WRITEBACK]),
            ("reclaim", vec![RECLAIM | WRITEBACK], vec![RECLAIM]),
            ("uptodate", vec![UPTODATE | LRU], vec![UPTODATE | BUDDY]),
            ("reported", vec![UPTODATE | BUDDY], vec![UPTODATE | LRU, BUDDY]),
            ("active", vec![ACTIVE | LRU], vec![ACTIVE | SLAB]),
            ("bit_27", vec![1 << 27], vec![1 << 28]),
        ] {
            let filter = FlagFilter::parse(text).unwrap();
            assert_eq!(filter.to_string(), text);
            for word in matching {
                assert!(filter.matches(word), "{text} and {word:#x}");
            }
            for word in others {
                assert!(!filter.matches(word), "{text} and {word:#x}");
            }
        }
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for (text, part) in [
            ("", "empty flag"),
            ("anon,", "empty flag"),
            ("anon||lru", "empty flag"),
            ("!", "empty flag"),
            ("swapbaked", "'swapbaked' is not a frame flag; did you mean 'swapbacked'?"),
            ("0x", "'0x' is not a flag mask"),
            ("0x0", "'0x0' is not a flag mask"),
            ("0x+18", "'0x+18' is not a flag mask"),
            ("0x1ffffffffffffffff", "is not a flag mask"),
            ("file", "never set in /proc/kpageflags"),
            ("slub_frozen", "never set in /proc/kpageflags"),
            ("softdirty", "never set in /proc/kpageflags"),
        ] {
            let error = FlagFilter::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_where_it_is_named(set in proptest::collection::vec(0..48_u32, 0..10)) {
            let word = set.iter().fold(0, |word, bit| word | 1 << bit);
            let names = FrameFlags(word).names();
            let kernel = |flag: &&Flag| matches!(flag.origin, Origin::Kernel | Origin::Overloaded { .. });
            for flag in FLAGS.iter().filter(kernel) {
                prop_assert_eq!(FlagFilter::parse(flag.name).unwrap().matches(word), names.contains(&flag.name), "{}", flag.name);
            }
        }

        #[test]
        fn any_text_is_a_filter_or_an_error(text: String) {
            let _ = FlagFilter::parse(&text);
        }
    }
}
