//! A word of `/proc/PID/pagemap`: the kernel's view of one page-table entry. (Documentation/admin-guide/mm/pagemap.rst)

use crate::unit::Pfn;

/// One word of pagemap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

/// The state of a page-table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Empty: never touched, given back, or shared memory that was swapped out (which leaves no trace here).
    None,
    /// It maps a frame.
    Present,
    /// Swapped out.
    Swapped,
    /// A guard region: touching it kills the process.
    Guard,
    /// A userfaultfd marker (write-protected without a page) or a poison marker: neither page nor swap.
    Marker,
    /// Anything else: under migration, in device memory, hardware-poisoned (RSS counts the first two), or of a kind hidden from
    /// this user.
    Special,
}

impl State {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Present => "present",
            Self::Swapped => "swapped",
            Self::Guard => "guard",
            Self::Marker => "marker",
            Self::Special => "special",
        }
    }

    /// Its description.
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "never touched, given back, or shared memory that was swapped out",
            Self::Present => "present",
            Self::Swapped => "swapped out",
            Self::Guard => "a guard region",
            Self::Marker => "a userfaultfd or poison marker",
            Self::Special => "under migration, in device memory, poisoned, or of a kind hidden from this user",
        }
    }
}

const FRAME: u64 = (1 << 55) - 1;
const SOFT_DIRTY: u64 = 1 << 55;
const SWAP_TYPE: u64 = (1 << 5) - 1;

/// Swap types up to this one are swap areas in every kernel and configuration; 31 is a marker since Linux 6.2. Those in between
/// depend on the configuration.
const LAST_CERTAIN_SWAP_TYPE: u64 = 21;
const MARKER_TYPE: u64 = 31;

impl Entry {
    /// Whether the entry is empty. In a new mapping the kernel marks holes soft-dirty too.
    pub fn is_empty(self) -> bool {
        self.0 & !SOFT_DIRTY == 0
    }

    /// Bit 63: it maps a frame.
    pub fn is_present(self) -> bool {
        self.0 >> 63 & 1 == 1
    }

    /// Bit 62: neither empty nor present.
    pub fn is_swap_like(self) -> bool {
        self.0 >> 62 & 1 == 1
    }

    /// Bit 61: the page is not anonymous. Also set for the huge zero page. Up to Linux 6.10 never set for a huge page mapped by
    /// a PMD, except for hugetlb.
    pub fn is_file(self) -> bool {
        self.0 >> 61 & 1 == 1
    }

    /// Bit 58, since Linux 6.15: a guard region.
    pub fn is_guard(self) -> bool {
        self.0 >> 58 & 1 == 1
    }

    /// Bit 57, since Linux 5.13: write-protected by userfaultfd.
    pub fn is_uffd_wp(self) -> bool {
        self.0 >> 57 & 1 == 1
    }

    /// Bit 56: mapped exactly once.
    pub fn is_exclusive(self) -> bool {
        self.0 >> 56 & 1 == 1
    }

    /// Bit 55: soft-dirty. Always 0 on a kernel built without it.
    pub fn is_soft_dirty(self) -> bool {
        self.0 & SOFT_DIRTY != 0
    }

    /// Bits 0–54 of a present entry: the frame. `None` if not present, or if the kernel hides it (frame 0 is never mapped).
    pub fn pfn(self) -> Option<Pfn> {
        let pfn = self.0 & FRAME;
        (self.is_present() && pfn != 0).then_some(Pfn(pfn))
    }

    /// Bits 0–4 and 5–54 of a swap-like entry: the swap area, and the slot in it, in pages. `None` if the kernel hides them
    /// (they read as 0, and slot 0 holds the area's header), or if there is none.
    pub fn slot(self) -> Option<(u64, u64)> {
        let slot = self.0 & FRAME;
        (self.is_swap_like() && slot != 0).then_some((slot & SWAP_TYPE, slot >> SWAP_TYPE.count_ones()))
    }

    /// The state of the entry. `swap_areas` is the number of areas in `/proc/swaps`: types above `LAST_CERTAIN_SWAP_TYPE` are
    /// swap only if there are that many areas.
    ///
    /// If the kernel hides swap types and offsets (without CAP_SYS_ADMIN they read as 0), a marker looks like a swapped-out
    /// page. It counts as swapped out if there is any swap area.
    pub fn state(self, swap_areas: u64) -> State {
        if self.is_present() {
            return State::Present;
        }
        if !self.is_swap_like() {
            return State::None;
        }
        if self.is_guard() {
            return State::Guard;
        }
        let hidden = self.0 & FRAME == 0;
        match self.0 & SWAP_TYPE {
            _ if hidden && swap_areas == 0 => {
                if self.is_uffd_wp() {
                    State::Marker
                } else {
                    State::Special
                }
            }
            MARKER_TYPE => match (self.0 & FRAME) >> 5 {
                // Before Linux 6.15 a guard region has only this marker, not its own bit.
                GUARD_MARKER => State::Guard,
                _ => State::Marker,
            },
            swap_type if swap_type <= LAST_CERTAIN_SWAP_TYPE || swap_type < swap_areas => State::Swapped,
            // Before Linux 6.2 the marker type depends on the configuration too; userfaultfd markers have their own bit.
            _ if self.is_uffd_wp() => State::Marker,
            _ => State::Special,
        }
    }
}

/// The bit in a marker's offset field that means guard region. (include/linux/swapops.h, PTE_MARKER_GUARD)
const GUARD_MARKER: u64 = 1 << 2;

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: u64 = 1 << 63;
    const SWAP: u64 = 1 << 62;

    #[test]
    fn entries_seen_on_linux_6_18_are_named() {
        for (word, areas, expected) in [
            (0, 0, State::None),
            (1 << 55, 0, State::None),
            (PRESENT | 0x149_efe, 0, State::Present),
            (PRESENT, 0, State::Present),
            (SWAP | 1 << 58 | 0x9f, 0, State::Guard),
            (SWAP | 1 << 58, 0, State::Guard),
            (SWAP | 0x9f, 0, State::Guard),
            (SWAP | 1 << 57 | 0x3f, 0, State::Marker),
            (SWAP | 1 << 57, 0, State::Marker),
            (SWAP | 1 << 57, 1, State::Swapped),
            (SWAP, 0, State::Special),
            (SWAP | 7 << 5, 1, State::Swapped),
            (SWAP | 7 << 5 | 21, 1, State::Swapped),
            (SWAP | 7 << 5 | 28, 1, State::Special),
            (SWAP | 7 << 5 | 24, 25, State::Swapped),
            (SWAP | 1 << 57 | 1 << 5 | 30, 0, State::Marker),
        ] {
            assert_eq!(Entry(word).state(areas), expected, "{word:#x} with {areas} swap areas");
        }
    }

    #[test]
    fn a_hidden_frame_is_no_frame() {
        assert_eq!(Entry(PRESENT).pfn(), None);
        assert_eq!(Entry(PRESENT | 5).pfn(), Some(Pfn(5)));
        assert_eq!(Entry(SWAP | 5).pfn(), None);
    }
}
