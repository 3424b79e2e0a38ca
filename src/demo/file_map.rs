//! `file-map`: reading a page of a cached file also maps the pages around it.

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
    question: "how many pages does one read of a mapped file map?",
    about: "A process writes an in-memory file of 64 pages and maps it. Reading maps pages nobody asked for, writing \
            does not, and none of the frames belong to the process.",
    learnt: "The frames existed before the mapping and outlived it: they belong to the file. A read fault mapped all \
             cached pages around the one that was read, so reading the whole file took few faults. A write fault \
             mapped no more than it had to.",
    explain: "File pages live in frames of the page cache, and mapping the file only enters these frames in page \
              tables. Since that is cheap for cached pages, a read fault also maps the neighbours: those in the \
              aligned window of fault_around_bytes (64 KiB by default, in debugfs) around the address, and in later \
              kernels the whole of a large folio. A write fault does not, because the file system must be notified of \
              each page that becomes dirty.",
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

/// The page read first; not at the beginning of a window.
const FIRST: usize = 21;

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let file = memory_file(facts)?;
    let AtOnce { by_read, by_write } = AtOnce::probe(facts, &file)?;
    file.set_len(0).map_err(errno)?;
    // After a write to page 0 and a read of page 1: the frames mapped, and the faults taken by the read.
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
            .why("write(2) put the pages into the page cache. mmap records a range of addresses and maps no page."),
        step(format!("read page {FIRST}"), |w| w.read(0, FIRST..FIRST + 1))
            .exact(FRAMES, by_read)
            .exact(CACHED, PAGES)
            .exact(FAULTS, 1)
            .why("One fault: nothing has to be read, so the kernel maps all cached pages of the aligned window."),
        step("read all", |w| w.read(0, 0..PAGES))
            .exact(FRAMES, PAGES)
            .exact(CACHED, PAGES)
            .exact(FAULTS, PAGES / by_read - 1)
            .why("One fault per window."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("The page-table entries are cleared. The frames belong to the file, so no memory is freed."),
        step("write page 0", |w| w.write_value(0, 0..1, 2))
            .exact(FRAMES, by_write)
            .exact(CACHED, PAGES)
            .exact(FAULTS, 1)
            .why("A write fault maps only its own page (or all pages of a large folio)."),
        step("read page 1", |w| w.read(0, 1..2))
            .exact(FRAMES, beside.0)
            .exact(CACHED, PAGES)
            .exact(FAULTS, beside.1)
            .why("A read fault on the next page maps the rest of the window."),
        step("unmap", |w| w.unmap(0))
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("The file keeps its frames, although no process maps them."),
        step("truncate the file", |w| w.file()?.set_len(0).map_err(errno))
            .exact(FRAMES, 0)
            .exact(CACHED, 0)
            .why("A file without pages needs no frames: only now are they free."),
    ])
}
