//! What words of kpageflags, pagemap and swap mean, and the names of flags.

pub mod entry;

use serde::Serialize;

use super::pages::Slot;
use crate::analysis::physical::class::{Class, Classifier};
use crate::model::flag_table::{FLAGS, Flag, Origin};
use crate::model::frame_flags::{
    COMPOUND_TAIL, FrameFlags, KSM, SEPARATORS, SOFTDIRTY, UnknownFlag, bits, moved_bits, unnamed,
};
use crate::unit::{self, PageSize};

/// What a word is decoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word of `/proc/kpageflags`.
    FrameFlags,
    /// The name of one flag.
    Flag,
    /// A word of `/proc/PID/pagemap`.
    Pagemap,
    /// A swap entry: the type and offset in a word of pagemap.
    Swap,
}

impl Kind {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::FrameFlags => "frame_flags",
            Self::Flag => "flag",
            Self::Pagemap => "pagemap",
            Self::Swap => "swap",
        }
    }
}

/// A word and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it was given.
    pub input: String,
    /// What it was decoded as.
    pub kind: Kind,
    /// The word, `0x…`.
    pub raw: String,
    /// What a frame with these flags is used for; `None` if it is not a word of kpageflags.
    pub class: Option<Class>,
    /// The names of its bits, as every command prints them.
    pub names: Vec<&'static str>,
    /// Its bits, lowest first; for the name of a flag, all meanings of its bit, the named one first.
    pub bits: Vec<Bit>,
    /// What a page-table entry is; `None` if its word does not say.
    pub state: Option<&'static str>,
    /// The frame it maps; `None` if there is none, or if it is hidden.
    pub pfn: Option<u64>,
    /// The physical address of that frame, `0x…`.
    pub physical_address: Option<String>,
    /// The place in swap of an entry that is not present. For a special entry, the number of its kind, with a frame
    /// number or the bits of a marker as the offset.
    pub swap: Option<Slot>,
    /// Remarks on this word, in sentences.
    pub notes: Vec<String>,
}

/// One meaning of one bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bit {
    /// Its position in the word.
    pub bit: u32,
    /// Its name.
    pub name: &'static str,
    /// The kernel's own name for it.
    pub pg_name: Option<&'static str>,
    /// Its name in page-types of Linux 6.12.
    pub page_types: Option<&'static str>,
    /// Its letter in page-types.
    pub letter: Option<String>,
    /// On which frames the bit means this, by other flags; `None` for all.
    pub when: Option<String>,
    /// What sets the bit: `kernel`, or only `page-types` (never in a word from the kernel).
    pub set_by: &'static str,
    /// The first release that has it; `None` if that is before Linux 4.19.
    pub since: Option<&'static str>,
    /// The last release that has it.
    pub until: Option<&'static str>,
    /// What it means.
    pub meaning: &'static str,
    /// A pitfall.
    pub note: Option<&'static str>,
    /// Whether it means nothing here, being left over from another use of the same field.
    pub left_over: bool,
}

impl Word {
    pub(super) fn new(input: &str, kind: Kind, raw: u64) -> Self {
        Self {
            input: input.to_owned(),
            kind,
            raw: format!("{raw:#x}"),
            class: None,
            names: Vec::new(),
            bits: Vec::new(),
            state: None,
            pfn: None,
            physical_address: None,
            swap: None,
            notes: Vec::new(),
        }
    }

    pub(super) fn named(self, names: Vec<&'static str>) -> Self {
        Self { names, ..self }
    }
}

impl Bit {
    /// A bit about which nothing else is known.
    pub(super) fn new(bit: u32, name: &'static str, meaning: &'static str, note: Option<&'static str>) -> Self {
        let (pg_name, page_types, letter, when, since, until) = (None, None, None, None, None, None);
        let set_by = "kernel";
        Self { bit, name, pg_name, page_types, letter, when, set_by, since, until, meaning, note, left_over: false }
    }
}

impl From<&'static Flag> for Bit {
    fn from(flag: &'static Flag) -> Self {
        let Flag { bit, name, pg_name, page_types, letter, meaning, since, until, trap, origin, .. } = *flag;
        let named =
            |word| bits(word).filter_map(|bit| Flag::at(bit, 0)).map(|flag| flag.name).collect::<Vec<_>>().join(" ");
        let when = match origin {
            Origin::Overloaded { set, clear: 0 } => Some(format!("with {}", named(set))),
            Origin::Overloaded { clear, .. } => Some(format!("without {}", named(clear))),
            Origin::Kernel | Origin::PageTypes { .. } | Origin::Pagemap => None,
        };
        let set_by = match origin {
            Origin::Kernel | Origin::Overloaded { .. } => "kernel",
            Origin::PageTypes { .. } | Origin::Pagemap => "page-types",
        };
        let letter = letter.map(String::from);
        Self { pg_name, page_types, letter, when, set_by, since, until, ..Self::new(bit, name, meaning, trap) }
    }
}

/// The whole table of flags.
pub fn legend() -> Vec<Bit> {
    FLAGS.iter().map(Bit::from).collect()
}

/// Decodes a word of kpageflags, given as a number, as the names of its flags, or as the letters page-types has for
/// them; or one name.
///
/// # Errors
/// A sentence that lists the accepted forms.
pub fn decode(input: &str) -> Result<Word, String> {
    if let Some(word) = hexadecimal(input) {
        return Ok(frame_flags(input, word));
    }
    if let Some(flag) = Flag::named(input) {
        return Ok(one_flag(input, flag));
    }
    if let Some(FrameFlags(word)) = FrameFlags::from_letters(input) {
        let mut decoded = frame_flags(input, word);
        decoded
            .notes
            .push("Without -r page-types hides bits from 32 on, and COMPOUND_HEAD and COMPOUND_TAIL.".to_owned());
        return Ok(decoded);
    }
    let several = input.contains(SEPARATORS);
    let some = !input.trim_matches(SEPARATORS).is_empty();
    let word = if some { FrameFlags::from_names(input) } else { Err(UnknownFlag::new(input)) };
    word.map(|word| frame_flags(input, word)).map_err(|unknown| {
        let UnknownFlag { nearest, .. } = &unknown;
        let like = nearest.as_ref().map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
        let what = if several { unknown.name.as_str() } else { input };
        format!(
            "'{what}' is neither a hexadecimal word (0x400005828, 400005828), nor a flag (ANON, PG_lru, thp), nor \
             comma-separated flags (uptodate,lru){like}"
        )
    })
}

/// Decodes a word of pagemap.
///
/// # Errors
/// A sentence that describes the accepted form.
pub fn pagemap(input: &str, page_size: PageSize) -> Result<Word, String> {
    let form = || format!("'{input}' is not a pagemap word: expected up to 16 hexadecimal digits (0x8100000000149efe)");
    Ok(entry::pagemap(input, hexadecimal(input).ok_or_else(form)?, page_size))
}

/// Decodes a swap entry.
///
/// # Errors
/// A sentence that describes the accepted form.
pub fn swap(input: &str, page_size: PageSize) -> Result<Word, String> {
    let form = || {
        format!("'{input}' is not a swap entry: expected up to 55 bits in hexadecimal, the low 5 being the type (0xe2)")
    };
    let word = hexadecimal(input).ok_or_else(form)?;
    if word >> 55 != 0 {
        return Err(format!(
            "'{input}' has more than the 55 bits of a swap entry: is it a whole word of pagemap (--pagemap)?"
        ));
    }
    Ok(entry::swap(input, word, page_size))
}

/// A number in hexadecimal, with or without `0x` or `0X`.
fn hexadecimal(text: &str) -> Option<u64> {
    unit::hexadecimal(&text.replacen("0X", "0x", 1))
}

fn frame_flags(input: &str, given: u64) -> Word {
    let flags = FrameFlags::from_page_types(given);
    let FrameFlags(word) = flags;
    let class = Classifier { ksm_flag_right: true }.class(word);
    let bits = bits(word).map(|bit| bit_of(bit, flags)).collect();
    let notes = notes(given, flags, class);
    Word { class: Some(class), bits, notes, ..Word::new(input, Kind::FrameFlags, word) }.named(flags.names())
}

/// What one bit means in this word.
fn bit_of(bit: u32, flags: FrameFlags) -> Bit {
    let meaningful = flags.meaningful();
    let unknown = || Bit::new(bit, unnamed(bit), "No kernel that pmem knows sets this bit.", None);
    let known = Flag::at(bit, meaningful).map_or_else(unknown, Bit::from);
    if meaningful >> bit & 1 == 1 {
        return known;
    }
    Bit { meaning: "Left over: the underlying field holds something else here.", left_over: true, ..known }
}

/// Remarks on a word of kpageflags.
fn notes(given: u64, flags: FrameFlags, class: Class) -> Vec<String> {
    let FrameFlags(word) = flags;
    let mut notes = Vec::new();
    if given >> 61 != 0 {
        notes.push(
            "Bits 61 to 63 are never in kpageflags: page-types sets them. If the word is from /proc/PID/pagemap, \
                    decode it with --pagemap."
                .to_owned(),
        );
    }
    for (from, to) in moved_bits(given) {
        notes.push(format!("page-types -r shows bit {to} as bit {from}; here it has the kernel's number."));
    }
    if word & SOFTDIRTY != 0 {
        notes.push("SOFTDIRTY is never in kpageflags: page-types sets it.".to_owned());
    }
    if flags.meaningful() & KSM != 0 {
        notes.push(
            "Linux 6.10 to 7.0 set KSM on every anonymous page: there it says nothing. 'pmem doctor' shows whether this \
                    kernel does."
                .to_owned(),
        );
    }
    if word == 0 {
        notes.push(
            "No flags: memory of the kernel itself, free memory on a per-CPU list, memory that is not initialised yet, \
                    or on Linux 6.15 to 7.1 no memory at all."
                .to_owned(),
        );
    }
    if word & COMPOUND_TAIL != 0 && class == Class::OtherCompound {
        notes.push("Up to Linux 6.9 a tail has few flags of its own: its head says what it is.".to_owned());
    }
    notes
}

fn one_flag(input: &str, flag: &'static Flag) -> Word {
    let others = FLAGS.iter().filter(|other| other.bit == flag.bit && *other != flag);
    let bits = std::iter::once(flag).chain(others).map(Bit::from).collect();
    Word { bits, ..Word::new(input, Kind::Flag, flag.bits()) }.named(vec![flag.name])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page_size() -> PageSize {
        PageSize::new(4096).unwrap()
    }

    #[test]
    fn every_form_of_a_word_is_read() {
        for (input, kind, raw, class, names) in [
            ("0x28", Kind::FrameFlags, "0x28", Some(Class::File), "UPTODATE LRU"),
            ("28", Kind::FrameFlags, "0x28", Some(Class::File), "UPTODATE LRU"),
            ("0X0000000000000028", Kind::FrameFlags, "0x28", Some(Class::File), "UPTODATE LRU"),
            ("uptodate,PG_lru", Kind::FrameFlags, "0x28", Some(Class::File), "UPTODATE LRU"),
            ("anon_exclusive,mmap", Kind::FrameFlags, "0x400001800", Some(Class::Anon), "MMAP ANON ANON_EXCLUSIVE"),
            ("0x11080", Kind::FrameFlags, "0x11080", Some(Class::Slab), "SLAB COMPOUND_TAIL"),
            ("0", Kind::FrameFlags, "0x0", Some(Class::Unclassified), ""),
            (
                "800000005828",
                Kind::FrameFlags,
                "0x400005828",
                Some(Class::Anon),
                "UPTODATE LRU MMAP ANON SWAPBACKED ANON_EXCLUSIVE",
            ),
            ("KPF_THP", Kind::Flag, "0x400000", None, "THP"),
            ("mappedtodisk", Kind::Flag, "0x400000000", None, "OWNER_2"),
            (
                "___U_l_____Ma_b____________________________",
                Kind::FrameFlags,
                "0x5828",
                Some(Class::Anon),
                "UPTODATE LRU MMAP ANON SWAPBACKED",
            ),
            ("bit_27", Kind::FrameFlags, "0x8000000", Some(Class::Unclassified), "BIT_27"),
        ] {
            let word = decode(input).unwrap();
            let found = (word.kind, word.raw.as_str(), word.class, word.names.join(" "));
            assert_eq!(found, (kind, raw, class, names.to_owned()), "{input}");
        }
    }

    #[test]
    fn what_has_no_form_is_refused_with_the_forms() {
        for (input, part) in [
            ("foo", "'foo' is neither a hexadecimal word"),
            ("lru,swapbakced", "'swapbakced' is neither"),
            ("PG_dirtty", "did you mean 'dirty'?"),
            ("0x1ffffffffffffffff", "a hexadecimal word"),
            ("-1", "a hexadecimal word"),
            ("+1", "a hexadecimal word"),
            ("", "a hexadecimal word"),
            (",", "a hexadecimal word"),
            ("0x", "a hexadecimal word"),
        ] {
            let error = decode(input).unwrap_err();
            assert!(error.contains(part), "{input}: {error}");
        }
        assert!(pagemap("lru", page_size()).unwrap_err().contains("pagemap word"));
        assert!(swap("lru", page_size()).unwrap_err().contains("swap entry"));
        assert!(swap("80000000000000", page_size()).unwrap_err().contains("--pagemap"));
    }

    #[test]
    fn what_is_left_over_is_said_to_be() {
        let slab = decode("0x201080").unwrap();
        let left_over: Vec<&str> = slab.bits.iter().filter(|bit| bit.left_over).map(|bit| bit.name).collect();
        assert_eq!(left_over, ["ANON", "KSM"]);
        assert!(slab.notes.is_empty(), "{:?}", slab.notes);
    }

    #[test]
    fn notes_tell_what_is_particular() {
        for (input, part) in [
            ("0x201800", "6.10 to 7.0 set KSM on every anonymous page"),
            ("0", "Linux 6.15 to 7.1 no memory at all"),
            ("8100000000149efe", "--pagemap"),
            ("0x1000000000008", "bit 9 as bit 48"),
            ("softdirty,lru", "SOFTDIRTY is never in kpageflags"),
            ("0x10000", "its head says"),
        ] {
            let word = decode(input).unwrap();
            assert!(word.notes.iter().any(|note| note.contains(part)), "{input}: {:?}", word.notes);
        }
        assert_eq!(decode("0x5828").unwrap().notes, Vec::<String>::new());
    }

    #[test]
    fn a_flag_comes_with_the_other_meanings_of_its_bit() {
        let names = |input| decode(input).unwrap().bits.iter().map(|bit| bit.name).collect::<Vec<_>>();
        assert_eq!(names("owner_2"), ["OWNER_2", "ANON_EXCLUSIVE"]);
        assert_eq!(names("anon_exclusive"), ["ANON_EXCLUSIVE", "OWNER_2"]);
        assert_eq!(names("lru"), ["LRU"]);
    }

    proptest! {
        #[test]
        fn any_text_is_a_word_or_an_error(text: String) {
            let _ = (decode(&text), pagemap(&text, page_size()), swap(&text, page_size()));
        }

        #[test]
        fn names_class_and_bits_of_a_word_agree(set in proptest::collection::vec(0..47_u32, 0..10)) {
            let raw = set.iter().fold(0_u64, |word, bit| word | 1 << bit);
            let word = decode(&format!("{raw:x}")).unwrap();
            let meant: Vec<&str> = word.bits.iter().filter(|bit| !bit.left_over).map(|bit| bit.name).collect();
            prop_assert_eq!(&meant, &word.names);
            prop_assert_eq!(word.bits.len(), raw.count_ones() as usize);
            let anon = matches!(word.class, Some(Class::Anon | Class::Ksm | Class::Hugetlb));
            prop_assert!(anon || !word.names.contains(&"ANON"), "{:?} {:?}", word.class, word.names);
            if !word.names.is_empty() {
                let again = decode(&(word.names.join(",") + ",")).unwrap();
                prop_assert_eq!(again.names, word.names);
                prop_assert_eq!(again.class, word.class);
            }
        }
    }
}
