//! All of physical memory: what its frames are used for, in one sweep.

use foldhash::HashMap;
use serde::Serialize;

use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::{Cgroup, FrameReader, as_cgroup};
use crate::analysis::physical::reconcile::{Check, checks};
use crate::analysis::physical::tally::{ByClass, CLASSES, ORDERS, Same, Tally};
use crate::error::{Error, Result};
use crate::kernel::counters::Counters;
use crate::kernel::physical::{Physical, Segment};
use crate::kernel::root::Root;
use crate::kernel::runs::Runs;
use crate::kernel::sweep::sweep;
use crate::kernel::words::Words;
use crate::model::frame_flags::{FrameFlags, MMAP};
use crate::unit::PageSize;

/// What to read in a sweep in addition to classes, flags, folios and zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The mapcounts of mapped frames.
    pub mapcounts: bool,
    /// The cgroups that frames are charged to.
    pub cgroups: bool,
    /// Classes by blocks of this many frames, for a picture.
    pub block_frames: Option<u64>,
}

/// The use of physical memory.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PhysReport"))]
pub struct Report {
    /// The number of frame numbers read, from 0 on.
    pub frames: u64,
    /// Of these, frames that are memory.
    pub ram_frames: u64,
    /// What they are used for; all of them are in some class.
    #[serde(skip)]
    pub classes: Vec<ClassRow>,
    /// Frames by their flags, the most frequent first; every frame is in one row.
    pub flags: Vec<FlagsRow>,
    /// Frames by mapcount; every frame is in one row. `None` unless asked for.
    pub mapcounts: Option<Vec<MapcountRow>>,
    /// Folios by class and size.
    pub folios: Vec<FolioRow>,
    /// Compound pages that were being split or merged during the reading.
    pub torn_folios: u64,
    /// Frames by zone.
    pub zones: Vec<ZoneRow>,
    /// Frames by memory cgroup; frames that are charged to none are in no row. `None` unless asked for.
    pub cgroups: Option<Vec<CgroupRow>>,
    /// Comparisons with the kernel's counters.
    pub checks: Vec<Check>,
    /// The main use of each block of frames. `None` unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<Map>,
}

/// Memory in blocks, for a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FrameMap"))]
pub struct Map {
    /// Frames per block.
    pub block_frames: u64,
    /// The blocks, from frame 0 on.
    pub blocks: Vec<Block>,
}

/// A block of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FrameBlock"))]
pub struct Block {
    /// Its most frequent class.
    pub class: Class,
    /// Whether at least three quarters of it are of that class.
    pub pure: bool,
}

impl Block {
    fn of(counts: &[u32; CLASSES]) -> Self {
        // The first of equal ones.
        let most = Class::ALL.into_iter().rev().max_by_key(|class| counts[*class as usize]).unwrap_or(Class::Hole);
        let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        Self { class: most, pure: u64::from(counts[most as usize]) * 4 >= all * 3 }
    }
}

/// The frames of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClassRow {
    /// The class.
    pub class: Class,
    /// Its frames.
    pub frames: u64,
    /// The same in bytes.
    pub bytes: u64,
}

/// The frames with the same flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlagsRow {
    /// The flags.
    pub flags: FrameFlags,
    /// The class they stand for.
    pub class: Class,
    /// The number of frames.
    pub frames: u64,
}

/// The frames with the same mapcount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MapcountRow {
    /// The mapcount.
    pub mapcount: u64,
    /// The number of frames.
    pub frames: u64,
}

/// The folios of a class and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FolioRow {
    /// Their order: a folio is 2^order frames; 0 is a single frame.
    pub order: u32,
    /// Their class.
    pub class: Class,
    /// The number of folios.
    pub folios: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// A zone of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ZoneClasses"))]
pub struct ZoneRow {
    /// The node.
    pub node: u32,
    /// The zone.
    pub zone: String,
    /// Frames from its first to its last.
    pub frames: u64,
    /// Its frames by class.
    pub classes: Vec<ClassRow>,
}

/// The frames that are charged to a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CgroupRow {
    /// The group.
    #[serde(flatten, serialize_with = "as_cgroup")]
    #[cfg_attr(test, schemars(with = "crate::analysis::physical::page::AsCgroup"))]
    pub cgroup: Option<Cgroup>,
    /// Its frames.
    pub frames: u64,
    /// The same in bytes.
    pub bytes: u64,
}

/// Recorded trees that claim more frames are refused: 16 TiB of 4 KiB pages.
const MOST_RECORDED: u64 = 1 << 32;

/// The end of the sweep at most: after the last frame of any zone or RAM, or at the end of the file.
///
/// # Errors
/// [`Error::Unsupported`] for a recorded tree that has only some frames, or claims more than any machine has.
pub fn end(root: &Root, physical: &Physical, flags: &Words) -> Result<u64> {
    let known = physical.end();
    let Some(runs) = flags.recorded() else {
        return Ok(known);
    };
    let end = runs.whole_end().ok_or_else(|| Error::Unsupported {
        what: "this tree has only the frames of the processes in it; 'pmem capture --frames' records all".to_owned(),
    })?;
    let end = if known == u64::MAX { end } else { end.max(known) };
    if end > MOST_RECORDED {
        let path = root.dir().path().display();
        return Err(Error::Unsupported { what: format!("{path}: it claims more frames than pmem supports") });
    }
    Ok(end)
}

/// An estimate of how many frames a sweep will read: up to `end`, or if that is not known, as many as are recorded,
/// else `MOST_RECORDED`.
pub fn frames(frame_reader: &FrameReader, end: u64) -> u64 {
    let recorded = || frame_reader.files.flags.recorded().and_then(Runs::whole_end);
    if end == u64::MAX { recorded().unwrap_or(MOST_RECORDED) } else { end }
}

/// What one thread gathers.
#[derive(Default)]
struct Gathered {
    tally: Tally,
    zones: Vec<ByClass>,
    mapcounts: HashMap<u64, u64>,
    cgroups: HashMap<u64, u64>,
    blocks: Vec<[u32; CLASSES]>,
    /// Frames of the window to look up in the other files.
    mapped: Vec<u64>,
    charged: Vec<u64>,
}

/// Reads every frame up to `end`. `progress` gets the number read.
///
/// # Errors
/// Any error from reading the frame files.
pub fn phys(
    root: &Root,
    frame_reader: &FrameReader,
    wanted: Wanted,
    end: u64,
    progress: impl FnMut(u64),
) -> Result<Report> {
    let before = Counters::read(root);
    let zones = frame_reader.physical.zones.len();
    let blocks = wanted.block_frames.map_or(0, |frames| end.min(MOST_RECORDED).div_ceil(frames));
    let new = || Gathered {
        zones: vec![[0; CLASSES]; zones],
        blocks: vec![[0; CLASSES]; blocks as usize],
        ..Gathered::default()
    };
    let window = |gathered: &mut Gathered, first: u64, words: &[u64]| {
        for (segment, first, words) in frame_reader.physical.parts(first, words) {
            gathered.part(segment, first, words, frame_reader, wanted);
        }
        gathered.look_up(frame_reader)
    };
    let (frames, gathered) = sweep(&frame_reader.files.flags, end, new, window, progress)?;
    let after = Counters::read(root);
    let mut all = new();
    gathered.into_iter().for_each(|part| all.add(part));
    all.tally.finish();
    let checks = checks(&all.tally, &before, &after, frame_reader.classifier.ksm_flag_right, root.page_size());
    Ok(report(all, frames, checks, frame_reader, wanted, root.page_size()))
}

impl Gathered {
    /// Counts the part of a window that lies in a segment.
    fn part(&mut self, segment: &Segment, first: u64, words: &[u64], frame_reader: &FrameReader, wanted: Wanted) {
        let Self { tally, zones, blocks, mapped, charged, .. } = self;
        let mut by_class = [0; CLASSES];
        tally.window(first, words, frame_reader.classifier, segment.memory, |same| {
            by_class[same.class as usize] += same.frames;
            if wanted.mapcounts && same.flags & MMAP != 0 {
                mapped.extend(same.first..same.first + same.frames);
            }
            if wanted.cgroups && may_be_charged(same.class) {
                // Up to Linux 6.4 only heads have one.
                match same.head {
                    Some(head) => charged.extend(std::iter::repeat_n(head, same.frames as usize)),
                    None => charged.extend(same.first..same.first + same.frames),
                }
            }
            if let Some(block) = wanted.block_frames {
                count_blocks(blocks, block, same);
            }
        });
        if let Some(zone) = segment.zone.and_then(|zone| zones.get_mut(zone)) {
            zone.iter_mut().zip(by_class).for_each(|(sum, frames)| *sum += frames);
        }
    }

    /// Reads what is wanted from the other files.
    fn look_up(&mut self, frame_reader: &FrameReader) -> Result<()> {
        let Self { mapcounts, cgroups, mapped, charged, .. } = self;
        count(&frame_reader.files.counts, mapped, mapcounts)?;
        frame_reader.files.cgroups.as_ref().map_or(Ok(()), |file| count(file, charged, cgroups))
    }

    fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        for (own, other) in self.zones.iter_mut().zip(other.zones) {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
        for (own, other) in self.blocks.iter_mut().zip(other.blocks) {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
        other.mapcounts.into_iter().for_each(|(key, frames)| *self.mapcounts.entry(key).or_default() += frames);
        other.cgroups.into_iter().for_each(|(key, frames)| *self.cgroups.entry(key).or_default() += frames);
    }
}

/// Counts the words of these frames, and clears `frames`. Neighbours mostly have the same word, which is then looked up
/// only once.
fn count(file: &Words, frames: &mut Vec<u64>, numbers: &mut HashMap<u64, u64>) -> Result<()> {
    let mut same = (0, 0);
    let mut add = |(word, times)| {
        if times > 0 {
            *numbers.entry(word).or_default() += times;
        }
    };
    file.gather(frames.drain(..), |_, word| {
        let word = word.unwrap_or(0);
        if word != same.0 {
            add(std::mem::replace(&mut same, (word, 0)));
        }
        same.1 += 1;
    })?;
    add(same);
    Ok(())
}

/// Whether frames of a class can be charged to a cgroup. (Slab is charged by object since Linux 5.9, hugetlb only if
/// `memory_hugetlb_accounting` is on.)
fn may_be_charged(class: Class) -> bool {
    !matches!(class, Class::Hole | Class::Free | Class::Offline | Class::ZeroPage | Class::Reserved)
}

fn count_blocks(blocks: &mut [[u32; CLASSES]], block_frames: u64, same: Same) {
    let (mut first, end) = (same.first, same.first + same.frames);
    while first < end {
        let place = first / block_frames;
        let next = end.min((place + 1) * block_frames);
        if let Some(block) = blocks.get_mut(place as usize) {
            block[same.class as usize] += (next - first) as u32;
        }
        first = next;
    }
}

fn report(
    all: Gathered,
    frames: u64,
    checks: Vec<Check>,
    frame_reader: &FrameReader,
    wanted: Wanted,
    page_size: PageSize,
) -> Report {
    let classes = all.tally.classes();
    let without = classes[Class::Hole as usize];
    let mut flags: Vec<FlagsRow> = all
        .tally
        .flags
        .iter()
        .map(|(&(flags, class), &frames)| FlagsRow { flags: FrameFlags(flags), class, frames })
        .collect();
    flags.sort_unstable_by_key(|row| (std::cmp::Reverse(row.frames), row.flags, row.class));
    let mapcounts = wanted.mapcounts.then(|| mapcounts(all.mapcounts, frames));
    let cgroups =
        (wanted.cgroups && frame_reader.files.cgroups.is_some()).then(|| cgroups(all.cgroups, frame_reader, page_size));
    let zones = frame_reader.physical.zones.iter().zip(&all.zones).filter(|(zone, _)| zone.spanned > 0);
    Report {
        frames,
        ram_frames: frames.saturating_sub(without),
        classes: class_rows(&classes, page_size),
        flags,
        mapcounts,
        folios: folios(&all.tally, page_size),
        torn_folios: all.tally.torn_folios,
        zones: zones
            .map(|(zone, classes)| ZoneRow {
                node: zone.node,
                zone: zone.name.clone(),
                frames: classes.iter().sum(),
                classes: class_rows(classes, page_size),
            })
            .collect(),
        cgroups,
        checks,
        map: wanted
            .block_frames
            .map(|block_frames| Map { block_frames, blocks: all.blocks.iter().map(Block::of).collect() }),
    }
}

/// The classes that occur.
fn class_rows(classes: &ByClass, page_size: PageSize) -> Vec<ClassRow> {
    let rows = Class::ALL.into_iter().zip(classes).filter(|(_, frames)| **frames > 0);
    rows.map(|(class, &frames)| ClassRow { class, frames, bytes: page_size.bytes_of(frames) }).collect()
}

fn mapcounts(counted: HashMap<u64, u64>, frames: u64) -> Vec<MapcountRow> {
    let looked_up: u64 = counted.values().sum();
    let mut rows: Vec<MapcountRow> =
        counted.into_iter().map(|(mapcount, frames)| MapcountRow { mapcount, frames }).collect();
    rows.sort_unstable_by_key(|row| row.mapcount);
    // Frames without the flag MMAP are not mapped, and were not looked up.
    let rest = frames.saturating_sub(looked_up);
    match rows.first_mut() {
        Some(first) if first.mapcount == 0 => first.frames += rest,
        _ => rows.insert(0, MapcountRow { mapcount: 0, frames: rest }),
    }
    rows
}

fn cgroups(counted: HashMap<u64, u64>, frame_reader: &FrameReader, page_size: PageSize) -> Vec<CgroupRow> {
    let row = |(inode, frames)| {
        Some(CgroupRow { cgroup: Some(frame_reader.cgroup(inode)?), frames, bytes: page_size.bytes_of(frames) })
    };
    let mut rows: Vec<CgroupRow> = counted.into_iter().filter_map(row).collect();
    rows.sort_unstable_by(|a, b| (b.frames, &a.cgroup).cmp(&(a.frames, &b.cgroup)));
    rows
}

/// The folios of all classes whose frames are allocated.
fn folios(tally: &Tally, page_size: PageSize) -> Vec<FolioRow> {
    let mut rows = Vec::new();
    for class in Class::ALL.into_iter().filter(|class| !matches!(class, Class::Hole | Class::Free | Class::Offline)) {
        let orders = tally.folios.get(&class).copied().unwrap_or([0; ORDERS]);
        for (&folios, order) in orders.iter().zip(0..).filter(|(folios, _)| **folios > 0) {
            rows.push(FolioRow { order, class, folios, bytes: page_size.bytes_of(folios.saturating_mul(1 << order)) });
        }
    }
    rows
}
