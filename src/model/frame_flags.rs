//! A word of `/proc/kpageflags`: the flags of one frame. (include/uapi/linux/kernel-page-flags.h)
//!
//! Their meanings and pitfalls are in [`flag_table`](super::flag_table).

use super::flag_table::{FLAGS, Flag, Origin};

pub use bits::*;

mod bits {
    #![allow(dead_code, reason = "the kernel's list, complete")]

    /// Locked, for I/O or while its contents change (KPF_LOCKED).
    pub const LOCKED: u64 = 1 << 0;
    /// An I/O error (KPF_ERROR); removed in about Linux 6.12.
    pub const ERROR: u64 = 1 << 1;
    /// Referenced since it was put on its LRU list; not the accessed bit of page-table entries (KPF_REFERENCED).
    pub const REFERENCED: u64 = 1 << 2;
    /// Its contents are valid (KPF_UPTODATE).
    pub const UPTODATE: u64 = 1 << 3;
    /// Its contents must be written back (KPF_DIRTY).
    pub const DIRTY: u64 = 1 << 4;
    /// On an LRU list (KPF_LRU).
    pub const LRU: u64 = 1 << 5;
    /// On the active list (KPF_ACTIVE).
    pub const ACTIVE: u64 = 1 << 6;
    /// A page of the slab allocator (KPF_SLAB).
    pub const SLAB: u64 = 1 << 7;
    /// Being written back (KPF_WRITEBACK).
    pub const WRITEBACK: u64 = 1 << 8;
    /// To be reclaimed after writeback; otherwise the read-ahead marker (KPF_RECLAIM).
    pub const RECLAIM: u64 = 1 << 9;
    /// In a free block of the buddy allocator (KPF_BUDDY).
    pub const BUDDY: u64 = 1 << 10;
    /// Mapped by page tables: this page, or since Linux 6.15 any page of its folio (KPF_MMAP).
    pub const MMAP: u64 = 1 << 11;
    /// Anonymous (KPF_ANON). Up to Linux 6.19 also on slab pages, by accident.
    pub const ANON: u64 = 1 << 12;
    /// In the swap cache (KPF_SWAPCACHE).
    pub const SWAPCACHE: u64 = 1 << 13;
    /// Backed by swap, not by a file: anonymous or shared memory (KPF_SWAPBACKED).
    pub const SWAPBACKED: u64 = 1 << 14;
    /// The first page of a compound page (KPF_COMPOUND_HEAD).
    pub const COMPOUND_HEAD: u64 = 1 << 15;
    /// A further page of a compound page (KPF_COMPOUND_TAIL).
    pub const COMPOUND_TAIL: u64 = 1 << 16;
    /// A hugetlb page (KPF_HUGE).
    pub const HUGE: u64 = 1 << 17;
    /// On the unevictable list (KPF_UNEVICTABLE).
    pub const UNEVICTABLE: u64 = 1 << 18;
    /// Hardware-poisoned (KPF_HWPOISON).
    pub const HWPOISON: u64 = 1 << 19;
    /// No memory at this frame number (KPF_NOPAGE). Linux 6.15 to 7.1 never report it.
    pub const NOPAGE: u64 = 1 << 20;
    /// Merged by KSM (KPF_KSM). Wrong for every anonymous page on Linux 6.10 to 7.0.
    pub const KSM: u64 = 1 << 21;
    /// Part of a large folio, of any order since Linux 6.10 (KPF_THP).
    pub const THP: u64 = 1 << 22;
    /// Logically offline: taken by a balloon driver or a virtual memory device (KPF_OFFLINE).
    pub const OFFLINE: u64 = 1 << 23;
    /// The shared zero page, or part of the huge zero page (KPF_ZERO_PAGE).
    pub const ZERO_PAGE: u64 = 1 << 24;
    /// Not used since it was marked idle (KPF_IDLE).
    pub const IDLE: u64 = 1 << 25;
    /// A page table (KPF_PGTABLE).
    pub const PGTABLE: u64 = 1 << 26;
    /// Reserved by the kernel (KPF_RESERVED).
    pub const RESERVED: u64 = 1 << 32;
    /// Locked in memory by mlock (KPF_MLOCKED).
    pub const MLOCKED: u64 = 1 << 33;
    /// File page: its buffers are mapped to disk blocks. Anonymous page: exclusive to one process (KPF_OWNER_2).
    pub const OWNER_2: u64 = 1 << 34;
    /// Has private data of the file system (KPF_PRIVATE).
    pub const PRIVATE: u64 = 1 << 35;
    /// More private state of the file system (KPF_PRIVATE_2).
    pub const PRIVATE_2: u64 = 1 << 36;
    /// An owner-defined flag (KPF_OWNER_PRIVATE).
    pub const OWNER_PRIVATE: u64 = 1 << 37;
    /// An architecture-specific flag (KPF_ARCH).
    pub const ARCH: u64 = 1 << 38;

    /// Mapped uncached (KPF_UNCACHED); removed in Linux 6.12.
    pub const UNCACHED: u64 = 1 << 39;
    /// Written since soft-dirty bits were cleared (KPF_SOFTDIRTY). The kernel never sets it here.
    pub const SOFTDIRTY: u64 = 1 << 40;
    /// A second architecture-specific flag (KPF_ARCH_2).
    pub const ARCH_2: u64 = 1 << 41;
    /// A third architecture-specific flag (KPF_ARCH_3).
    pub const ARCH_3: u64 = 1 << 42;
}

/// The flags of one frame. In JSON `{"raw": "0x…", "names": […]}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameFlags(pub u64);

impl FrameFlags {
    /// Whether any of these bits is set.
    pub fn has(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// The word without stale bits: bits the kernel derives from a field that holds something else on this frame.
    ///
    /// These are ANON and KSM, the low bits of `mapping`, on frames with a page type (free, slab, page table, …) and on frames
    /// that are not on an LRU list, not mapped and not in the swap cache: the frames the classifier does not call anonymous.
    pub fn meaningful(self) -> u64 {
        const TYPED: u64 = NOPAGE | BUDDY | OFFLINE | SLAB | PGTABLE | ZERO_PAGE | RESERVED;
        let left_over = self.has(TYPED) || !self.has(MMAP | LRU | SWAPCACHE | SWAPBACKED);
        if left_over { self.0 & !(ANON | KSM) } else { self.0 }
    }

    /// The kernel's word, from one printed by `page-types -r`, which moves four bits if they have another meaning.
    pub fn from_page_types(word: u64) -> Self {
        Self(moved_bits(word).fold(word, |word, (from, to)| word & !(1 << from) | 1 << to))
    }

    /// The word for a string of letters from page-types of Linux 6.12, one per known flag: `__RU_l_…`. `None` if it is not such
    /// a string.
    pub fn from_letters(letters: &str) -> Option<Self> {
        let known = FLAGS.iter().filter(|flag| !matches!(flag.origin, Origin::Overloaded { .. }));
        let known: Vec<(u32, char)> = known.filter_map(|flag| Some((flag.bit, flag.letter?))).collect();
        let shown = letters.chars().count() == known.len();
        let bit = |(letter, (bit, known)): (char, &(u32, char))| match letter {
            '_' => Some(0),
            letter => (letter == *known).then_some(1 << bit),
        };
        let mut bits = letters.chars().zip(&known).map(bit);
        let word = bits.try_fold(0, |word, bit| Some(word | bit?))?;
        shown.then(|| Self::from_page_types(word))
    }

    /// The names of the set bits, lowest first, each by its meaning on this frame: bit 34 is ANON_EXCLUSIVE on an anonymous
    /// frame and OWNER_2 on others, as in the kernel and page-types (MAPPEDTODISK up to Linux 6.11, which is correct only for
    /// file systems with buffer heads). Stale bits are not named; a bit no kernel uses yet is `BIT_n`.
    ///
    /// [`from_names`](Self::from_names) turns them back into [`meaningful`](Self::meaningful).
    pub fn names(self) -> Vec<&'static str> {
        self.each_name().collect()
    }

    /// Like [`names`](Self::names), as an iterator.
    pub fn each_name(self) -> impl Iterator<Item = &'static str> {
        let word = self.meaningful();
        bits(word).map(move |bit| Flag::at(bit, word).map_or_else(|| unnamed(bit), |flag| flag.name))
    }

    /// The letters that page-types of Linux 6.12 uses for them, lowest bit first; `?` for bits it does not know.
    pub fn letters(self) -> String {
        let word = self.meaningful();
        bits(word).map(|bit| Flag::at(bit, word).and_then(|flag| flag.letter).unwrap_or('?')).collect()
    }

    /// The word for these flags, separated by commas, spaces, `|` or `+`: any name [`Flag::named`] accepts, and `BIT_n`. A name
    /// with a special meaning also sets the bits that meaning requires: ANON for ANON_EXCLUSIVE.
    ///
    /// # Errors
    /// A name that is not a flag.
    pub fn from_names(names: &str) -> Result<u64, UnknownFlag> {
        let mut names = names.split(SEPARATORS).filter(|name| !name.is_empty());
        names.try_fold(0, |word, name| Ok(word | bits_named(name)?))
    }
}

/// The separators between names.
pub const SEPARATORS: [char; 4] = [',', '|', '+', ' '];

/// The bits for one name.
fn bits_named(name: &str) -> Result<u64, UnknownFlag> {
    let unnamed = || UNNAMED.iter().position(|unnamed| unnamed.eq_ignore_ascii_case(name)).map(|bit| 1 << bit);
    Flag::named(name).map(Flag::bits).or_else(unnamed).ok_or_else(|| UnknownFlag::new(name))
}

/// The numbers of the bits of a word, lowest first.
pub fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

/// The bits that page-types moves, and their kernel positions.
pub fn moved_bits(word: u64) -> impl Iterator<Item = (u32, u32)> {
    FLAGS.iter().filter_map(move |flag| match flag.origin {
        Origin::PageTypes { of } if word >> flag.bit & 1 == 1 => Some((flag.bit, of)),
        _ => None,
    })
}

/// A name that is not a flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{name}' is not a frame flag{}", nearest.as_ref().map(|nearest| format!("; did you mean '{nearest}'?")).unwrap_or_default())]
pub struct UnknownFlag {
    /// The name as given.
    pub name: String,
    /// The most similar known name, if there is one.
    pub nearest: Option<String>,
}

impl UnknownFlag {
    /// The error for a name, with a suggestion.
    pub fn new(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let plain = ["pg_", "kpf_"].iter().find_map(|prefix| lower.strip_prefix(prefix)).unwrap_or(&lower);
        let known = FLAGS.iter().flat_map(Flag::names).map(str::to_ascii_lowercase);
        let like = known.map(|known| (strsim::jaro_winkler(plain, &known), known)).filter(|(like, _)| *like > 0.8);
        let nearest = like.max_by(|a, b| a.0.total_cmp(&b.0));
        Self { name: name.to_owned(), nearest: nearest.map(|(_, known)| known) }
    }
}

/// The placeholder name of an unnamed bit. `bit` is below 64.
pub fn unnamed(bit: u32) -> &'static str {
    UNNAMED[bit as usize]
}

/// Placeholder names of unnamed bits.
#[rustfmt::skip]
const UNNAMED: [&str; 64] = [
    "BIT_0", "BIT_1", "BIT_2", "BIT_3", "BIT_4", "BIT_5", "BIT_6", "BIT_7",
    "BIT_8", "BIT_9", "BIT_10", "BIT_11", "BIT_12", "BIT_13", "BIT_14", "BIT_15",
    "BIT_16", "BIT_17", "BIT_18", "BIT_19", "BIT_20", "BIT_21", "BIT_22", "BIT_23",
    "BIT_24", "BIT_25", "BIT_26", "BIT_27", "BIT_28", "BIT_29", "BIT_30", "BIT_31",
    "BIT_32", "BIT_33", "BIT_34", "BIT_35", "BIT_36", "BIT_37", "BIT_38", "BIT_39",
    "BIT_40", "BIT_41", "BIT_42", "BIT_43", "BIT_44", "BIT_45", "BIT_46", "BIT_47",
    "BIT_48", "BIT_49", "BIT_50", "BIT_51", "BIT_52", "BIT_53", "BIT_54", "BIT_55",
    "BIT_56", "BIT_57", "BIT_58", "BIT_59", "BIT_60", "BIT_61", "BIT_62", "BIT_63",
];

impl serde::Serialize for FrameFlags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("FrameFlags", 2)?;
        object.serialize_field("raw", &format_args!("{:#x}", self.0))?;
        object.serialize_field("names", &self.names())?;
        object.end()
    }
}

#[cfg(test)]
impl schemars::JsonSchema for FrameFlags {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FrameFlags".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "Flags of a frame, as a word and by name",
            "properties": {
                "raw": { "type": "string", "pattern": "^0x[0-9a-f]+$", "description": "The word" },
                "names": { "type": "array", "items": { "type": "string" }, "description": "The names of its bits" },
            },
            "required": ["raw", "names"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_are_named_by_what_the_frame_is() {
        for (word, names) in [
            (0, vec![]),
            (ANON | MMAP | SWAPBACKED | OWNER_2, vec!["MMAP", "ANON", "SWAPBACKED", "ANON_EXCLUSIVE"]),
            (LRU | OWNER_2, vec!["LRU", "OWNER_2"]),
            (RECLAIM | LRU, vec!["LRU", "READAHEAD"]),
            (RECLAIM | WRITEBACK, vec!["WRITEBACK", "RECLAIM"]),
            (SLAB | ANON | KSM, vec!["SLAB"]),
            (SLAB | ACTIVE | COMPOUND_HEAD, vec!["PFMEMALLOC", "SLAB", "COMPOUND_HEAD"]),
            (SLAB | ERROR, vec!["ERROR", "SLAB"]),
            (BUDDY | UPTODATE, vec!["REPORTED", "BUDDY"]),
            (UPTODATE, vec!["UPTODATE"]),
            (1 << 27 | 1 << 47, vec!["BIT_27", "BIT_47"]),
        ] {
            assert_eq!(FrameFlags(word).names(), names, "{word:#x}");
        }
    }

    #[test]
    fn names_of_the_kernel_and_of_page_types_are_understood() {
        for (names, word) in [
            ("", 0),
            ("PG_locked KPF_LRU,anonymous|thp+Mmap", LOCKED | LRU | ANON | THP | MMAP),
            ("head,tail,table", COMPOUND_HEAD | COMPOUND_TAIL | PGTABLE),
            ("mappedtodisk", OWNER_2),
            ("anon_exclusive", OWNER_2 | ANON),
            ("PGTY_slab,idle_page,PG_hugetlb", SLAB | IDLE | HUGE),
            ("slub_frozen", ACTIVE),
            ("bit_27", 1 << 27),
        ] {
            assert_eq!(FrameFlags::from_names(names), Ok(word), "{names}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_told_with_the_nearest() {
        for (name, text) in [
            ("swapbakced", "'swapbakced' is not a frame flag; did you mean 'swapbacked'?"),
            ("PG_dirtty", "'PG_dirtty' is not a frame flag; did you mean 'dirty'?"),
            ("qqq", "'qqq' is not a frame flag"),
            ("BIT_64", "'BIT_64' is not a frame flag"),
        ] {
            assert_eq!(FrameFlags::from_names(name).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn flags_are_shown_by_letters() {
        assert_eq!(FrameFlags(UPTODATE | LRU | MMAP | ANON | SWAPBACKED).letters(), "UlMab");
        assert_eq!(FrameFlags(SLAB | ANON | 1 << 60).letters(), "S?");
    }

    #[test]
    fn letters_of_page_types_are_words() {
        for (letters, word) in [
            ("___U_l_____Ma_b_______t__i_________________", 0x240_5828),
            ("___U_l_____Ma_b___u______i__m_______d______", 0x6_0204_5828),
            ("___________________________________________", 0),
        ] {
            let found = FrameFlags::from_letters(letters).map(|flags| flags.0);
            assert_eq!(found.unwrap_or(0), word, "{letters}");
        }
        for wrong in ["", "_", "L", "l__________________________________________", &"_".repeat(44), &"é".repeat(43)] {
            assert_eq!(FrameFlags::from_letters(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn words_of_page_types_become_the_kernels() {
        let word = ANON | MMAP | SLAB | 1 << 47 | 1 << 48 | 1 << 50 | 1 << 51;
        assert_eq!(
            FrameFlags::from_page_types(word),
            FrameFlags(ANON | MMAP | SLAB | OWNER_2 | RECLAIM | ACTIVE | ERROR)
        );
        assert_eq!(FrameFlags::from_page_types(!0 >> 17), FrameFlags(!0 >> 17));
    }

    proptest! {
        #[test]
        fn names_give_the_meaningful_word_back(set in proptest::collection::vec(0..64_u32, 0..10)) {
            let flags = FrameFlags(set.iter().fold(0, |word, bit| word | 1 << bit));
            let names = flags.names();
            prop_assert_eq!(FrameFlags::from_names(&names.join(",")), Ok(flags.meaningful()));
            prop_assert_eq!(FrameFlags(flags.meaningful()).names(), names);
        }

        #[test]
        fn any_text_is_names_or_an_error(text: String) {
            let _ = FrameFlags::from_names(&text);
        }
    }
}
