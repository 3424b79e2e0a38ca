//! What is requested of `pmem frames`, and which rows that leaves.

use std::ops::Range;

use crate::analysis::frames::VmaRow;
use crate::analysis::processes::kind::Kind;
use crate::model::vma::Vma;
use crate::unit::VirtAddr;

/// How often to read a process that keeps changing, at most.
pub const ATTEMPTS: u32 = 3;

/// What to read from a process.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Compare with `smaps_rollup` too.
    pub verify: bool,
    /// Say how frames are shared.
    pub owners: bool,
    /// The keys of smaps that are wanted, `VmFlags` among them.
    pub smaps_keys: Vec<String>,
    /// The rows that are wanted.
    pub rows: Selection,
}

/// Which rows are wanted. All conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Addresses: mappings that cross its ends are cut.
    pub range: Option<Range<VirtAddr>>,
    /// What the name must contain.
    pub name_contains: Option<Vec<u8>>,
    /// The kinds that are wanted; all if empty.
    pub kinds: Vec<Kind>,
    /// The least number of present, swapped or guard pages.
    pub min_pages: u64,
}

impl Selection {
    /// Hands a mapping on, cut at the ends of the range, so that every piece is either inside or outside and can be
    /// counted to the page.
    pub fn cut(&self, mut vma: Vma, mut each: impl FnMut(Vma)) {
        for at in self.range.iter().flat_map(|range| [range.start, range.end]) {
            if vma.range.start < at && at < vma.range.end {
                let mut left = vma.clone();
                left.range.end = at;
                vma.offset = vma.offset.saturating_add(at.0 - vma.range.start.0);
                vma.range.start = at;
                each(left);
            }
        }
        each(vma);
    }

    /// Whether some rows may not be wanted.
    pub fn is_narrow(&self) -> bool {
        self.range.is_some() || self.name_contains.is_some() || !self.kinds.is_empty() || self.min_pages > 0
    }

    /// Whether a row is wanted.
    pub fn keeps(&self, row: &VmaRow) -> bool {
        let within =
            self.range.as_ref().is_none_or(|range| row.vma.range.start < range.end && range.start < row.vma.range.end);
        let named = self
            .name_contains
            .as_ref()
            .is_none_or(|wanted| memchr::memmem::find(row.vma.name.bytes(), wanted).is_some());
        let kind = self.kinds.is_empty() || self.kinds.contains(&row.kind);
        let pages = row.counts.as_ref().map_or(0, |c| c.present + c.swapped + c.guard);
        within && named && kind && pages >= self.min_pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_mapping_across_an_end_of_the_range_is_cut_there() {
        let vma = Vma::parse(b"00001000-00009000 rw-p 00010000 fe:00 12 /x", Path::new("m"), 1).unwrap();
        let selection = Selection { range: Some(VirtAddr(0x3000)..VirtAddr(0x5000)), ..Selection::default() };
        let mut pieces = Vec::new();
        selection.cut(vma, |piece| pieces.push(piece));
        let shown: Vec<_> = pieces.iter().map(|p| (p.range.start.0, p.range.end.0, p.offset)).collect();
        assert_eq!(shown, [(0x1000, 0x3000, 0x10000), (0x3000, 0x5000, 0x12000), (0x5000, 0x9000, 0x14000)]);
    }
}
