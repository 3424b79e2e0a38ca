//! `file-map`: a read of a cached file maps the pages around it too.

use nix::sys::mman::{MapFlags, MmapAdvise};

use super::facts::Facts;
use super::mapped_file::{AtOnce, CACHED, PAGES, cached, fill, memory_file, ones};
use super::quantity::{FAULTS, FRAMES, SIZE};
use super::script::{Step, step};
use super::worker::READ_WRITE;
use super::{BLANK, Demo, Skip};
use crate::error::errno;

pub(super) const DEMO: Demo = Demo {
    name: "file-map",
    question: "how many pages does a read of a mapped file bring in?",
    about: "A process writes a file of 64 pages, in memory, and maps it. Reading maps pages that nobody asked for, writing \
            does not, and none of the frames are the process's.",
    learnt: "The frames were there before the mapping and stayed after it: they are the file's. A read fault mapped all cached \
             pages around the one that was read, so that reading the whole file took few faults; a write fault mapped no \
             more than it had to.",
    explain: "A page of a file is read into a frame of the page cache, and mapping the file only enters these frames in page \
              tables. As that is cheap where the page is cached already, a read fault does it for its neighbours too: for \
              those in the aligned window of fault_around_bytes (64 KiB, in debugfs) around the address, and in later kernels \
              for all of a large folio. A write fault does not, because the file system must be told of each page that gets \
              dirty.",
    functions: &[
        ("shmem_file_write_iter", "mm/shmem.c"),
        ("do_fault_around", "mm/memory.c"),
        ("filemap_map_pages", "mm/filemap.c"),
        ("do_shared_fault", "mm/memory.c"),
        ("shmem_undo_range", "mm/shmem.c"),
    ],
    columns: &[FRAMES, CACHED, FAULTS],
    readers: &[cached],
    script,
    ..BLANK
};

/// The page that is read first: none at the beginning of a window.
const FIRST: usize = 21;

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let file = memory_file(facts)?;
    let AtOnce { by_read, by_write } = AtOnce::probe(facts, &file)?;
    file.set_len(0).map_err(errno)?;
    // What is at page 0 after a write to it, and what a read of page 1 then adds.
    let beside = match (by_write, by_read) {
        (1, 1) => (2, 1),
        (1, _) => (by_read, 1),
        _ => (by_write, 0),
    };
    let ones = ones(facts);
    let make = move |w: &mut super::worker::Worker| {
        w.take(&file)?;
        fill(w.file()?, &ones)?;
        w.map_file(0, 0, PAGES, READ_WRITE, MapFlags::MAP_SHARED)
    };
    Ok(vec![
        step("write a file and map it", make)
            .exact(SIZE, PAGES)
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("write(2) put the pages into the page cache. mmap writes down a range of addresses, and maps none of them."),
        step(format!("read page {FIRST}"), |w| w.read(0, FIRST..FIRST + 1))
            .exact(FRAMES, by_read)
            .exact(CACHED, PAGES)
            .exact(FAULTS, 1)
            .why("One fault: the kernel maps what is cached of the aligned window around the page, as nothing has to be read."),
        step("read all", |w| w.read(0, 0..PAGES))
            .exact(FRAMES, PAGES)
            .exact(CACHED, PAGES)
            .exact(FAULTS, PAGES / by_read - 1)
            .why("One fault a window."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("The page-table entries are emptied. The frames are the file's: no memory gets free."),
        step("write page 0", |w| w.write_value(0, 0..1, 2))
            .exact(FRAMES, by_write)
            .exact(CACHED, PAGES)
            .exact(FAULTS, 1)
            .why("A write fault maps its own page only (of a large folio, all pages)."),
        step("read page 1", |w| w.read(0, 1..2))
            .exact(FRAMES, beside.0)
            .exact(CACHED, PAGES)
            .exact(FAULTS, beside.1)
            .why("A read fault beside it maps the rest of the window."),
        step("unmap", |w| w.unmap(0))
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("The file keeps its frames, with no process mapping them."),
        step("cut the file to nothing", |w| w.file()?.set_len(0).map_err(errno))
            .exact(FRAMES, 0)
            .exact(CACHED, 0)
            .why("Without its pages the file needs no frames: only now they are free."),
    ])
}
