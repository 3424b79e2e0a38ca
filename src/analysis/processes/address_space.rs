//! The address space of a process: whether there is one, its mappings, and its page map.

use std::fs::File;

use crate::analysis::processes::kind::{Kind, kind};
use crate::error::{Error, Result};
use crate::kernel::features::Features;
use crate::kernel::filesystems::FileSystems;
use crate::kernel::process::Process;
use crate::kernel::root::Root;
use crate::kernel::scan::{self, Query, Region, category};
use crate::kernel::words::Words;
use crate::model::pagemap::Entry;
use crate::model::smaps::{Collector, Value, Values};
use crate::model::stat::Stat;
use crate::model::status;
use crate::model::vma::Vma;
use crate::unit::{PageSize, VirtAddr};

/// Why a process has no address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddressSpace {
    /// A kernel thread: it uses the kernel's address space.
    KernelThread,
    /// It has exited and is waiting to be reaped.
    Zombie,
}

impl NoAddressSpace {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::KernelThread => "kernel-thread",
            Self::Zombie => "zombie",
        }
    }

    /// Why there is nothing to count, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::KernelThread => "a kernel thread: it has no address space of its own",
            Self::Zombie => "a zombie: it has exited, and its address space is gone; its parent has not reaped it",
        }
    }
}

/// Which task shows a process's address space.
#[derive(Debug)]
pub enum SeenThrough {
    /// Through the process itself.
    Itself,
    /// Through one of its threads: the first has ended, and this one is still running.
    Thread(Process),
    /// Through nothing: there is none.
    Nothing(NoAddressSpace),
}

/// Which task shows the address space of the process with this `stat`.
pub fn seen_through(process: &Process, stat: &Stat) -> SeenThrough {
    if stat.is_kernel_thread() {
        SeenThrough::Nothing(NoAddressSpace::KernelThread)
    } else if stat.is_zombie() {
        process.running_thread().map_or(SeenThrough::Nothing(NoAddressSpace::Zombie), SeenThrough::Thread)
    } else {
        SeenThrough::Itself
    }
}

/// Whether a process or thread still exists and is neither a zombie nor about to become one.
pub fn is_alive(process: &Process) -> bool {
    process.stat().is_ok_and(|stat| !stat.is_zombie() && !stat.is_exiting())
}

/// How many of `all` swap areas an entry of the process with this `status` may be in: none if nothing of it is swapped
/// out, which distinguishes markers from swap where the kernel hides what an entry is.
pub fn swap_areas(features: &Features, status: &[u8], all: u64) -> u64 {
    let nothing = status::bytes_of(status, "VmSwap") == Some(0);
    // This counter is approximate on some kernels.
    if nothing && features.statm_exact == Some(true) { 0 } else { all }
}

/// The address space of a process. Once it is gone, every read says so.
#[derive(Debug)]
pub struct Space<'p> {
    /// Whose it is.
    pub process: &'p Process,
    /// Its mappings, ascending.
    pub vmas: Vec<Vma>,
    /// The text of its `status`.
    pub status: Vec<u8>,
    /// Its page map.
    pub pagemap: Words,
    /// The recorded scan, if it is in a recorded tree that has one.
    pub recorded_scan: Option<Words>,
    maps: File,
    page_size: PageSize,
}

impl<'p> Space<'p> {
    /// Opens the page map and reads the mappings.
    ///
    /// # Errors
    /// [`Error::Gone`] when the process has ended, or is just calling exec; [`Error::Denied`].
    pub fn read(root: &Root, process: &'p Process) -> Result<Self> {
        let built_in = |error| match error {
            Error::Missing { path } if !root.is_recorded() && process.stat().is_ok() => Error::not_built_in(&path),
            other => other,
        };
        let status = process.read("status")?;
        let maps = process.open_file("maps")?;
        let pagemap = process.pagemap().map_err(built_in)?;
        let mut vmas = Vec::new();
        process.vmas(&maps, |vma| vmas.push(vma))?;
        if vmas.is_empty() {
            return Err(Error::Gone { path: process.path("maps") });
        }
        let recorded_scan = process.recorded_scan()?;
        let space = Self { process, vmas, status, pagemap, recorded_scan, maps, page_size: root.page_size() };
        // maps is returned in pieces, and ends early if the address space goes away between two of them. If it is still
        // there now, it was there all the time.
        if let Some(vma) = space.vmas.first().filter(|vma| !vma.range.start.is_kernel()) {
            space.entry(vma.range.start)?;
        }
        Ok(space)
    }

    /// The mapping that contains an address, or else the ones below and above it.
    pub fn find(&self, address: VirtAddr) -> std::result::Result<&Vma, (Option<&Vma>, Option<&Vma>)> {
        let above = self.vmas.partition_point(|vma| vma.range.start <= address);
        let below = above.checked_sub(1).map(|at| &self.vmas[at]);
        match below.filter(|vma| vma.range.contains(&address)) {
            Some(vma) => Ok(vma),
            None => Err((below, self.vmas.get(above))),
        }
    }

    /// The kinds of some of its mappings.
    pub fn kinds(&self, vmas: &[Vma], features: &Features) -> Result<Vec<Kind>> {
        let systems = FileSystems::of(self.process, &self.maps, vmas.iter(), features, self.page_size)?;
        Ok(vmas.iter().map(|vma| kind(vma, &systems)).collect())
    }

    /// The mapping with its name as it is, if `maps` shows what may be an escaped newline.
    pub fn named(&self, vma: &Vma, features: &Features) -> Result<Vma> {
        let mut named = vma.clone();
        if vma.has_doubtful_name() {
            named.name = self.process.exact_name(vma, &self.maps, features)?;
        }
        Ok(named)
    }

    /// The word of its page map for an address, which must be in a mapping of the user's half.
    pub fn entry(&self, address: VirtAddr) -> Result<Entry> {
        let mut words = [0];
        match self.pagemap.read(self.page_size.index_of(address), &mut words)? {
            0 => Err(Error::Gone { path: self.pagemap.path().to_owned() }),
            _ => Ok(Entry(words[0])),
        }
    }

    /// Whether a scan is available, by the ioctl or recorded.
    pub fn can_scan(&self, features: &Features) -> bool {
        features.scan_categories.is_some() && (!self.process.is_recorded() || self.recorded_scan.is_some())
    }

    /// The categories that a scan reports for the page at an address, as far as the kernel knows them; `None` without a
    /// scan.
    pub fn categories(&self, address: VirtAddr, features: &Features) -> Result<Option<u64>> {
        if !self.can_scan(features) {
            return Ok(None);
        }
        if let Some(recorded) = &self.recorded_scan {
            let mut words = [0];
            recorded.read(self.page_size.index_of(address), &mut words)?;
            return Ok(Some(words[0]));
        }
        let Some(pagemap) = self.pagemap.live() else { return Ok(None) };
        let page = self.page_size.whole_pages(address..VirtAddr(address.0.saturating_add(1)));
        let known = features.scan_categories.unwrap_or(0);
        let query = Query {
            start: page.start,
            end: page.end,
            max_pages: 0,
            any_of: category::PRESENT | category::SWAPPED,
            report: known & (category::PRESENT | category::PFNZERO | category::HUGE),
        };
        let mut regions = [Region::default()];
        let scanned = scan::scan(pagemap, &query, &mut regions);
        let (found, _) = scanned.map_err(|errno| Error::from_errno(errno, self.pagemap.path()))?;
        Ok(Some(if found == 0 { 0 } else { regions[0].categories }))
    }

    /// The size in bytes of the pages that the kernel maps a mapping with: larger than a base page for hugetlb.
    pub fn kernel_page_size(&self, vma: &Vma, features: &Features) -> Result<Option<u64>> {
        if features.procmap_query && !self.process.is_recorded() {
            return Ok(scan::query_vma(&self.maps, vma.range.start).ok().map(|detail| detail.page_size));
        }
        let values = self.smaps(vma, &["KernelPageSize"])?;
        Ok(values.and_then(|values| match values.values[..] {
            [Some(Value::Bytes(bytes))] => Some(bytes),
            _ => None,
        }))
    }

    /// Chosen values of smaps of one mapping; `None` if smaps no longer has it. smaps is read up to there: the kernel
    /// walks the page tables of everything before it.
    pub fn smaps(&self, vma: &Vma, keys: &[&str]) -> Result<Option<Values>> {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let mut collector = Collector::new(&keys);
        let mut passed = false;
        let read = self.process.for_each_line("smaps", |line, path, number| {
            collector.line(line, path, number)?;
            let started = collector.mappings.last().map(|last| last.range.start);
            passed = started.is_some_and(|start| start > vma.range.start);
            // An error ends the reading.
            if passed { Err(Error::malformed(path, number, "enough")) } else { Ok(()) }
        });
        match read {
            Err(error) if !passed => {
                // A tree may have been recorded without it.
                return if self.process.is_recorded() && error.is_gone() { Ok(None) } else { Err(error) };
            }
            _ => {}
        }
        Ok(collector.mappings.into_iter().rfind(|values| values.range == vma.range))
    }

    /// How many swap areas an entry may be in: none if nothing of the process is swapped out, which distinguishes
    /// markers from swap where the kernel hides what an entry is.
    pub fn swap_areas(&self, root: &Root, features: &Features) -> u64 {
        swap_areas(features, &self.status, root.swap_areas())
    }
}
