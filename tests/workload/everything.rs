//! `everything`: a little of every kind of memory, and a child that shares some of it.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use pmem::internal::memory::{Mapping, sysv};
use serde_json::json;

use super::children::Children;
use super::place::{PAGE, Places, READ_WRITE, THP, is_present, read_pages, setting, smaps_pages, write_pages};
use super::report::{Made, Thing, say, wait_for_the_end};

/// Pages written, and how many of them the child writes again.
const WRITTEN: usize = 1000;
const CHILD_WRITES: usize = 100;

const READ_ONLY: usize = 256;
const FILE_PAGES: usize = 64;
const FILE_WRITTEN: usize = 8;
const SWAP_PAGES: usize = 64;
const GUARDED: std::ops::Range<usize> = 16..24;
const MADV_GUARD_INSTALL: i32 = 102;

pub(crate) fn run(with_hugetlb: bool) -> Result<()> {
    let mut scene = Scene { places: Places::new(), kept: Vec::new(), things: Vec::new() };
    let cow = scene.places.anonymous(WRITTEN, MapFlags::MAP_PRIVATE)?;
    write_pages(&cow, 0..WRITTEN);
    scene.ordinary()?;
    scene.try_to("guard region", Scene::guard);
    scene.try_to("swapped out", Scene::swapped);
    scene.try_to("huge page", Scene::huge_page);
    scene.try_to("huge zero page", Scene::huge_zero_page);
    for (what, flags) in [("hugetlb private", MapFlags::MAP_PRIVATE), ("hugetlb shared", MapFlags::MAP_SHARED)] {
        scene.try_to(what, |scene| {
            ensure!(with_hugetlb, "not asked for");
            scene.hugetlb(what, flags)
        });
    }

    // Last, so that the child has a copy of all of it.
    let mut children = Children::default();
    let child = children.start(|| write_pages(&cow, 0..CHILD_WRITES)).context("the child failed")?;
    // What the child has written now has one frame for the child and one for the parent; the rest is shared.
    let cow_made =
        |what| Made { exclusive: Some(CHILD_WRITES as u64), ..Made::new(what, &cow, "anon").present(WRITTEN) };
    scene.things.push(Thing::Made(cow_made("written, some again by a child")));
    say(&json!({
        "pid": std::process::id(),
        "mappings": scene.things,
        "child": { "pid": child, "mappings": [cow_made("written by a parent, some again")] },
    }))?;

    wait_for_the_end()?;
    children.end()
}

struct Scene {
    places: Places,
    kept: Vec<Mapping>,
    things: Vec<Thing>,
}

impl Scene {
    fn keep(&mut self, made: Made, mapping: Mapping) {
        self.things.push(Thing::Made(made));
        self.kept.push(mapping);
    }

    /// Does something that may not be possible on this machine.
    fn try_to(&mut self, what: &'static str, make: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = make(self) {
            self.things.push(Thing::Skipped { what, skipped: format!("{error:#}") });
        }
    }

    /// What is possible on every machine.
    fn ordinary(&mut self) -> Result<()> {
        let read_only = self.places.anonymous(READ_ONLY, MapFlags::MAP_PRIVATE)?;
        read_pages(&read_only, 0..READ_ONLY);
        let made = Made::new("only read", &read_only, "anon").present(READ_ONLY);
        self.keep(Made { zero: READ_ONLY as u64, ..made }, read_only);

        self.files()?;

        let memfd = File::from(memfd_create(c"workload", MFdFlags::MFD_CLOEXEC)?);
        memfd.set_len((32 * *PAGE) as u64)?;
        let shared = Mapping::file(&memfd, 32 * *PAGE, READ_WRITE, MapFlags::MAP_SHARED)?;
        write_pages(&shared, 0..32);
        self.keep(Made::new("memfd", &shared, "shmem").present(32), shared);

        let segment = sysv(16 * *PAGE, 0)?;
        write_pages(&segment, 0..16);
        self.keep(Made::new("SysV segment", &segment, "shmem").present(16), segment);

        // Reading shared memory allocates a page, rather than mapping the zero page.
        let shared = self.places.anonymous(24, MapFlags::MAP_SHARED)?;
        write_pages(&shared, 0..10);
        read_pages(&shared, 10..14);
        self.keep(Made::new("shared anonymous", &shared, "shmem").present(14), shared);

        let zero = File::options().read(true).write(true).open("/dev/zero")?;
        let private = Mapping::file(&zero, 12 * *PAGE, READ_WRITE, MapFlags::MAP_PRIVATE)?;
        write_pages(&private, 0..12);
        self.keep(Made::new("/dev/zero, private", &private, "anon").present(12), private);

        let closed = self.places.anonymous(20, MapFlags::MAP_PRIVATE)?;
        write_pages(&closed, 0..20);
        closed.protect(0, closed.length(), ProtFlags::PROT_NONE)?;
        self.keep(Made::new("touched, then PROT_NONE", &closed, "anon").present(20), closed);
        Ok(())
    }

    /// A file that is only read, and one that is partly written, both already deleted.
    fn files(&mut self) -> Result<()> {
        for (what, write) in [("file, read", 0), ("file, some written", FILE_WRITTEN)] {
            let mut file = tempfile::tempfile()?;
            // One write per page: a larger one may be cached as one large folio.
            for _ in 0..FILE_PAGES {
                file.write_all(&vec![7; *PAGE])?;
            }
            let kind = if fstatfs(&file)?.filesystem_type() == TMPFS_MAGIC { "shmem" } else { "file" };
            let protection = if write > 0 { READ_WRITE } else { ProtFlags::PROT_READ };
            let mapping = Mapping::file(&file, FILE_PAGES * *PAGE, protection, MapFlags::MAP_PRIVATE)?;
            read_pages(&mapping, 0..FILE_PAGES);
            write_pages(&mapping, 0..write);
            self.keep(Made::new(what, &mapping, kind).present(FILE_PAGES), mapping);
        }
        Ok(())
    }

    fn guard(&mut self) -> Result<()> {
        let mapping = self.places.anonymous(64, MapFlags::MAP_PRIVATE)?;
        write_pages(&mapping, 0..GUARDED.start);
        mapping
            .advise_raw(GUARDED.start * *PAGE, GUARDED.len() * *PAGE, MADV_GUARD_INSTALL)
            .context("this kernel has no guard regions")?;
        let made = Made::new("guard region", &mapping, "anon").present(GUARDED.start);
        self.keep(Made { guard: GUARDED.len() as u64, ..made }, mapping);
        Ok(())
    }

    fn swapped(&mut self) -> Result<()> {
        ensure!(setting("/proc/swaps").lines().count() > 1, "swap is off");
        let mapping = self.places.anonymous(2 * SWAP_PAGES, MapFlags::MAP_PRIVATE)?;
        write_pages(&mapping, 0..2 * SWAP_PAGES);
        // Reclaim takes what it can get; a page that is just being moved stays.
        for _ in 0..20 {
            mapping.advise(0, SWAP_PAGES * *PAGE, MmapAdvise::MADV_PAGEOUT)?;
            if smaps_pages(&mapping, "Swap")? == SWAP_PAGES {
                break;
            }
        }
        let swapped = smaps_pages(&mapping, "Swap")?;
        ensure!(swapped > 0, "the kernel swapped nothing out");
        let made = Made::new("half swapped out", &mapping, "anon").present(2 * SWAP_PAGES - swapped);
        self.keep(Made { swapped: swapped as u64, ..made }, mapping);
        Ok(())
    }

    fn huge_page(&mut self) -> Result<()> {
        let (mapping, pages) = self.places.huge(1)?;
        mapping.write(0, 1);
        ensure!(smaps_pages(&mapping, "AnonHugePages")? == pages, "the kernel had no huge page to give");
        let made = Made::new("huge page", &mapping, "anon").present(pages);
        self.keep(Made { huge: pages as u64, ..made }, mapping);
        Ok(())
    }

    fn huge_zero_page(&mut self) -> Result<()> {
        ensure!(setting(&format!("{THP}/use_zero_page")) == "1", "the huge zero page is off");
        let (mapping, pages) = self.places.huge(1)?;
        mapping.read(0);
        ensure!(is_present(&mapping, pages - 1)?, "the kernel gave a small zero page");
        let made = Made::new("huge zero page", &mapping, "anon").present(pages);
        self.keep(Made { huge: pages as u64, zero: pages as u64, ..made }, mapping);
        Ok(())
    }

    fn hugetlb(&mut self, what: &'static str, flags: MapFlags) -> Result<()> {
        let meminfo = setting("/proc/meminfo");
        let value = |key: &str| -> Option<usize> {
            meminfo.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
        };
        ensure!(value("HugePages_Free:").is_some_and(|free| free > 0), "no hugetlb page is free");
        let bytes = value("Hugepagesize:").context("meminfo has no Hugepagesize")? * 1024;
        let mapping =
            Mapping::anonymous(bytes, READ_WRITE, flags | MapFlags::MAP_ANONYMOUS | MapFlags::MAP_HUGETLB, None)
                .context("mmap")?;
        mapping.write(0, 1);
        let pages = bytes / *PAGE;
        let made = Made::new(what, &mapping, "hugetlb").present(pages);
        self.keep(Made { huge: pages as u64, ..made }, mapping);
        Ok(())
    }
}
