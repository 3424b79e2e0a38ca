//! A cross-check of the ledger: what the flags of every frame say, compared with what the counters say.
//!
//! Flags do not distinguish all lines (buffers are page cache like other files): lines that look the same are a group,
//! and everything that no flag identifies is one too. Together with what was reserved at boot, the groups are all of
//! RAM.

use serde::Serialize;

use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::FrameReader;
use crate::analysis::physical::tally::{ByClass, CLASSES, Tally};
use crate::analysis::r#where::ledger::Ledger;
use crate::error::Result;
use crate::kernel::sweep::sweep;
use crate::model::frame_flags::{DIRTY, MMAP};
use crate::unit::PageSize;

/// The counts of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    classes: ByClass,
    /// Of the page cache, what is mapped, and what is dirty.
    mapped: u64,
    dirty: u64,
}

/// Page frames compared with the counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Frames {
    /// All RAM whose frames were read: the sum of all groups.
    pub ram_bytes: i64,
    /// Page cache and buffers that are mapped.
    pub file_mapped_bytes: i64,
    /// Page cache and buffers that must be written back.
    pub file_dirty_bytes: i64,
    /// The groups.
    pub groups: Vec<Group>,
}

/// Lines that page frames cannot separate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// Its lines of the ledger; none for memory outside of MemTotal.
    pub lines: Vec<&'static str>,
    /// Size by page frames.
    pub frames_bytes: i64,
    /// Size by the counters; `None` if the size of one of its lines is not known and is part of `unaccounted`.
    pub counters_bytes: Option<i64>,
    /// `frames_bytes` minus `counters_bytes`.
    pub difference_bytes: Option<i64>,
    /// Change in the counters during the reading of the frames.
    pub moved_bytes: Option<i64>,
    /// Why they differ, if they do.
    pub why: Option<String>,
}

/// What a group consists of, and why the frames may show less, or more.
struct Kind {
    name: &'static str,
    classes: &'static [Class],
    lines: &'static [&'static str],
    why: (&'static str, &'static str),
}

const MOVING: &str = "memory was allocated or freed between the two readings";

const KINDS: [Kind; 7] = [
    Kind { name: "free", classes: &[Class::Free], lines: &["free"], why: (MOVING, MOVING) },
    Kind {
        name: "anonymous",
        classes: &[Class::Anon, Class::Ksm],
        lines: &["anonymous", "swap_cache"],
        why: (
            MOVING,
            "AnonPages counts mapped pages: pages of exiting processes and unmapped parts of huge pages are still frames",
        ),
    },
    Kind {
        name: "file",
        classes: &[Class::File],
        lines: &["file_cache", "buffers"],
        why: (
            "frames of files just read or written may not have flags yet",
            "driver frames mapped by processes look like file pages, as do frames of just-deleted files",
        ),
    },
    Kind { name: "shared memory", classes: &[Class::Shmem], lines: &["shared_memory"], why: (MOVING, MOVING) },
    Kind {
        name: "slab",
        classes: &[Class::Slab],
        lines: &["slab_reclaimable", "slab_unreclaimable"],
        why: (
            "the counters include large kmalloc (without slabinfo) or what slabinfo overstates; neither has a flag",
            "some slabs are not in slabinfo's numbers yet, and count as large kmalloc",
        ),
    },
    Kind {
        name: "page tables",
        classes: &[Class::PageTable],
        lines: &["page_tables", "secondary_page_tables"],
        why: (
            "page tables of guests and devices have no flag, and PageTables may lag",
            "the kernel's own page tables have the flag too, and PageTables does not count them all",
        ),
    },
    Kind {
        name: "hugetlb",
        classes: &[Class::Hugetlb],
        lines: &["hugetlb_used", "hugetlb_reserved", "hugetlb_free"],
        why: (MOVING, MOVING),
    },
];

/// What was reserved at boot: outside of MemTotal.
pub const RESERVED: &str = "reserved";

/// What is offline or in a balloon.
pub const OFFLINE: &str = "off line";

/// What no flag identifies.
pub const WITHOUT_FLAG: &str = "without a flag";

/// Looks at every frame up to `end`. `progress` gets the number read so far.
///
/// # Errors
/// Any error from reading kpageflags.
pub fn count(frame_reader: &FrameReader, end: u64, progress: impl FnMut(u64)) -> Result<Counted> {
    let window = |counted: &mut Counted, first: u64, words: &[u64]| {
        for (segment, first, words) in frame_reader.physical.parts(first, words) {
            // Folios are not wanted here.
            Tally::default().window(first, words, frame_reader.classifier, segment.memory, |same| {
                counted.classes[same.class as usize] += same.frames;
                if same.class == Class::File {
                    // The pages of a folio are mapped one by one, but are all dirty together.
                    counted.mapped += if same.flags & MMAP != 0 { same.frames } else { 0 };
                    counted.dirty += if same.effective & DIRTY != 0 { same.frames } else { 0 };
                }
            });
        }
        Ok(())
    };
    let (_, parts) = sweep(&frame_reader.files.flags, end, Counted::default, window, progress)?;
    Ok(parts.into_iter().fold(Counted::default(), Counted::plus))
}

impl Counted {
    fn plus(mut self, other: Self) -> Self {
        self.classes.iter_mut().zip(other.classes).for_each(|(own, other)| *own += other);
        Self { mapped: self.mapped + other.mapped, dirty: self.dirty + other.dirty, ..self }
    }

    /// Compares the frames with the counters as read before and after. According to those, `reserved` bytes were
    /// reserved at boot, and `offline` bytes are offline outside of MemTotal.
    pub fn beside(&self, [before, after]: [&Ledger; 2], reserved: i64, offline: i64, page_size: PageSize) -> Frames {
        let size = |frames: u64| i64::try_from(page_size.bytes_of(frames)).unwrap_or(i64::MAX);
        let frames = |classes: &[Class]| size(classes.iter().map(|&class| self.classes[class as usize]).sum());
        let mut groups: Vec<Group> = KINDS
            .iter()
            .map(|kind| {
                let sums = [before, after].map(|ledger| ledger.sum(kind.lines));
                group(kind.name, kind.lines.to_vec(), frames(kind.classes), sums, kind.why)
            })
            .collect();
        // Some memory counts as free but has no page descriptors yet.
        let moved = groups[0].moved_bytes.unwrap_or(0);
        if after.part("free", "not initialised yet") > moved
            && groups[0].difference_bytes.is_some_and(|bytes| bytes < 0)
        {
            groups[0].why = Some("MemFree includes memory that is not initialised yet, which no flag shows".to_owned());
        }
        let why = ("part of the memory reserved at boot has no flag", "firmware memory is not counted in any zone");
        groups.push(group(RESERVED, Vec::new(), frames(&[Class::Reserved]), [Some(reserved); 2], why));
        let sum = |ledger: &Ledger| Some(ledger.bytes("balloon").unwrap_or(0).saturating_add(offline));
        let why = ("not every balloon marks its pages", "memory was set offline, or is in a balloon without a counter");
        let lines = if after.bytes("balloon") > Some(0) { vec!["balloon"] } else { Vec::new() };
        groups.push(group(OFFLINE, lines, frames(&[Class::Offline]), [sum(before), sum(after)], why));
        groups.push(self.without_flag(&groups, before, after, frames(&REST)));
        let ram: u64 =
            (0..CLASSES).filter(|&class| class != Class::Hole as usize).map(|class| self.classes[class]).sum();
        Frames {
            ram_bytes: size(ram),
            file_mapped_bytes: size(self.mapped),
            file_dirty_bytes: size(self.dirty),
            groups,
        }
    }

    /// The frames do not distinguish the other lines, so they form one group. What it has in excess is missing in other
    /// groups, and vice versa.
    fn without_flag(&self, others: &[Group], before: &Ledger, after: &Ledger, frames: i64) -> Group {
        let has = |name| name == "balloon" || KINDS.iter().any(|kind| kind.lines.contains(&name));
        let names: Vec<&'static str> = after.lines.iter().map(|line| line.name).filter(|name| !has(*name)).collect();
        // Those of unknown size are in `unaccounted`, which is one of them.
        let sum = |ledger: &Ledger| Some(names.iter().filter_map(|name| ledger.bytes(name)).sum());
        let sums = [sum(before), sum(after)];
        let mut rest = group(WITHOUT_FLAG, names, frames, sums, (MOVING, MOVING));
        let differs = rest.is_different();
        let largest = others.iter().max_by_key(|other| other.difference_bytes.map(i64::unsigned_abs));
        let less = |group: &Group| group.difference_bytes.is_some_and(|bytes| bytes < 0);
        let opposite = largest.filter(|other| less(other) != less(&rest));
        if let (Some(other), Some(why)) = (others.iter().find(|other| other.counters_bytes.is_none()), &mut rest.why) {
            *why = format!("'unaccounted' includes the part of '{}' that the counters miss", other.name);
        } else if let (Some(other), Some(why)) = (opposite, &mut rest.why)
            && differs
        {
            *why = match less(other) {
                true => format!("frames missing from other groups, chiefly '{}', are counted here", other.name),
                false => format!("frames counted in other groups, chiefly '{}', are missing here", other.name),
            };
        }
        rest
    }
}

/// The classes that no flag identifies; the huge zero page is in no line.
const REST: [Class; 3] = [Class::OtherCompound, Class::Unclassified, Class::ZeroPage];

fn group(
    name: &'static str,
    lines: Vec<&'static str>,
    frames_bytes: i64,
    [before, counters_bytes]: [Option<i64>; 2],
    (fewer, more): (&'static str, &'static str),
) -> Group {
    let moved_bytes = counters_bytes.zip(before).map(|(after, before)| (after - before).abs());
    let difference_bytes = counters_bytes.map(|counters| frames_bytes.saturating_sub(counters));
    let mut group = Group { name, lines, frames_bytes, counters_bytes, difference_bytes, moved_bytes, why: None };
    let why = match difference_bytes {
        Some(0) => None,
        None => Some("the counters cover only part of it; the rest is part of 'unaccounted'"),
        Some(_) if !group.is_different() => Some(MOVING),
        Some(bytes) if bytes < 0 => Some(fewer),
        Some(_) => Some(more),
    };
    group.why = why.map(str::to_owned);
    group
}

impl Group {
    /// Whether frames and counters differ by more than the counters changed in the meantime.
    pub fn is_different(&self) -> bool {
        let moved = self.moved_bytes.unwrap_or(0).unsigned_abs();
        self.difference_bytes.is_some_and(|difference| difference.unsigned_abs() > moved)
    }
}

impl Frames {
    /// The group of a line, and whether the line is its first, which shows its number. For what no flag identifies, no
    /// line does: the lines of that group are scattered, and any one of them would seem to be that large.
    pub fn of_line(&self, line: &str) -> Option<(&Group, bool)> {
        let group = self.groups.iter().find(|group| group.lines.contains(&line))?;
        Some((group, group.name != WITHOUT_FLAG && group.lines.first() == Some(&line)))
    }

    /// The group of what no flag identifies.
    pub fn without_flag(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == WITHOUT_FLAG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::r#where::ledger::{Bound, Line, Part, UNACCOUNTED};

    fn ledger(lines: &[(&'static str, i64)]) -> Ledger {
        let line = |&(name, bytes): &(&'static str, i64)| Line {
            name,
            title: name,
            bytes: Some(bytes),
            source: "",
            parts: Vec::new(),
            note: None,
            within: None,
            rare: false,
        };
        Ledger { total: lines.iter().map(|line| line.1).sum(), lines: lines.iter().map(line).collect() }
    }

    #[test]
    fn every_difference_that_is_larger_than_what_moved_has_its_reason() {
        let Some(page_size) = PageSize::new(4096) else { panic!("a page size") };
        let mut counted = Counted::default();
        for (class, frames) in [(Class::Free, 10), (Class::File, 7), (Class::Unclassified, 100), (Class::Hole, 5)] {
            counted.classes[class as usize] = frames;
        }
        let lines = |file: i64| {
            let lines = [("free", 100 << 12), ("file_cache", file << 12), ("vmalloc", 8 << 12), (UNACCOUNTED, 1 << 12)];
            let mut ledger = ledger(&lines);
            let source = "";
            ledger.lines[0].parts.push(Part {
                name: "not initialised yet",
                bytes: 90 << 12,
                bound: Bound::Exact,
                source,
            });
            ledger
        };
        let frames = counted.beside([&lines(4), &lines(6)], 0, 0, page_size);
        let group = |name| frames.groups.iter().find(|group| group.name == name).unwrap();
        let why = |name| group(name).why.as_deref().unwrap_or("");
        assert_eq!((group("free").difference_bytes, group("free").moved_bytes), (Some(-90 << 12), Some(0)));
        assert!(why("free").contains("not initialised"));
        assert_eq!((group("file").difference_bytes, group("file").moved_bytes), (Some(1 << 12), Some(2 << 12)));
        assert_eq!(why("file"), MOVING);
        assert_eq!(group(WITHOUT_FLAG).lines, ["vmalloc", UNACCOUNTED]);
        assert_eq!(group(WITHOUT_FLAG).difference_bytes, Some(91 << 12));
        assert!(why(WITHOUT_FLAG).contains("chiefly 'free'"));
        assert_eq!(group("slab").why, None);
        assert_eq!(
            (frames.ram_bytes, frames.groups.iter().map(|group| group.frames_bytes).sum()),
            (117 << 12, 117 << 12)
        );
        for line in ["vmalloc", UNACCOUNTED] {
            assert_eq!(frames.of_line(line).map(|(group, first)| (group.name, first)), Some((WITHOUT_FLAG, false)));
        }
        assert_eq!(frames.without_flag().and_then(|group| group.counters_bytes), Some(9 << 12));
        // Unknown does not count as zero.
        let mut unknown = lines(4);
        unknown.lines[1].bytes = None;
        let frames = counted.beside([&unknown, &unknown], 0, 0, page_size);
        let group = |name| frames.groups.iter().find(|group| group.name == name).unwrap();
        assert_eq!((group("file").counters_bytes, group("file").difference_bytes), (None, None));
        assert!(group("file").why.is_some());
        assert!(group(WITHOUT_FLAG).why.as_ref().is_some_and(|why| why.contains("of 'file'")));
    }
}
