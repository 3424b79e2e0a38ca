//! What demos count. A demo that counts something of its own has its quantities beside its steps.

use serde::Serialize;

/// In what a quantity is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Base pages of the machine.
    Pages,
    /// Bytes.
    Bytes,
    /// Things: faults, mappings, objects.
    Count,
    /// Nanoseconds.
    Nanoseconds,
}

impl Unit {
    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::Nanoseconds => "nanoseconds",
        }
    }
}

/// Something that is counted after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantity {
    /// Its name in JSON, which says its unit: `resident_pages`.
    pub name: &'static str,
    /// The heading of its column: a word, or two short ones.
    pub heading: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Of which [`Subject`](super::script::Subject) it is, by name; empty where there is one only, or it is of the whole demo.
    pub of: &'static str,
}

impl Quantity {
    /// A quantity of the only subject, or of the whole demo.
    pub const fn new(name: &'static str, heading: &'static str, unit: Unit) -> Self {
        Self { name, heading, unit, of: "" }
    }

    /// The same of one subject among several.
    pub const fn of(self, of: &'static str) -> Self {
        Self { of, ..self }
    }
}

/// The size of the mappings. Sources: maps, smaps.
pub const SIZE: Quantity = Quantity::new("size_pages", "size", Unit::Pages);
/// Present page-table entries, those of the zero page too. Source: pagemap.
pub const PRESENT: Quantity = Quantity::new("present_pages", "present", Unit::Pages);
/// Of these, entries of the shared zero page. Sources: pagemap; kpageflags, where frame numbers are seen.
pub const ZERO: Quantity = Quantity::new("zero_pages", "zero", Unit::Pages);
/// Frames: present entries but those of the zero page. Sources: pagemap, smaps (Rss).
pub const FRAMES: Quantity = Quantity::new("resident_pages", "frames", Unit::Pages);
/// Pages mapped by huge page-table entries, in base pages. Sources: pagemap, smaps (AnonHugePages and its kin).
pub const HUGE: Quantity = Quantity::new("huge_pages", "huge", Unit::Pages);
/// Pages that are swapped out. Sources: pagemap, smaps (Swap).
pub const SWAPPED: Quantity = Quantity::new("swapped_pages", "swapped", Unit::Pages);
/// Anonymous frames. Source: smaps (Anonymous); pagemap (the present that are neither zero pages nor of a file).
pub const ANONYMOUS: Quantity = Quantity::new("anonymous_pages", "anon", Unit::Pages);
/// Mappings. Sources: maps, smaps.
pub const VMAS: Quantity = Quantity::new("vmas", "VMAs", Unit::Count);
/// Pages whose frame pagemap says is mapped exactly once (its bit 56). Sources: pagemap; smaps (Private_Clean,
/// Private_Dirty); kpagecount, where frame numbers are seen.
pub const EXCLUSIVE: Quantity = Quantity::new("exclusive_pages", "own", Unit::Pages);
/// Pages that have another frame than before the step, those that had or have none not counted. Source: pagemap (needs frame
/// numbers).
pub const CHANGED: Quantity = Quantity::new("changed_frames", "changed", Unit::Pages);
/// The proportional set size. Source: smaps (Pss); kpagecount, where frame numbers are seen.
pub const PSS: Quantity = Quantity::new("pss_bytes", "PSS", Unit::Bytes);
/// Minor faults that the step's own accesses took. Source: getrusage.
pub const FAULTS: Quantity = Quantity::new("minor_faults", "faults", Unit::Count);
/// Major faults that the step's own accesses took. Source: getrusage.
pub const MAJOR_FAULTS: Quantity = Quantity::new("major_faults", "major", Unit::Count);
/// Faults that the step's own accesses took, of both kinds: a write to a page of a file, which from Linux 5.9 to 6.0 is counted
/// as a major one, or a page in the swap cache, whose kind depends on whether its writing has ended. Source: getrusage.
pub const ALL_FAULTS: Quantity = Quantity::new("faults", "faults", Unit::Count);
/// The change of the process's resident anonymous pages since the demo began. Source: status (RssAnon).
pub const RSS: Quantity = Quantity::new("rss_change_pages", "RSS", Unit::Pages);
/// The frames behind the present pages, each counted once. Source: pagemap (needs frame numbers).
pub const DISTINCT: Quantity = Quantity::new("distinct_frames", "distinct", Unit::Pages);
/// Pages in which the worker finds what it wrote. Source: what it reads.
pub const CONTENTS: Quantity = Quantity::new("pages_with_their_contents", "contents", Unit::Pages);
/// The process's page tables that have come since the demo began. Source: status (VmPTE).
pub const HELD: Quantity = Quantity::new("page_table_bytes", "held", Unit::Bytes);
/// The change of the process's page tables in this step. Source: status (VmPTE).
pub const TABLES: Quantity = Quantity::new("page_table_change_bytes", "tables", Unit::Bytes);
