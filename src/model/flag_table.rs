//! Every flag that `/proc/kpageflags` has or had, with its meaning on each kind of frame.
//!
//! Read from fs/proc/page.c, include/uapi/linux/kernel-page-flags.h, include/linux/kernel-page-flags.h,
//! include/linux/page-flags.h and tools/mm/page-types.c of Linux 4.19 to 7.1.

use super::frame_flags::{ANON, BUDDY, SLAB, WRITEBACK};

/// One meaning of a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The bit number.
    pub bit: u32,
    /// Its name without the kernel's `KPF_` prefix.
    pub name: &'static str,
    /// The kernel's internal name: a flag of `struct page`, or a page type. `None` if it is computed.
    pub pg_name: Option<&'static str>,
    /// Its name in page-types of Linux 6.12.
    pub page_types: Option<&'static str>,
    /// Its letter in page-types of Linux 6.12; some letters are used for two flags.
    pub letter: Option<char>,
    /// What it means for a frame.
    pub meaning: &'static str,
    /// The first release that has it; `None` if older than Linux 4.19.
    pub since: Option<&'static str>,
    /// The last release that has it; `None` if it still exists.
    pub until: Option<&'static str>,
    /// A common misinterpretation.
    pub trap: Option<&'static str>,
    /// On which frames the bit has this meaning, and where it comes from.
    pub origin: Origin,
    /// Other accepted names, in upper case.
    pub aliases: &'static [&'static str],
}

/// The origin of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel sets this bit.
    Kernel,
    /// The kernel sets this bit, and it has this meaning on frames with all bits of `set` and none of `clear`.
    Overloaded {
        /// Bits that must be set.
        set: u64,
        /// Bits that must be clear.
        clear: u64,
    },
    /// Set by page-types if bit `of` has a different meaning. No kernel sets it.
    PageTypes {
        /// The bit the kernel sets.
        of: u32,
    },
    /// Set by page-types from pagemap. No kernel sets it.
    Pagemap,
}

impl Flag {
    /// Whether the bit has this meaning in a word with stale bits masked out ([`FrameFlags::meaningful`]).
    ///
    /// [`FrameFlags::meaningful`]: super::frame_flags::FrameFlags::meaningful
    pub fn applies(&self, word: u64) -> bool {
        match self.origin {
            Origin::Overloaded { set, clear } => word & (set | clear) == set,
            Origin::PageTypes { .. } => false,
            Origin::Kernel | Origin::Pagemap => true,
        }
    }

    /// The bits set in a word with this flag: its own, and those required for this meaning.
    pub fn bits(&self) -> u64 {
        match self.origin {
            Origin::Overloaded { set, .. } => 1 << self.bit | set,
            Origin::PageTypes { of } => 1 << of,
            Origin::Kernel | Origin::Pagemap => 1 << self.bit,
        }
    }

    /// The meaning of `bit` in a word with stale bits masked out. `None` for a bit no kernel uses yet, and for bits that
    /// page-types moves.
    pub fn at(bit: u32, word: u64) -> Option<&'static Self> {
        let first = FIRST.get(bit as usize).map_or(FLAGS.len(), |first| usize::from(*first));
        FLAGS[first..].iter().take_while(|flag| flag.bit == bit).find(|flag| flag.applies(word))
    }

    /// The flag with this name, in upper or lower case, with or without `PG_`, `PGTY_` or `KPF_`: pmem's, the kernel's or
    /// page-types' name.
    pub fn named(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_uppercase();
        let plain = ["PG_", "PGTY_", "KPF_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
        FLAGS.iter().find(|flag| flag.names().any(|known| known.eq_ignore_ascii_case(plain)))
    }

    /// All its names, without prefixes.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let pg = self.pg_name.map(|name| name.strip_prefix("PG_").unwrap_or(name));
        std::iter::once(self.name).chain(self.page_types).chain(pg).chain(self.aliases.iter().copied())
    }

    const fn new(
        bit: u32,
        name: &'static str,
        pg_name: &'static str,
        page_types: &'static str,
        meaning: &'static str,
    ) -> Self {
        let origin = Origin::Kernel;
        let letter = match page_types.as_bytes() {
            [letter, b':', ..] => Some(*letter as char),
            _ => None,
        };
        let page_types = if letter.is_some() { Some(page_types.split_at(2).1) } else { None };
        let pg_name = if pg_name.is_empty() { None } else { Some(pg_name) };
        let (since, until, trap, aliases) = (None, None, None, &[]);
        Self { bit, name, pg_name, page_types, letter, meaning, since, until, trap, origin, aliases }
    }

    const fn on(mut self, set: u64, clear: u64) -> Self {
        self.origin = Origin::Overloaded { set, clear };
        self
    }

    const fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    const fn since(mut self, release: &'static str) -> Self {
        self.since = Some(release);
        self
    }

    const fn until(mut self, release: &'static str) -> Self {
        self.until = Some(release);
        self
    }

    const fn trap(mut self, trap: &'static str) -> Self {
        self.trap = Some(trap);
        self
    }

    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// Every meaning of every bit, lowest bit first; for each bit, special meanings before the general one.
///
/// SLUB_FROZEN and SLUB_DEBUG are how page-types still interprets two bits on slab frames. No kernel since 4.19 has these
/// meanings: there, ACTIVE means that the slab came from the memory reserves, and ERROR means nothing. They are listed so that
/// they are recognised.
#[rustfmt::skip]
pub static FLAGS: [Flag; 49] = [
    Flag::new(0, "LOCKED", "PG_locked", "L:locked",
        "Locked: for I/O, or while its contents or its owner change."),
    Flag::new(1, "ERROR", "PG_error", "E:error",
        "An I/O error.")
        .until("6.11"),
    Flag::new(2, "REFERENCED", "PG_referenced", "R:referenced",
        "Referenced since it was put on its LRU list.")
        .trap("Not the accessed bit of page-table entries: a page in constant use may not have it."),
    Flag::new(3, "REPORTED", "PG_reported", "",
        "Free, and its block was reported to the hypervisor, which may have reclaimed the memory.")
        .on(BUDDY, 0).since("5.7")
        .trap("Valid only on the first frame of a block; stale elsewhere. page-types calls it uptodate."),
    Flag::new(3, "UPTODATE", "PG_uptodate", "U:uptodate",
        "Its contents are valid."),
    Flag::new(4, "DIRTY", "PG_dirty", "D:dirty",
        "Its contents must be written back.")
        .trap("Of the frame, not of page-table entries: written anonymous pages are rarely DIRTY."),
    Flag::new(5, "LRU", "PG_lru", "l:lru",
        "On an LRU list, so it can be reclaimed.")
        .trap("Briefly missing on new pages: each CPU batches pages before adding them to the list."),
    Flag::new(6, "PFMEMALLOC", "SL_pfmemalloc", "",
        "A slab allocated from the memory reserves (for swap over the network).")
        .on(SLAB, 0)
        .trap("page-types calls it slub_frozen, a meaning no kernel since 4.19 has."),
    Flag::new(6, "ACTIVE", "PG_active", "A:active",
        "On the active list: reclaimed last."),
    Flag::new(7, "SLAB", "PG_slab", "S:slab",
        "Used by the slab allocator; set on every frame of the slab.")
        .trap("Large kmalloc memory (over two pages) counts as slab in meminfo but does not have it."),
    Flag::new(8, "WRITEBACK", "PG_writeback", "W:writeback",
        "Being written back."),
    Flag::new(9, "READAHEAD", "PG_readahead", "I:readahead",
        "Read-ahead marker: touching it starts the next read-ahead.")
        .on(0, WRITEBACK)
        .trap("On a dirty frame it can also mean RECLAIM: the kernel uses one flag for both."),
    Flag::new(9, "RECLAIM", "PG_reclaim", "I:reclaim",
        "To be reclaimed as soon as writeback is done."),
    Flag::new(10, "BUDDY", "PG_buddy", "B:buddy",
        "Free, in a block of the buddy allocator; set on every frame of the block.")
        .trap("Free frames on per-CPU lists do not have it."),
    Flag::new(11, "MMAP", "", "M:mmap",
        "Mapped by page tables.")
        .also(&["MAPPED"])
        .trap("Since 6.15 also set if only another page of its folio is mapped; before, only for this page."),
    Flag::new(12, "ANON", "", "a:anonymous",
        "Anonymous memory of processes.")
        .trap("Stale, and not shown here, on slab frames (6.2 to 6.19) and on others without LRU, MMAP or SWAPCACHE."),
    Flag::new(13, "SWAPCACHE", "PG_swapcache", "s:swapcache",
        "Has a swap slot: about to be swapped out, or swapped in and not changed since."),
    Flag::new(14, "SWAPBACKED", "PG_swapbacked", "b:swapbacked",
        "Backed by swap, not by a file: anonymous or shared memory.")
        .trap("Anonymous memory given back with MADV_FREE does not have it."),
    Flag::new(15, "COMPOUND_HEAD", "PG_head", "H:compound_head",
        "The first page of a compound page: a folio, a slab, or a driver's buffer.")
        .trap("page-types hides it without -r, unless HUGE is set."),
    Flag::new(16, "COMPOUND_TAIL", "", "T:compound_tail",
        "A further page of a compound page.")
        .also(&["TAIL"])
        .trap("Up to 6.9 a tail page has almost no flags of its own; since 6.10 most are copied from its head."),
    Flag::new(17, "HUGE", "PG_hugetlb", "G:huge",
        "A hugetlb page, in use or free in its pool.")
        .trap("Not a transparent huge page: that is THP."),
    Flag::new(18, "UNEVICTABLE", "PG_unevictable", "u:unevictable",
        "Cannot be reclaimed: mlock, SHM_LOCK, ramfs."),
    Flag::new(19, "HWPOISON", "PG_hwpoison", "X:hwpoison",
        "The hardware found its memory corrupted; it will not be used again."),
    Flag::new(20, "NOPAGE", "", "n:nopage",
        "No memory at this frame number.")
        .trap("6.15 to 7.1 never report it: holes read as 0, like frames without flags."),
    Flag::new(21, "KSM", "", "x:ksm",
        "Merged by KSM: one frame for pages with the same contents.")
        .trap("6.10 to 7.0 set it on every anonymous page unless the fix was backported; 'pmem doctor' checks."),
    Flag::new(22, "THP", "", "t:thp",
        "Part of a large folio, anonymous or file-backed, or of the huge zero page.")
        .trap("Since 6.10 of any order, not just 2 MiB: a HEAD and its TAILs give the size. Before, only if on the LRU \
               or anonymous."),
    Flag::new(23, "OFFLINE", "PG_offline", "o:offline",
        "Logically offline: taken by a balloon driver or a virtual memory device.")
        .also(&["BALLOON"])
        .trap("Up to 5.0 the bit is called BALLOON and means only that."),
    Flag::new(24, "ZERO_PAGE", "", "z:zero_page",
        "The shared zero page, or part of the huge zero page.")
        .trap("Its mapcount is 0 although many processes map it. It is in no process's RSS."),
    Flag::new(25, "IDLE", "PG_idle", "i:idle_page",
        "Not used since it was marked idle.")
        .trap("DAMON marks pages too. Accesses through page tables are noticed only when the idle bitmap is read."),
    Flag::new(26, "PGTABLE", "PG_table", "g:pgtable",
        "A page table.")
        .since("4.18").also(&["PAGE_TABLE"]),
    Flag::new(32, "RESERVED", "PG_reserved", "r:reserved",
        "Reserved: the kernel's image and tables, firmware, the vDSO.")
        .trap("From here on the flags are not ABI: meanings may change."),
    Flag::new(33, "MLOCKED", "PG_mlocked", "m:mlocked",
        "Locked in memory by mlock."),
    Flag::new(34, "ANON_EXCLUSIVE", "PG_anon_exclusive", "d:anon_exclusive",
        "Anonymous and exclusive to one process: a write needs no copy.")
        .on(ANON, 0).since("5.19")
        .trap("Cleared by fork. Up to 5.18 the bit means nothing on anonymous pages."),
    Flag::new(34, "OWNER_2", "PG_owner_2", "d:owner_2",
        "File page: all its buffers are mapped to disk blocks, or a file system's private meaning.")
        .also(&["MAPPEDTODISK"])
        .trap("Called MAPPEDTODISK up to 6.11. File systems without buffer heads may use it for their own purposes."),
    Flag::new(35, "PRIVATE", "PG_private", "P:private",
        "The file system has private data attached: buffers, block state."),
    Flag::new(36, "PRIVATE_2", "PG_private_2", "p:private_2",
        "More private state: being written to the local cache of a network file system, or ordered (btrfs).")
        .also(&["FSCACHE"]),
    Flag::new(37, "OWNER_PRIVATE", "PG_owner_priv_1", "O:owner_private",
        "An owner-defined flag: file systems (checked), Xen (pinned, foreign).")
        .also(&["CHECKED", "PINNED", "FOREIGN"])
        .trap("Always set together with SWAPCACHE: the kernel uses one flag for both."),
    Flag::new(38, "ARCH", "PG_arch_1", "h:arch",
        "Architecture-specific. arm64 and others: the data cache is clean. x86: mapped write-combining; with ARCH_2, \
         write-through.")
        .also(&["ARCH_1"]),
    Flag::new(39, "UNCACHED", "PG_uncached", "",
        "Mapped uncached.")
        .until("6.11"),
    Flag::new(40, "SOFTDIRTY", "", "f:softdirty",
        "Written since soft-dirty bits were cleared.")
        .from(Origin::Pagemap).also(&["SOFT_DIRTY"])
        .trap("The kernel never sets it here; page-types takes it from bit 55 of pagemap."),
    Flag::new(41, "ARCH_2", "PG_arch_2", "H:arch_2",
        "Architecture-specific. arm64: has memory tags (MTE). x86 since 6.12: mapped uncached; with ARCH, \
         write-through.")
        .since("5.10").also(&["MTE_TAGGED"]),
    Flag::new(42, "ARCH_3", "PG_arch_3", "",
        "Architecture-specific. arm64: its memory tags are being initialised (MTE).")
        .since("6.6").also(&["MTE_LOCK"]),
    Flag::new(47, "ANON_EXCLUSIVE", "", "d:anon_exclusive",
        "page-types -r shows bit 34 of anonymous frames here.")
        .from(Origin::PageTypes { of: 34 }),
    Flag::new(48, "READAHEAD", "", "I:readahead",
        "page-types -r shows bit 9 here if WRITEBACK is not set.")
        .from(Origin::PageTypes { of: 9 }),
    Flag::new(50, "SLUB_FROZEN", "", "A:slub_frozen",
        "page-types -r shows bit 6 of slab frames here.")
        .from(Origin::PageTypes { of: 6 })
        .trap("No kernel since 4.19 has this meaning: see PFMEMALLOC."),
    Flag::new(51, "SLUB_DEBUG", "", "E:slub_debug",
        "page-types -r shows bit 1 of slab frames here.")
        .from(Origin::PageTypes { of: 1 })
        .trap("No kernel since 4.19 has this meaning."),
    Flag::new(61, "FILE", "", "F:file",
        "Mapped, and not anonymous.")
        .from(Origin::Pagemap)
        .trap("Bit 61 of pagemap, shown here by page-types; never in kpageflags."),
    Flag::new(62, "SWAP", "", "w:swap",
        "Swapped out, or something else that is not present.")
        .from(Origin::Pagemap)
        .trap("Bit 62 of pagemap, shown here by page-types; never in kpageflags."),
    Flag::new(63, "MMAP_EXCLUSIVE", "", "1:mmap_exclusive",
        "Mapped exactly once.")
        .from(Origin::Pagemap)
        .trap("Bit 56 of pagemap, shown here by page-types; never in kpageflags."),
];

/// For each bit, the index in [`FLAGS`] of its first flag, or of the next higher bit's: long lists look up millions of flags.
const FIRST: [u8; 64] = {
    let (mut first, mut place, mut bit) = ([0; 64], 0, 0);
    while bit < 64 {
        while place < FLAGS.len() && FLAGS[place].bit < bit {
            place += 1;
        }
        first[bit as usize] = place as u8;
        bit += 1;
    }
    first
};

#[cfg(test)]
mod tests {
    use super::super::frame_flags::{
        ARCH, COMPOUND_HEAD, COMPOUND_TAIL, ERROR, FrameFlags, IDLE, KSM, LRU, MLOCKED, MMAP, NOPAGE, OFFLINE, OWNER_2,
        OWNER_PRIVATE, PGTABLE, RESERVED, SWAPBACKED, SWAPCACHE, THP, UNCACHED, UNEVICTABLE, UPTODATE, ZERO_PAGE,
    };
    use super::*;

    /// Bits with the releases that have them, by include/uapi/linux/kernel-page-flags.h and
    /// include/linux/kernel-page-flags.h of Linux 4.19 to 7.1.
    #[rustfmt::skip]
    const KERNEL: [(u32, &str, Option<&str>, Option<&str>); 38] = [
        (0, "LOCKED", None, None), (1, "ERROR", None, Some("6.11")), (2, "REFERENCED", None, None),
        (3, "UPTODATE", None, None), (4, "DIRTY", None, None), (5, "LRU", None, None), (6, "ACTIVE", None, None),
        (7, "SLAB", None, None), (8, "WRITEBACK", None, None), (9, "RECLAIM", None, None), (10, "BUDDY", None, None),
        (11, "MMAP", None, None), (12, "ANON", None, None), (13, "SWAPCACHE", None, None),
        (14, "SWAPBACKED", None, None), (15, "COMPOUND_HEAD", None, None), (16, "COMPOUND_TAIL", None, None),
        (17, "HUGE", None, None), (18, "UNEVICTABLE", None, None), (19, "HWPOISON", None, None),
        (20, "NOPAGE", None, None), (21, "KSM", None, None), (22, "THP", None, None), (23, "OFFLINE", None, None),
        (24, "ZERO_PAGE", None, None), (25, "IDLE", None, None), (26, "PGTABLE", Some("4.18"), None),
        (32, "RESERVED", None, None), (33, "MLOCKED", None, None), (34, "OWNER_2", None, None),
        (35, "PRIVATE", None, None), (36, "PRIVATE_2", None, None), (37, "OWNER_PRIVATE", None, None),
        (38, "ARCH", None, None), (39, "UNCACHED", None, Some("6.11")), (40, "SOFTDIRTY", None, None),
        (41, "ARCH_2", Some("5.10"), None), (42, "ARCH_3", Some("6.6"), None),
    ];

    #[test]
    fn every_bit_of_the_kernel_is_there() {
        for (bit, name, since, until) in KERNEL {
            let flag = FLAGS.iter().find(|flag| flag.name == name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!((flag.bit, flag.since, flag.until), (bit, since, until), "{name}");
        }
        for bit in (0..64).filter(|bit| !KERNEL.iter().any(|(known, ..)| known == bit)) {
            assert!(Flag::at(bit, 0).is_none_or(|flag| flag.origin == Origin::Pagemap), "bit {bit}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_its_names_are_not_taken_for_words() {
        assert!(FLAGS.is_sorted_by_key(|flag| flag.bit));
        for flag in &FLAGS {
            for name in flag.names() {
                let found = Flag::named(name).unwrap();
                assert!(found.name == flag.name || found.bit == flag.bit, "{name} is {} too", found.name);
                assert!(u64::from_str_radix(name, 16).is_err(), "{name} is a number in hexadecimal");
            }
            assert_eq!(flag.letter.is_some(), flag.page_types.is_some(), "{}", flag.name);
            assert!(flag.meaning.ends_with('.') && flag.trap.is_none_or(|trap| trap.ends_with('.')), "{}", flag.name);
        }
    }

    /// Words of the same kinds of frames on kernels of different ages.
    #[test]
    fn words_of_every_range_of_kernels_are_named() {
        let anon = UPTODATE | LRU | MMAP | ANON | SWAPBACKED;
        let anon_names = "UPTODATE LRU MMAP ANON SWAPBACKED";
        for (kernels, word, names) in [
            ("4.19 to 5.0: a balloon", OFFLINE, "OFFLINE".to_owned()),
            ("4.19 to 6.11: an I/O error", ERROR | LRU, "ERROR LRU".to_owned()),
            ("4.19 to 6.11: mapped uncached", ARCH | UNCACHED, "ARCH UNCACHED".to_owned()),
            ("4.19 to 6.14: a hole", NOPAGE, "NOPAGE".to_owned()),
            ("4.19 to 5.18: anonymous", anon, anon_names.to_owned()),
            ("5.19 on: anonymous", anon | OWNER_2, format!("{anon_names} ANON_EXCLUSIVE")),
            ("all: a file with buffers", UPTODATE | LRU | OWNER_2, "UPTODATE LRU OWNER_2".to_owned()),
            ("4.19 to 6.9: a tail", COMPOUND_TAIL, "COMPOUND_TAIL".to_owned()),
            ("6.10 on: a tail", anon | COMPOUND_TAIL | THP, format!("{anon_names} COMPOUND_TAIL THP")),
            ("all: merged", anon | KSM, format!("{anon_names} KSM")),
            ("6.2 to 6.19: a slab with left-overs", SLAB | ANON | KSM | COMPOUND_HEAD, "SLAB COMPOUND_HEAD".to_owned()),
            ("5.7 on: free and reported", BUDDY | UPTODATE, "REPORTED BUDDY".to_owned()),
            ("all: the zero page", ZERO_PAGE | RESERVED, "ZERO_PAGE RESERVED".to_owned()),
            ("4.18 on: a page table", PGTABLE | ANON, "PGTABLE".to_owned()),
            ("all: locked in memory", LRU | UNEVICTABLE | IDLE | MLOCKED, "LRU UNEVICTABLE IDLE MLOCKED".to_owned()),
            (
                "all: swapped in",
                anon | SWAPCACHE | OWNER_PRIVATE,
                "UPTODATE LRU MMAP ANON SWAPCACHE SWAPBACKED OWNER_PRIVATE".to_owned(),
            ),
            ("5.10 on, arm64: with memory tags", MMAP | 1 << 41 | 1 << 42, "MMAP ARCH_2 ARCH_3".to_owned()),
            ("none yet", 1 << 27 | 1 << 46, "BIT_27 BIT_46".to_owned()),
        ] {
            assert_eq!(FrameFlags(word).names().join(" "), names, "{kernels}");
        }
    }

    /// Words of a machine with Linux 6.18, and what page-types -r of Linux 6.12 printed for them, if that is right.
    #[test]
    fn words_are_named_as_page_types_names_them() {
        for (word, names) in [
            (0x400, "buddy"),
            (0x4_0000_006c, "referenced,uptodate,lru,active,owner_2"),
            (0x1_0080, "slab,compound_tail"),
            (0x8_0241_002c, "referenced,uptodate,lru,compound_tail,thp,idle_page,private"),
            (0x8_0241_003c, "referenced,uptodate,dirty,lru,compound_tail,thp,idle_page,private"),
            (0x8_0040_8028, "uptodate,lru,compound_head,thp,private"),
            (0x8_0000_0064, "referenced,lru,active,private"),
            (0x1_0000_0000, "reserved"),
            (0x1_0100_0000, "zero_page,reserved"),
            (0x8002_0204_5828, "uptodate,lru,mmap,anonymous,swapbacked,unevictable,idle_page,mlocked,anon_exclusive"),
            (0x8000_0000_5828, "uptodate,lru,mmap,anonymous,swapbacked,anon_exclusive"),
            (0x1_0008_0000_0070, "dirty,lru,active,private,readahead"),
            (0x400_0000, "pgtable"),
        ] {
            let ours = FrameFlags::from_page_types(word).names();
            let mut theirs: Vec<&str> = names.split(',').map(|name| Flag::named(name).unwrap().name).collect();
            theirs.sort_by_key(|name| ours.iter().position(|ours| ours == name));
            assert_eq!(ours, theirs, "{word:#x}");
        }
    }
}
