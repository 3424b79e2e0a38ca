//! The layout of physical memory: which frame numbers have memory, and in which zone and node.

use std::ops::Range;

use super::dir::Dir;
use super::root::{Root, SMALL, text};
use crate::error::{Error, Result};
use crate::model::iomem;
use crate::model::zoneinfo::{self, Zone};
use crate::unit::{PageSize, Pfn, hexadecimal};

/// What is known about a range of frames, apart from their flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The frame numbers.
    pub frames: Range<u64>,
    /// Their zone, as an index into [`Physical::zones`].
    pub zone: Option<usize>,
    /// Whether they have memory.
    pub memory: Memory,
}

/// Whether frames have memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// System RAM.
    Ram,
    /// No memory.
    Hole,
    /// In an offline memory block.
    Offline,
    /// Unknown: no source could be read.
    Unknown,
}

/// The map of a machine's frame numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Physical {
    /// All zones, including those without memory.
    pub zones: Vec<Zone>,
    /// Ascending, disjoint ranges that cover all frame numbers; nothing is known about the last one.
    pub segments: Vec<Segment>,
    /// Whether the RAM ranges come from iomem: the alternative, sysfs, does not show holes inside memory blocks.
    pub by_iomem: bool,
}

/// The directory of hot-pluggable memory blocks.
const BLOCKS: &str = "sys/devices/system/memory";

/// The maximum number of zones and RAM ranges: a recorded tree can claim any number, and all are compared with each other.
const MOST: usize = 4096;

impl Physical {
    /// Reads zoneinfo and the RAM ranges.
    pub fn read(root: &Root) -> Result<Self> {
        let path = root.dir().path().join("proc/zoneinfo");
        let zones = match root.dir().read("proc/zoneinfo", SMALL) {
            // If procfs shows only processes, or a tree does not have it.
            Err(Error::Missing { .. } | Error::Denied { .. }) => Vec::new(),
            other => zoneinfo::parse(&other?, &path)?,
        };
        Self::of(root, zones)
    }

    /// Reads the RAM ranges: from iomem, or, if that hides its addresses (without CAP_SYS_ADMIN), from the memory blocks in
    /// sysfs.
    ///
    /// kpageflags is not enough: Linux 6.15 to 7.1 report a hole as 0, like a frame without flags.
    pub fn of(root: &Root, zones: Vec<Zone>) -> Result<Self> {
        // Such a zone end is a saturated sum, not a real end.
        if zones.len() > MOST || zones.iter().any(|zone| frames(zone).end == u64::MAX) {
            let path = root.dir().path().join("proc/zoneinfo");
            return Err(Error::malformed(&path, 1, "more zones or more memory than can be handled"));
        }
        let page_size = root.page_size();
        let blocks = Blocks::read(root, page_size);
        let ram = ram(root, page_size);
        let by_iomem = ram.is_some();
        let ram = ram.or_else(|| blocks.as_ref().map(Blocks::ranges));
        let present: u64 = zones.iter().fold(0, |sum, zone| sum.saturating_add(zone.present));
        // Reading the state of every block is expensive; if all RAM is in some zone, no block is offline.
        let ram_frames = ram.iter().flatten().fold(0u64, |sum, range| sum.saturating_add(range.end - range.start));
        let missing = ram_frames.saturating_sub(present);
        let offline = blocks.as_ref().filter(|blocks| missing >= blocks.frames).map_or_else(Vec::new, Blocks::offline);
        let nodes = if overlap(&zones) { blocks.as_ref().map(|b| b.by_node(root)) } else { None };
        Ok(Self { segments: segments(&zones, ram.as_deref(), &offline, nodes.as_deref()), zones, by_iomem })
    }

    /// The end (exclusive) of all zones and RAM ranges; `u64::MAX` if nothing is known.
    pub fn end(&self) -> u64 {
        self.segments.last().map(|rest| rest.frames.start).filter(|&end| end > 0).unwrap_or(u64::MAX)
    }

    /// Whether a frame may exist: nothing is known, or it is before the end. Linux up to 5.9 returns a word for any frame
    /// number.
    pub fn may_exist(&self, pfn: Pfn) -> bool {
        pfn.0 < self.end()
    }

    /// Splits the words of frames from `first` on at segment boundaries: each part with its segment and its first frame.
    pub fn parts<'s, 'w: 's>(
        &'s self,
        first: u64,
        words: &'w [u64],
    ) -> impl Iterator<Item = (&'s Segment, u64, &'w [u64])> + 's {
        let end = first + words.len() as u64;
        let begin = self.segments.partition_point(|segment| segment.frames.end <= first);
        self.segments[begin..].iter().take_while(move |segment| segment.frames.start < end).map(move |segment| {
            let (start, stop) = (segment.frames.start.max(first), segment.frames.end.min(end));
            (segment, start, &words[(start - first) as usize..(stop - first) as usize])
        })
    }

    /// The zone of a frame.
    pub fn zone(&self, pfn: Pfn) -> Option<&Zone> {
        self.zones.get(self.segment(pfn)?.zone?)
    }

    /// Whether a frame number has memory.
    pub fn memory(&self, pfn: Pfn) -> Memory {
        self.segment(pfn).map_or(Memory::Unknown, |segment| segment.memory)
    }

    fn segment(&self, pfn: Pfn) -> Option<&Segment> {
        let place = self.segments.partition_point(|segment| segment.frames.end <= pfn.0);
        self.segments.get(place).filter(|segment| segment.frames.contains(&pfn.0))
    }
}

/// The frames of System RAM; `None` if iomem cannot be read or hides its addresses.
fn ram(root: &Root, page_size: PageSize) -> Option<Vec<Range<u64>>> {
    let text = root.dir().read("proc/iomem", SMALL).ok()?;
    let ram = iomem::parse(&text, "proc/iomem".as_ref()).ok()?;
    if ram.is_empty() || ram.len() > MOST {
        return None;
    }
    // Only whole frames, as in the kernel.
    let frames = |range: &Range<u64>| range.start.div_ceil(page_size.bytes())..page_size.pages_in(range.end);
    Some(ram.iter().map(frames).filter(|range| !range.is_empty()).collect())
}

/// The memory blocks in sysfs.
struct Blocks {
    dir: Dir,
    /// Frames per block.
    frames: u64,
    numbers: Vec<u64>,
}

impl Blocks {
    fn read(root: &Root, page_size: PageSize) -> Option<Self> {
        let dir = root.dir().open_dir(BLOCKS).ok()?;
        let frames = page_size.pages_in(hexadecimal(&text(&dir, "block_size_bytes")?)?);
        let numbers = block_numbers(&dir);
        (frames > 0 && !numbers.is_empty()).then_some(Self { dir, frames, numbers })
    }

    fn range(&self, number: u64) -> Range<u64> {
        number.saturating_mul(self.frames)..number.saturating_add(1).saturating_mul(self.frames)
    }

    fn ranges(&self) -> Vec<Range<u64>> {
        self.numbers.iter().map(|&number| self.range(number)).collect()
    }

    fn offline(&self) -> Vec<Range<u64>> {
        let state = |number| text(&self.dir, &format!("memory{number}/state"));
        let offline = self.numbers.iter().filter(|&&number| state(number).is_some_and(|state| state == "offline"));
        offline.map(|&number| self.range(number)).collect()
    }

    /// The blocks of every node, which identify the node if zones overlap.
    fn by_node(&self, root: &Root) -> Vec<(u32, Range<u64>)> {
        let Ok(nodes) = root.dir().open_dir("sys/devices/system/node") else { return Vec::new() };
        let names = nodes.names().unwrap_or_default();
        let node = |name: &[u8]| std::str::from_utf8(name).ok()?.strip_prefix("node")?.parse::<u32>().ok();
        let all = names.iter().filter_map(|name| node(name));
        let blocks =
            |node: u32| nodes.open_dir(format!("node{node}")).map(|dir| block_numbers(&dir)).unwrap_or_default();
        all.flat_map(|node| blocks(node).into_iter().map(move |block| (node, block)))
            .map(|(node, block)| (node, self.range(block)))
            .collect()
    }
}

/// The `state` files of the memory blocks, as paths relative to the root, if any block is offline; otherwise iomem is
/// sufficient.
pub fn block_states(root: &Root) -> Vec<String> {
    let numbers = root.dir().open_dir(BLOCKS).map(|dir| block_numbers(&dir)).unwrap_or_default();
    let states: Vec<String> = numbers.into_iter().map(|number| format!("{BLOCKS}/memory{number}/state")).collect();
    let is_offline = |path: &String| text(root.dir(), path).is_some_and(|state| state == "offline");
    if states.iter().any(is_offline) { states } else { Vec::new() }
}

/// The numbers of the `memoryN` entries in a directory, ascending.
fn block_numbers(dir: &Dir) -> Vec<u64> {
    let number = |name: &[u8]| std::str::from_utf8(name).ok()?.strip_prefix("memory")?.parse().ok();
    let mut numbers: Vec<u64> = dir.names().unwrap_or_default().iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    numbers
}

fn frames(zone: &Zone) -> Range<u64> {
    zone.frames().start.0..zone.frames().end.0
}

/// Whether zones overlap, as on machines with interleaved nodes.
pub fn overlap(zones: &[Zone]) -> bool {
    let mut ranges: Vec<Range<u64>> = zones.iter().map(frames).filter(|range| !range.is_empty()).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.windows(2).any(|pair| pair[1].start < pair[0].end)
}

/// Splits the frame numbers into segments wherever anything changes.
fn segments(
    zones: &[Zone],
    ram: Option<&[Range<u64>]>,
    offline: &[Range<u64>],
    nodes: Option<&[(u32, Range<u64>)]>,
) -> Vec<Segment> {
    let zone_ranges = || zones.iter().map(frames);
    let node_ranges = nodes.into_iter().flatten().map(|(_, range)| range.clone());
    let all = zone_ranges().chain(ram.into_iter().flatten().cloned());
    let end = all.clone().map(|range| range.end).max().unwrap_or(0);
    let mut cuts: Vec<u64> = all
        .chain(offline.iter().cloned())
        .chain(node_ranges)
        .flat_map(|range| [range.start, range.end])
        .chain([0, end])
        .filter(|&cut| cut <= end)
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut segments: Vec<Segment> = Vec::new();
    for pair in cuts.windows(2) {
        let first = pair[0];
        let of_node = |node| {
            let block = nodes.and_then(|nodes| nodes.iter().find(|(_, range)| range.contains(&first)));
            block.is_none_or(|(owner, _)| *owner == node)
        };
        let zone = zones.iter().position(|zone| frames(zone).contains(&first) && of_node(zone.node));
        let within = |ranges: &[Range<u64>]| ranges.iter().any(|range| range.contains(&first));
        let memory = match ram {
            _ if within(offline) => Memory::Offline,
            None => Memory::Unknown,
            Some(ram) if within(ram) => Memory::Ram,
            Some(_) => Memory::Hole,
        };
        match segments.last_mut() {
            Some(last) if (last.zone, last.memory) == (zone, memory) => last.frames.end = pair[1],
            _ => segments.push(Segment { frames: first..pair[1], zone, memory }),
        }
    }
    segments.push(Segment { frames: end..u64::MAX, zone: None, memory: Memory::Unknown });
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(node: u32, name: &str, start: u64, spanned: u64) -> Zone {
        Zone { node, name: name.to_owned(), start_pfn: Some(Pfn(start)), spanned, ..Zone::default() }
    }

    #[test]
    fn frames_are_cut_by_zone_and_memory() {
        let zones = [zone(0, "DMA", 1, 99), zone(0, "DMA32", 100, 200), zone(0, "Movable", 0, 0)];
        let ram = [1..50, 60..250];
        let found = segments(&zones, Some(&ram), std::slice::from_ref(&(200..250)), None);
        let shown: Vec<_> = found.iter().map(|s| (s.frames.clone(), s.zone, s.memory)).collect();
        assert_eq!(
            shown,
            [
                (0..1, None, Memory::Hole),
                (1..50, Some(0), Memory::Ram),
                (50..60, Some(0), Memory::Hole),
                (60..100, Some(0), Memory::Ram),
                (100..200, Some(1), Memory::Ram),
                (200..250, Some(1), Memory::Offline),
                (250..300, Some(1), Memory::Hole),
                (300..u64::MAX, None, Memory::Unknown),
            ]
        );
        let physical = Physical { zones: zones.to_vec(), segments: found, by_iomem: true };
        assert_eq!(physical.zone(Pfn(299)).map(|zone| zone.name.as_str()), Some("DMA32"));
        assert_eq!((physical.end(), physical.zone(Pfn(300))), (300, None));
        assert_eq!(physical.memory(Pfn(55)), Memory::Hole);
        let words: Vec<u64> = (195..305).collect();
        let parts: Vec<_> = physical.parts(195, &words).map(|(s, first, words)| (s.zone, first, words.len())).collect();
        assert_eq!(parts, [(Some(1), 195, 5), (Some(1), 200, 50), (Some(1), 250, 50), (None, 300, 5)]);
        let nothing = Physical { zones: Vec::new(), segments: segments(&[], None, &[], None), by_iomem: false };
        assert_eq!((nothing.end(), nothing.parts(7, &words).count()), (u64::MAX, 1));
    }

    #[test]
    fn interleaved_nodes_are_told_apart_by_their_blocks() {
        let zones = [zone(0, "Normal", 0, 300), zone(1, "Normal", 100, 100)];
        assert!(overlap(&zones));
        let apart = [zone(0, "X", 10, 10), zone(0, "X", 0, 10), zone(0, "X", 20, 5), zone(0, "X", 5, 0)];
        assert!(!overlap(&apart), "a zone of no frames is nowhere");
        assert!(overlap(&[zone(0, "X", 10, 10), zone(0, "X", 0, 11)]));
        let nodes = [(0, 0..100), (1, 100..200), (0, 200..300)];
        let found = segments(&zones, None, &[], Some(&nodes));
        let shown: Vec<_> = found.iter().map(|s| (s.frames.clone(), s.zone)).collect();
        assert_eq!(shown, [(0..100, Some(0)), (100..200, Some(1)), (200..300, Some(0)), (300..u64::MAX, None)]);
    }
}
