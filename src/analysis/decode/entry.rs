//! What words of pagemap and swap entries mean.

use crate::analysis::decode::{Bit, Kind, Word};
use crate::analysis::pages::Slot;
use crate::model::frame_flags::{bits, unnamed};
use crate::model::pagemap::{Entry, State};
use crate::unit::PageSize;

/// The bits of a pagemap word that make up a swap entry: five for the type, the rest for the offset.
const SWAP_ENTRY: u64 = (1 << 55) - 1;
const SWAP_LIKE: u64 = 1 << 62;

/// The flags of a word of pagemap: bit, name, meaning, and what a reader may misread.
const FLAGS: [(u32, &str, &str, Option<&str>); 7] = [
    (
        55,
        "SOFT_DIRTY",
        "Written since the soft-dirty bits were cleared, or in a mapping created since.",
        Some("Always 0 on a kernel built without it. Holes in a new mapping have it too."),
    ),
    (
        56,
        "EXCLUSIVE",
        "Mapped exactly once.",
        Some("Up to 6.8, for a huge page mapped as a whole, this is the state of its first page."),
    ),
    (57, "UFFD_WP", "Write-protected by userfaultfd (since 5.13).", None),
    (58, "GUARD", "A guard region (since 6.15): touching it raises SIGSEGV.", None),
    (
        61,
        "FILE",
        "Not anonymous: a page of a file or of shared memory.",
        Some("The huge zero page has it too. Up to 6.10 huge pages mapped as a whole lack it."),
    ),
    (
        62,
        "SWAP",
        "Not present, but not empty either: in swap, being migrated, poisoned, a guard or another marker.",
        None,
    ),
    (63, "PRESENT", "It maps a frame.", None),
];

/// Explains a word of pagemap.
pub(super) fn pagemap(input: &str, word: u64, page_size: PageSize) -> Word {
    let entry = Entry(word);
    let flags: Vec<Bit> = bits(word & !SWAP_ENTRY).map(flag).collect();
    let names = flags.iter().map(|flag| flag.name).collect();
    let mut explained = Word { bits: flags, ..Word::new(input, Kind::Pagemap, word) }.named(names);
    let pfn = entry.pfn().map(|pfn| pfn.0);
    explained.pfn = pfn;
    explained.physical_address = pfn.map(|pfn| format!("{:#x}", u128::from(pfn) * u128::from(page_size.bytes())));
    if entry.is_present() {
        explained.state = Some(State::Present.name());
        if pfn.is_none() {
            explained.notes.push("The frame number is hidden: the reader had no CAP_SYS_ADMIN.".to_owned());
        }
        if entry.is_swap_like() {
            explained.notes.push("No kernel sets PRESENT and SWAP together.".to_owned());
        }
    } else if entry.is_swap_like() {
        swap_like(&mut explained, entry, page_size);
    } else {
        explained.state = Some(State::None.name());
        explained.notes.push(
            "Nothing: never touched, freed, or swapped-out shared memory, which leaves no trace here.".to_owned(),
        );
        if word & SWAP_ENTRY != 0 {
            explained.notes.push("Yet it has a frame number or a swap offset: no kernel writes that.".to_owned());
        }
    }
    explained
}

fn flag(bit: u32) -> Bit {
    let known = FLAGS.into_iter().find(|(known, ..)| *known == bit);
    let (bit, name, meaning, note) =
        known.unwrap_or_else(|| (bit, unnamed(bit), "No kernel that pmem knows sets this bit.", None));
    Bit::new(bit, name, meaning, note)
}

/// Explains a swap entry: the low 55 bits of a word of pagemap.
pub(super) fn swap(input: &str, word: u64, page_size: PageSize) -> Word {
    let mut explained = Word::new(input, Kind::Swap, word);
    swap_like(&mut explained, Entry(word | SWAP_LIKE), page_size);
    explained
}

/// Explains the type and the offset of an entry that is not present.
fn swap_like(word: &mut Word, entry: Entry, page_size: PageSize) {
    let Entry(raw) = entry;
    let (swap_type, offset) = (raw & 0x1f, (raw & SWAP_ENTRY) >> 5);
    let state = entry.state(0);
    if raw & SWAP_ENTRY == 0 {
        // Type and offset are hidden: only states with their own bit are certain.
        word.state = entry.is_guard().then_some(State::Guard.name());
        let hidden =
            "Type and offset are 0, which no entry has: they are hidden, because the reader had no CAP_SYS_ADMIN.";
        let what = if entry.is_guard() { "" } else { " It is in swap, or of a special kind." };
        word.notes.push(format!("{hidden}{what}"));
        return;
    }
    word.swap = Some(Slot { area: swap_type, offset });
    word.state = Some(state.name());
    let note = match (state, swap_type) {
        (State::Swapped, _) => {
            let at = u128::from(offset) * u128::from(page_size.bytes());
            let header = if offset == 0 { " That is the area's header: no page is there." } else { "" };
            format!(
                "Page {offset} of swap area {swap_type}, {at:#x} bytes from its start.{header} Types up to 21 are swap areas on \
                 every kernel. The lines of /proc/swaps are in the order of their types, but an area removed with swapoff \
                 leaves a gap."
            )
        }
        (_, 31) => marker(offset),
        (State::Guard, _) => "A guard region, by bit 58.".to_owned(),
        (State::Marker, _) => "A marker of userfaultfd, by bit 57; before Linux 6.2 its type can be 30.".to_owned(),
        (_, 28..) => "Depends on the kernel configuration: a page being migrated, or device memory (before 6.2 perhaps a marker). \
                      In both cases the offset is a frame number. Not a swap area, unless the machine has that many swap areas."
            .to_owned(),
        _ => "Depends on the kernel configuration: a page being migrated, a poisoned page, or device memory, all with a \
              frame number as offset; or a swap area, if the machine has that many swap areas."
            .to_owned(),
    };
    word.notes.push(note);
}

/// The bits of a marker, type 31. (include/linux/swapops.h, PTE_MARKER_*)
fn marker(offset: u64) -> String {
    let kinds = [
        (1, "write-protected by userfaultfd, with no page present"),
        (2, "poisoned (touching it raises SIGBUS)"),
        (4, "a guard region"),
    ];
    let named: Vec<&str> = kinds.into_iter().filter(|(bit, _)| offset & bit != 0).map(|(_, kind)| kind).collect();
    let what = if named.is_empty() { "of a kind unknown to pmem".to_owned() } else { named.join("; ") };
    format!("A marker: {what}. Type 31 is a marker on every kernel since 6.2.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_size(bytes: u64) -> PageSize {
        PageSize::new(bytes).unwrap()
    }

    #[test]
    fn a_present_entry_has_a_frame_unless_it_is_hidden() {
        let word = pagemap("", 0x8100_0000_0014_9efe, page_size(4096));
        assert_eq!(
            (word.state, word.pfn, word.names.as_slice()),
            (Some("present"), Some(0x14_9efe), &["EXCLUSIVE", "PRESENT"][..])
        );
        assert_eq!(word.physical_address.as_deref(), Some("0x149efe000"));
        let word = pagemap("", 0x8000_0000_0014_9efe, page_size(65536));
        assert_eq!(word.physical_address.as_deref(), Some("0x149efe0000"));
        let hidden = pagemap("", 0xa100_0000_0000_0000, page_size(4096));
        assert_eq!((hidden.state, hidden.pfn), (Some("present"), None));
        assert!(hidden.notes[0].contains("CAP_SYS_ADMIN"));
        // All 55 bits of a frame number, times the largest page size: no overflow.
        assert!(pagemap("", !0, page_size(1 << 20)).physical_address.unwrap().ends_with("fff00000"));
    }

    #[test]
    fn every_bit_of_an_entry_has_a_name() {
        let word = pagemap("", !0, page_size(4096));
        let names = "SOFT_DIRTY EXCLUSIVE UFFD_WP GUARD BIT_59 BIT_60 FILE SWAP PRESENT";
        assert_eq!(word.names.join(" "), names);
        assert!(word.notes[0].contains("No kernel"), "{:?}", word.notes);
    }

    #[test]
    fn an_entry_that_is_not_present_is_told_as_far_as_it_can() {
        let swapped = |area, offset| Some(Slot { area, offset });
        for (word, state, swap, part) in [
            (0, Some("none"), None, "never touched"),
            (1 << 55, Some("none"), None, "never touched"),
            (5, Some("none"), None, "no kernel writes that"),
            (SWAP_LIKE | 7 << 5, Some("swapped"), swapped(0, 7), "0x7000 bytes"),
            (SWAP_LIKE | 7 << 5 | 21, Some("swapped"), swapped(21, 7), "Page 7 of swap area 21"),
            (SWAP_LIKE | 21, Some("swapped"), swapped(21, 0), "header"),
            (SWAP_LIKE | 7 << 5 | 24, Some("special"), swapped(24, 7), "or a swap area"),
            (SWAP_LIKE | 7 << 5 | 28, Some("special"), swapped(28, 7), "Not a swap area, unless"),
            (SWAP_LIKE | 1 << 58 | 0x9f, Some("guard"), swapped(31, 4), "a guard region"),
            (SWAP_LIKE | 0x9f, Some("guard"), swapped(31, 4), "a guard region"),
            (SWAP_LIKE | 1 << 57 | 0x3f, Some("marker"), swapped(31, 1), "userfaultfd"),
            (SWAP_LIKE | 0x5f, Some("marker"), swapped(31, 2), "poisoned"),
            (SWAP_LIKE | 0x7f, Some("marker"), swapped(31, 3), "userfaultfd, with no page present; poisoned"),
            (SWAP_LIKE | 0x11f, Some("marker"), swapped(31, 8), "unknown to pmem"),
            (SWAP_LIKE | 1 << 57 | 1 << 5 | 30, Some("marker"), swapped(30, 1), "its type can be 30"),
            (SWAP_LIKE, None, None, "hidden"),
            (SWAP_LIKE | 1 << 57, None, None, "hidden"),
            (SWAP_LIKE | 1 << 58, Some("guard"), None, "hidden"),
        ] {
            let decoded = pagemap("", word, page_size(4096));
            assert_eq!((decoded.state, decoded.swap), (state, swap), "{word:#x}");
            assert!(decoded.notes.iter().any(|note| note.contains(part)), "{word:#x}: {:?}", decoded.notes);
        }
    }

    #[test]
    fn a_swap_entry_is_that_of_its_word() {
        for word in [7 << 5 | 2, 0x9f, 7 << 5 | 28] {
            let (swap, entry) = (swap("", word, page_size(4096)), pagemap("", word | SWAP_LIKE, page_size(4096)));
            assert_eq!((swap.state, swap.swap, swap.notes), (entry.state, entry.swap, entry.notes));
        }
    }
}
