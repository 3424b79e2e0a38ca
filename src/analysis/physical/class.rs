//! What a frame is: the one classifier, which every command uses.

use serde::Serialize;

use crate::kernel::physical::Memory;
use crate::model::frame_flags::{
    ANON, BUDDY, COMPOUND_HEAD, COMPOUND_TAIL, HUGE, KSM, LRU, MMAP, NOPAGE, OFFLINE, PGTABLE, RESERVED, SLAB,
    SWAPBACKED, SWAPCACHE, UPTODATE, ZERO_PAGE,
};

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No memory at this frame number.
    Hole,
    /// Free, in a block of the buddy allocator.
    Free,
    /// Logically offline: given back to the hypervisor, or in an offline memory block.
    Offline,
    /// Memory of the slab allocator.
    Slab,
    /// A page table.
    PageTable,
    /// A hugetlb page, in use or in its pool.
    Hugetlb,
    /// The shared zero page, small or huge.
    ZeroPage,
    /// Reserved: the kernel's own image and tables, firmware.
    Reserved,
    /// Anonymous memory of processes.
    Anon,
    /// Anonymous memory that KSM merged.
    Ksm,
    /// tmpfs, shared anonymous memory, memfd and SysV segments.
    Shmem,
    /// Page cache of files, and frames mapped by drivers and io_uring.
    File,
    /// A compound page with no flag for its owner: a driver's, or a large kmalloc.
    OtherCompound,
    /// Memory with no flag for its use: kernel text and data, vmalloc, free pages on per-CPU lists, and memory not yet
    /// initialised. The kernel does not flag it as free.
    Unclassified,
}

impl Class {
    /// All of them, in the order they are tried.
    pub const ALL: [Self; 14] = [
        Self::Hole,
        Self::Free,
        Self::Offline,
        Self::Slab,
        Self::PageTable,
        Self::Hugetlb,
        Self::ZeroPage,
        Self::Reserved,
        Self::Anon,
        Self::Ksm,
        Self::Shmem,
        Self::File,
        Self::OtherCompound,
        Self::Unclassified,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::Free => "free",
            Self::Offline => "offline",
            Self::Slab => "slab",
            Self::PageTable => "page_table",
            Self::Hugetlb => "hugetlb",
            Self::ZeroPage => "zero_page",
            Self::Reserved => "reserved",
            Self::Anon => "anon",
            Self::Ksm => "ksm",
            Self::Shmem => "shmem",
            Self::File => "file",
            Self::OtherCompound => "other_compound",
            Self::Unclassified => "unclassified",
        }
    }

    /// The class of a frame without flags in this kind of memory, if it is not [`Unclassified`](Self::Unclassified).
    /// (The word of a hole that the kernel does not report is 0.)
    pub fn of_absent(memory: Memory) -> Option<Self> {
        match memory {
            Memory::Hole => Some(Self::Hole),
            Memory::Offline => Some(Self::Offline),
            Memory::Ram | Memory::Unknown => None,
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::PageTable => "page tables",
            Self::ZeroPage => "zero page",
            Self::Anon => "anonymous",
            Self::Ksm => "KSM",
            Self::Shmem => "shared memory",
            Self::OtherCompound => "other compound",
            other => other.name(),
        }
    }
}

/// Tells the class of a frame from its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// Whether the KSM flag is right (it is not on Linux 6.10 to 7.0: [`ksm_flag_wrong`]).
    ///
    /// [`ksm_flag_wrong`]: crate::kernel::features::Features::ksm_flag_wrong
    pub ksm_flag_right: bool,
}

impl Classifier {
    /// A word of kpageflags without the flag that this kernel sets on every anonymous frame, if it does.
    pub fn believed(self, flags: u64) -> u64 {
        if self.ksm_flag_right { flags } else { flags & !KSM }
    }

    /// The class of a frame with this word of kpageflags. Since Linux 6.10 the kernel gives tails of compound pages the
    /// flags of their head; before that, pass the word of the head for a tail.
    ///
    /// The first match wins. Frames with a type of their own (free, slab, page table, …) are tried before anonymous and
    /// mapped ones: on those frames, and on frames on no LRU list and in no page table or swap cache, the bits ANON and
    /// KSM are left over from other fields. A hole that the kernel does not report cannot be recognised here: its word
    /// is 0.
    pub fn class(self, flags: u64) -> Class {
        const FIRST: [(u64, Class); 8] = [
            (NOPAGE, Class::Hole),
            (BUDDY, Class::Free),
            (OFFLINE, Class::Offline),
            (SLAB, Class::Slab),
            (PGTABLE, Class::PageTable),
            (HUGE, Class::Hugetlb),
            (ZERO_PAGE, Class::ZeroPage),
            (RESERVED, Class::Reserved),
        ];
        if flags == 0 {
            return Class::Unclassified;
        }
        if let Some((_, class)) = FIRST.iter().find(|(bit, _)| flags & bit != 0) {
            return *class;
        }
        let is = |bits| flags & bits != 0;
        if is(ANON) && is(MMAP | LRU | SWAPCACHE | SWAPBACKED) {
            return if self.believed(flags) & KSM != 0 { Class::Ksm } else { Class::Anon };
        }
        match () {
            // Read ahead from swap, and not mapped yet; may be shared memory, which the flags do not show.
            () if is(SWAPCACHE) => Class::Anon,
            () if is(SWAPBACKED) => Class::Shmem,
            () if is(LRU | MMAP | UPTODATE) => Class::File,
            () if is(COMPOUND_HEAD | COMPOUND_TAIL) => Class::OtherCompound,
            () => Class::Unclassified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Classifier = Classifier { ksm_flag_right: true };
    const WRONG: Classifier = Classifier { ksm_flag_right: false };

    #[test]
    fn words_seen_on_linux_6_18_are_what_they_are() {
        let anon = ANON | MMAP | SWAPBACKED | UPTODATE;
        for (flags, class) in [
            (0, Class::Unclassified),
            (NOPAGE, Class::Hole),
            (BUDDY | UPTODATE, Class::Free),
            (SLAB | ANON | KSM, Class::Slab),
            (SLAB | COMPOUND_TAIL | ANON, Class::Slab),
            (PGTABLE | ANON, Class::PageTable),
            (HUGE | COMPOUND_HEAD | MMAP | UPTODATE, Class::Hugetlb),
            (ZERO_PAGE | RESERVED, Class::ZeroPage),
            (ZERO_PAGE | 1 << 22 | COMPOUND_TAIL, Class::ZeroPage),
            (RESERVED | MMAP, Class::Reserved),
            (anon, Class::Anon),
            (anon & !SWAPBACKED, Class::Anon),
            (anon | KSM, Class::Ksm),
            (SWAPCACHE | SWAPBACKED | LRU, Class::Anon),
            (SWAPBACKED | LRU, Class::Shmem),
            (MMAP, Class::File),
            (LRU | UPTODATE, Class::File),
            (ANON, Class::Unclassified),
            (ANON | COMPOUND_HEAD, Class::OtherCompound),
            (COMPOUND_TAIL, Class::OtherCompound),
            (OFFLINE, Class::Offline),
        ] {
            assert_eq!(RIGHT.class(flags), class, "{flags:#x}");
        }
    }

    #[test]
    fn a_ksm_flag_that_is_wrong_is_not_believed() {
        assert_eq!(WRONG.class(ANON | KSM | MMAP), Class::Anon);
        assert_eq!((WRONG.believed(ANON | KSM), RIGHT.believed(ANON | KSM)), (ANON, ANON | KSM));
    }

    #[test]
    fn names_are_those_of_json() {
        for class in Class::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }
}
