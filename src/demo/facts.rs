//! What a demo must know of this machine before it says what it expects: found by trying.

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

/// How many places a worker has for memory.
pub const PLACES: usize = 4;

/// Where the memory of a process is, by place: address and length in bytes.
pub(super) type Ranges = [[u64; 2]; PLACES];

/// Where the places are: far from where the kernel puts mappings by itself, each in an entry of its own of the highest page
/// table, and aligned for any huge page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    first: usize,
    apart: usize,
}

/// Tried in this order: for 47 and more bits of address, and for 39 bits, as arm64 and riscv64 may have.
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

    /// The first that are all free in this process, which a worker has a copy of.
    fn probe(page_size: PageSize) -> Option<Self> {
        let free = |address| {
            let length = page_size.bytes() as usize;
            Mapping::anonymous(length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE, Some(address)).is_ok()
        };
        PLACES_TRIED.into_iter().find(|places| (0..PLACES).all(|place| free(places.address(place))))
    }
}

/// What was found.
#[derive(Debug)]
pub struct Facts<'r> {
    /// The machine.
    pub root: &'r Root,
    /// What it lets pmem see.
    pub features: Features,
    /// What shapes the numbers.
    pub environment: Environment,
    /// The size of a base page.
    pub page_size: PageSize,
    /// Where the worker's memory is going to be.
    pub places: Places,
    /// The levels of the page tables, where the machine tells.
    pub levels: Option<Levels>,
    /// The bytes of page tables that the first page at a place takes, where the formula and what was tried say the same.
    tables_of_one_page: Option<i64>,
    /// MADV_POPULATE_WRITE is known (Linux 5.14).
    pub populate_write: bool,
    /// Not found, but asked for: how many pages a [paced](super::Demo::paced) demo is to write.
    pub pages: Option<usize>,
}

impl<'r> Facts<'r> {
    /// Tries everything.
    ///
    /// # Errors
    /// [`Skip`] where there is no room at any of the places.
    pub fn probe(root: &'r Root) -> Result<Self, Skip> {
        let own = Stat::parse(&root.dir().read("proc/self/stat", SMALL)?, Path::new("/proc/self/stat"))?;
        if own.pid != std::process::id() {
            let why = "/proc is of another PID namespace than pmem, which would look at other processes than its own";
            return Err(Skip(why.to_owned()));
        }
        let page_size = root.page_size();
        let features = Features { page_table_levels: page_table_levels(root), ..root.features_cheaply() };
        let places = Places::probe(page_size).ok_or_else(|| Skip("no address for its memory is free".to_owned()))?;
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

    /// The size of a base page, in bytes.
    pub fn page(&self) -> usize {
        self.page_size.bytes() as usize
    }

    /// Memory of pmem's own to try things with, in small pages: where the worker's is going to be.
    ///
    /// # Errors
    /// What mapping it says.
    pub fn arena(&self, pages: usize) -> nix::Result<Mapping> {
        let (length, address) = (pages * self.page(), Some(self.places.address(0)));
        let arena = Mapping::anonymous(length, READ_WRITE, MapFlags::MAP_PRIVATE, address)?;
        arena.keep_small();
        Ok(arena)
    }

    /// How many levels of page tables VmPTE counts: three at most, as it has neither the highest nor a P4D.
    pub fn counted_levels(&self) -> Option<usize> {
        self.levels.as_ref().map(counted_levels)
    }

    /// The bytes of page tables that the first page at a place takes: a table of each level that VmPTE counts. `None`
    /// where the levels are not known, or the places are too near
    /// to each other for that (with large pages, a table covers much).
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
