//! How many page frames a process has, where, and why the kernel's counters give other numbers.

pub mod by_words;
pub mod change;
pub mod count;
pub mod join;
pub mod look;
pub mod owners;
mod region_counter;
pub mod select;
pub mod statm;

use serde::Serialize;

use super::note::Note;
use crate::analysis::frames::change::Change;
pub use crate::analysis::processes::address_space::NoAddressSpace;
use crate::analysis::processes::kind::Kind;
use crate::model::smaps::{Values, vm_flag_meaning};
use crate::model::vma::Vma;
use crate::name::Name;
use crate::unit::{PageSize, difference};

/// Counts of page-table entries, in base pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Present entries.
    pub present: u64,
    /// Of these, entries of the shared zero page, the small and the huge one: read but never written.
    pub zero: u64,
    /// Of the present ones, those mapped by a PMD or PUD (`huge_pages` counts base pages too).
    pub huge: u64,
    /// Entries that are swapped out. Swapped-out shared memory leaves no entry and is not among them.
    pub swapped: u64,
    /// Guard regions (`MADV_GUARD_INSTALL`): neither memory nor swap.
    pub guard: u64,
    /// Markers of userfaultfd or poison: neither memory nor swap.
    pub marker: u64,
    /// Entries in transit (migration), on a device, or poisoned.
    pub special: u64,
}

impl Counts {
    /// Adds another count to this one.
    pub fn add(&mut self, other: &Self) {
        self.present += other.present;
        self.zero += other.zero;
        self.huge += other.huge;
        self.swapped += other.swapped;
        self.guard += other.guard;
        self.marker += other.marker;
        self.special += other.special;
    }
}

/// How often the frames of a mapping are mapped, by the kernel's rules for smaps: zero pages and hugetlb are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Pages whose frame is mapped once.
    pub exclusive: u64,
    /// Pages whose frame is mapped more than once, also twice by the same process.
    pub shared: u64,
    /// The proportional set size in bytes, shifted left by 12 as the kernel keeps it.
    pub pss_shifted: u64,
    /// Pages whose mapcount could not be read: their frame has been unmapped since, or is not in the recorded tree.
    pub unknown: u64,
}

impl Owners {
    /// Adds the owners of another mapping: shares are added up before they are cut to bytes, as smaps_rollup does.
    pub fn add(&mut self, other: &Self) {
        self.exclusive += other.exclusive;
        self.shared += other.shared;
        self.pss_shifted = self.pss_shifted.saturating_add(other.pss_shifted);
        self.unknown += other.unknown;
    }

    /// The proportional set size in bytes.
    pub fn pss_bytes(&self) -> u64 {
        self.pss_shifted >> 12
    }
}

/// One mapping of a process and what is in it.
#[derive(Clone, Debug)]
pub struct VmaRow {
    /// The mapping, cut to the requested range.
    pub vma: Vma,
    /// What kind of memory it is.
    pub kind: Kind,
    /// Its size in base pages.
    pub size_pages: u64,
    /// What its page-table entries are; `None` where the kernel shows none: `[vsyscall]`, `[vvar]`.
    pub counts: Option<Counts>,
    /// How its frames are shared, if requested and known.
    pub owners: Option<Box<Owners>>,
    /// The requested values of smaps; `None` if smaps does not have this mapping.
    pub smaps: Option<Box<Values>>,
    /// The change of its present pages since the last round; `None` on the first, and for a mapping that is new.
    pub present_change: Option<i64>,
}

/// The codes of VmFlags in words; codes without a known meaning stay as they are.
pub fn flag_names(codes: &str) -> impl Iterator<Item = &str> {
    codes.split_ascii_whitespace().map(|code| vm_flag_meaning(code).unwrap_or(code))
}

/// How a process's page-table entries become its resident frames, next to what the kernel's counters say. In base
/// pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Present page-table entries.
    pub present_pages: u64,
    /// Of these, entries of the shared zero page, which is not the process's own frame.
    pub zero_pages: u64,
    /// Of the present ones, hugetlb pages, which the kernel accounts separately.
    pub hugetlb_pages: u64,
    /// Present minus zero minus hugetlb.
    pub resident_pages: u64,
    /// What `statm` says.
    pub statm_resident_pages: u64,
    /// What `smaps_rollup` says; `None` unless requested.
    pub smaps_rss_pages: Option<u64>,
    /// Entries that are swapped out.
    pub swapped_pages: u64,
    /// Guard regions.
    pub guard_pages: u64,
    /// Markers of userfaultfd or poison.
    pub marker_pages: u64,
    /// Entries in transit, on a device, or poisoned. statm counts the first two as resident.
    pub special_pages: u64,
    /// Resident minus what smaps says, if it was read, else minus what statm says. 0 for a process that did not change.
    pub unexplained_pages: i64,
    /// How often the process was read until it held still, at most
    /// [`ATTEMPTS`](crate::analysis::frames::select::ATTEMPTS).
    pub attempts: u32,
    /// Whether no change was seen during the last attempt: statm, faults and mappings were the same before and after.
    pub held_still: bool,
    /// The most pages by which statm may be off on this kernel; `None` where it is exact, or not known to be inexact.
    pub statm_bound_pages: Option<u64>,
}

/// Everything `pmem frames` says about one process.
#[derive(Clone, Debug)]
pub struct ProcessFrames {
    /// Its PID.
    pub pid: u32,
    /// Its name.
    pub comm: Name,
    /// Its command line, arguments separated by spaces; empty for kernel threads and zombies.
    pub command_line: Name,
    /// When it started, in clock ticks since boot.
    pub start_time_ticks: u64,
    /// Why there is nothing to count, if so.
    pub no_address_space: Option<NoAddressSpace>,
    /// The ledger of the whole address space, whatever rows were requested.
    pub ledger: Option<Ledger>,
    /// How the frames of all mappings are shared, if requested.
    pub owners: Option<Owners>,
    /// A row for each mapping.
    pub vmas: Vec<VmaRow>,
    /// How many mappings the process has.
    pub vma_count: usize,
    /// The change since the last round.
    pub change: Option<Change>,
    /// What the reader must know.
    pub notes: Vec<Note>,
}

/// The processes of a round, each without its mappings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Processes {
    /// A row for each.
    #[serde(skip)]
    pub rows: Vec<ProcessFrames>,
}

/// The ledger of counted rows.
pub fn ledger(rows: &[VmaRow], statm: u64, smaps_rss: Option<u64>) -> Ledger {
    let (mut all, mut hugetlb) = (Counts::default(), 0);
    for row in rows {
        let Some(counts) = &row.counts else { continue };
        all.add(counts);
        if row.kind == Kind::Hugetlb {
            hugetlb += counts.present;
        }
    }
    let resident = all.present.saturating_sub(all.zero).saturating_sub(hugetlb);
    Ledger {
        present_pages: all.present,
        zero_pages: all.zero,
        hugetlb_pages: hugetlb,
        resident_pages: resident,
        statm_resident_pages: statm,
        smaps_rss_pages: smaps_rss,
        swapped_pages: all.swapped,
        guard_pages: all.guard,
        marker_pages: all.marker,
        special_pages: all.special,
        unexplained_pages: difference(resident, smaps_rss.unwrap_or(statm)),
        attempts: 1,
        held_still: true,
        statm_bound_pages: None,
    }
}

impl VmaRow {
    /// A row with nothing counted yet.
    pub fn new(vma: Vma, kind: Kind, page_size: PageSize) -> Self {
        Self {
            kind,
            size_pages: page_size.pages_between(&vma.range),
            counts: (!vma.range.start.is_kernel() && !vma.name.bytes().starts_with(b"[vvar")).then(Counts::default),
            owners: None,
            smaps: None,
            present_change: None,
            vma,
        }
    }
}
