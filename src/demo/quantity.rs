//! The quantities common to all demos. A demo's own quantities are defined in its file.

use serde::Serialize;

/// The unit of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Base pages.
    Pages,
    /// Bytes.
    Bytes,
    /// A count of faults, mappings, objects.
    Count,
    /// Nanoseconds.
    Nanoseconds,
}

impl Unit {
    /// Its name in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

/// Something counted after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantity {
    /// Its name in JSON, unit included: `resident_pages`.
    pub name: &'static str,
    /// Its column heading: one word, or two short ones.
    pub heading: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The name of its [`Subject`](super::script::Subject); empty if there is only one, or if it applies to the whole demo.
    pub of: &'static str,
}

impl Quantity {
    /// A quantity of the only subject, or of the demo as a whole.
    pub const fn new(name: &'static str, heading: &'static str, unit: Unit) -> Self {
        Self { name, heading, unit, of: "" }
    }

    /// The same quantity for one of several subjects.
    pub const fn of(self, of: &'static str) -> Self {
        Self { of, ..self }
    }
}

/// The size of the mappings. Sources: maps, smaps.
pub const SIZE: Quantity = Quantity::new("size_pages", "size", Unit::Pages);
/// Present page-table entries, including those of the zero page. Source: pagemap.
pub const PRESENT: Quantity = Quantity::new("present_pages", "present", Unit::Pages);
/// Present entries that map the shared zero page. Sources: pagemap; kpageflags if frame numbers are visible.
pub const ZERO: Quantity = Quantity::new("zero_pages", "zero", Unit::Pages);
/// Resident frames: present entries that do not map the zero page. Sources: pagemap, smaps (Rss).
pub const FRAMES: Quantity = Quantity::new("resident_pages", "frames", Unit::Pages);
/// Pages mapped by huge page-table entries, in base pages. Sources: pagemap, smaps (AnonHugePages, ShmemPmdMapped,
/// FilePmdMapped).
pub const HUGE: Quantity = Quantity::new("huge_pages", "huge", Unit::Pages);
/// Pages swapped out. Sources: pagemap, smaps (Swap).
pub const SWAPPED: Quantity = Quantity::new("swapped_pages", "swapped", Unit::Pages);
/// Anonymous frames. Sources: smaps (Anonymous); pagemap (present, not the zero page and not file-backed).
pub const ANONYMOUS: Quantity = Quantity::new("anonymous_pages", "anon", Unit::Pages);
/// Mappings. Sources: maps, smaps.
pub const VMAS: Quantity = Quantity::new("vmas", "VMAs", Unit::Count);
/// Exclusive pages: frames mapped exactly once. Sources: pagemap (bit 56); smaps (Private_Clean, Private_Dirty); kpagecount if
/// frame numbers are visible.
pub const EXCLUSIVE: Quantity = Quantity::new("exclusive_pages", "own", Unit::Pages);
/// Pages with a different frame than before the step; pages without a frame before or after do not count. Source: pagemap
/// (needs frame numbers).
pub const CHANGED: Quantity = Quantity::new("changed_frames", "changed", Unit::Pages);
/// The proportional set size. Source: smaps (Pss); kpagecount if frame numbers are visible.
pub const PSS: Quantity = Quantity::new("pss_bytes", "PSS", Unit::Bytes);
/// Minor faults taken by the step's own accesses. Source: getrusage.
pub const FAULTS: Quantity = Quantity::new("minor_faults", "faults", Unit::Count);
/// Major faults taken by the step's own accesses. Source: getrusage.
pub const MAJOR_FAULTS: Quantity = Quantity::new("major_faults", "major", Unit::Count);
/// Faults taken by the step's own accesses, minor and major. For accesses that can be either: a write to a file page counts as
/// major from Linux 5.9 to 6.0, and a fault on a page in the swap cache depends on whether writeback has finished. Source:
/// getrusage.
pub const ALL_FAULTS: Quantity = Quantity::new("faults", "faults", Unit::Count);
/// The change in the process's resident anonymous pages since the demo began. Source: status (RssAnon).
pub const RSS: Quantity = Quantity::new("rss_change_pages", "RSS", Unit::Pages);
/// The distinct frames of the present pages. Source: pagemap (needs frame numbers).
pub const DISTINCT: Quantity = Quantity::new("distinct_frames", "distinct", Unit::Pages);
/// Pages in which the worker reads back what it wrote. Source: the worker.
pub const CONTENTS: Quantity = Quantity::new("pages_with_their_contents", "contents", Unit::Pages);
/// The page tables the process has gained since the demo began. Source: status (VmPTE).
pub const HELD: Quantity = Quantity::new("page_table_bytes", "held", Unit::Bytes);
/// The change in the process's page tables during this step. Source: status (VmPTE).
pub const TABLES: Quantity = Quantity::new("page_table_change_bytes", "tables", Unit::Bytes);
