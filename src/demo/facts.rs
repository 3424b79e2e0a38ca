//! What a demo must know about this machine before it can state its expectations, found by probing.

use std::path::Path;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};

use super::Skip;
use super::environment::Environment;
use super::worker::READ_WRITE;
use crate::kernel::features::{Features, page_table_levels};
use crate::kernel::memory::Mapping;
use crate::kernel::root::{Root, SMALL};
use crate::model::page_table::Levels;
use crate::model::stat::Stat;
use crate::model::status;
use crate::unit::PageSize;

/// The number of places a worker has for memory.
pub const PLACES: usize = 4;

/// The memory of a process, by place: address and length in bytes.
pub(super) type Ranges = [[u64; 2]; PLACES];

/// The addresses of the places: far from where the kernel places mappings on its own, each under a separate entry of the
/// top-level page table, and aligned for any huge page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    first: usize,
    apart: usize,
}

/// Tried in this order: for 47 address bits and more, then for 39 bits, as on some arm64 and riscv64 machines.
const PLACES_TRIED: [Places; 3] = [
    Places { first: 0x2100_0000_0000, apart: 1 << 39 },
    Places { first: 0x1800_0000_0000, apart: 1 << 39 },
    Places { first: 0x10_0000_0000, apart: 1 << 33 },
];

impl Places {
    /// The address of a place.
    pub fn address(self, place: usize) -> usize {
        self.first + place * self.apart
    }

    /// The first set that is free in this process, and so in the worker forked from it.
    fn probe(page_size: PageSize) -> Option<Self> {
        let free = |address| {
            let length = page_size.bytes() as usize;
            Mapping::anonymous(length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE, Some(address)).is_ok()
        };
        PLACES_TRIED.into_iter().find(|places| (0..PLACES).all(|place| free(places.address(place))))
    }
}

/// The results of probing.
#[derive(Debug)]
pub struct Facts<'r> {
    /// The live machine.
    pub root: &'r Root,
    /// The kernel features found.
    pub features: Features,
    /// The settings that affect the numbers.
    pub environment: Environment,
    /// The base page size.
    pub page_size: PageSize,
    /// Where the worker's memory will be.
    pub places: Places,
    /// The page-table levels, if known.
    pub levels: Option<Levels>,
    /// The bytes of page tables taken by the first page at a place; known only if formula and probe agree.
    tables_of_one_page: Option<i64>,
    /// MADV_POPULATE_WRITE is supported (Linux 5.14).
    pub populate_write: bool,
    /// Not probed but requested by the user: how many pages a [paced](super::Demo::paced) demo writes.
    pub pages: Option<usize>,
}

impl<'r> Facts<'r> {
    /// Probes everything.
    ///
    /// # Errors
    /// [`Skip`] if no set of places is free, or if `/proc` belongs to another PID namespace.
    pub fn probe(root: &'r Root) -> Result<Self, Skip> {
        let own = Stat::parse(&root.dir().read("proc/self/stat", SMALL)?, Path::new("/proc/self/stat"))?;
        if own.pid != std::process::id() {
            let why = "/proc belongs to another PID namespace, so pmem would observe the wrong processes";
            return Err(Skip(why.to_owned()));
        }
        let page_size = root.page_size();
        let features = Features { page_table_levels: page_table_levels(root), ..root.features_cheaply() };
        let places =
            Places::probe(page_size).ok_or_else(|| Skip("none of the addresses for its memory is free".to_owned()))?;
        let page = Mapping::private(page_size.bytes() as usize)?;
        let populate_write = page.advise(0, page.length(), MmapAdvise::MADV_POPULATE_WRITE).is_ok();
        let levels = Levels::of(&root.host().arch, page_size, features.user_end, features.page_table_levels);
        Ok(Self {
            tables_of_one_page: levels.as_ref().and_then(|levels| tables_of_one_page(root, levels, places)),
            levels,
            environment: Environment::read(root, &features),
            root,
            features,
            page_size,
            places,
            populate_write,
            pages: None,
        })
    }

    /// The base page size in bytes.
    pub fn page(&self) -> usize {
        self.page_size.bytes() as usize
    }

    /// Memory in pmem itself for probing: small pages, at the address the worker will use.
    ///
    /// # Errors
    /// Those of mmap.
    pub fn arena(&self, pages: usize) -> nix::Result<Mapping> {
        let (length, address) = (pages * self.page(), Some(self.places.address(0)));
        let arena = Mapping::anonymous(length, READ_WRITE, MapFlags::MAP_PRIVATE, address)?;
        arena.keep_small();
        Ok(arena)
    }

    /// How many page-table levels VmPTE counts: at most three, because it excludes the top level and P4D.
    pub fn counted_levels(&self) -> Option<usize> {
        self.levels.as_ref().map(counted_levels)
    }

    /// The bytes of page tables taken by the first page at a place: one table per level that VmPTE counts. `None` if the levels
    /// are not known, or if the places are too close together (with large base pages, one table covers a lot).
    pub fn tables_of_one_page(&self) -> Option<i64> {
        self.tables_of_one_page
    }
}

fn counted_levels(levels: &Levels) -> usize {
    levels.all().len().min(4) - 1
}

fn tables_of_one_page(root: &Root, levels: &Levels, places: Places) -> Option<i64> {
    let page = root.page_size().bytes();
    let counted = counted_levels(levels) as u64;
    let tables = || status::bytes_of(&root.dir().read("proc/self/status", SMALL).ok()?, "VmPTE");
    let mut before = tables()?;
    let mut kept = Vec::new();
    for place in 0..PLACES {
        let address = Some(places.address(place));
        let mapping = Mapping::anonymous(page as usize, READ_WRITE, MapFlags::MAP_PRIVATE, address).ok()?;
        mapping.write(0, 1);
        kept.push(mapping);
        let after = tables()?;
        if after.checked_sub(before)? != counted * page {
            return None;
        }
        before = after;
    }
    i64::try_from(counted * page).ok()
}
