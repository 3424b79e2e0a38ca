//! `major-fault`: a fault that waits for the disk.

use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::fsync;

use super::facts::Facts;
use super::look::Look;
use super::mapped_file::{AtOnce, CACHED, PAGES, cached, fill, ones, present, room};
use super::quantity::{FAULTS, FRAMES, MAJOR_FAULTS, Quantity, SIZE, Unit};
use super::script::{Step, Who, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::{self, errno};
use crate::kernel::memory::Mapping;
use crate::kernel::tmpfile;

/// Major faults of the whole process during the step. Source: stat (field 12).
const OF_PROCESS: Quantity = Quantity::new("process_major_faults", "of process", Unit::Count);

pub(super) const DEMO: Demo = Demo {
    name: "major-fault",
    question: "what makes a page fault major?",
    about: "A process reads the same mapped file from a disk twice: once when it is in the page cache, and once when \
            it is not. The access is the same and so is the resulting mapping; the wait is not.",
    learnt: "A fault was major if the page had to be read from the disk, and minor if it was already in the page \
             cache, no matter how it got there. With MADV_RANDOM the kernel read only the requested page, at one major \
             fault per page; otherwise it read ahead.",
    explain: "A fault on a file page looks it up in the page cache. If it is there, it is mapped together with its \
              neighbours: a minor fault. If not, the kernel allocates a frame, has the file system read the page into \
              it, and puts the process to sleep until it has been read: a major fault. Since disks are efficient at \
              large reads, it reads surrounding pages in the same request (read-ahead, sized by \
              /sys/class/bdi/DEV/read_ahead_kb), unless MADV_RANDOM says that this is pointless. A page can be dropped \
              from the page cache if it is clean (after fsync) and not mapped by any process.",
    functions: &[
        ("filemap_fault", "mm/filemap.c"),
        ("do_sync_mmap_readahead", "mm/filemap.c"),
        ("filemap_map_pages", "mm/filemap.c"),
        ("mm_account_fault", "mm/memory.c"),
        ("generic_fadvise", "mm/fadvise.c"),
        ("mapping_try_invalidate", "mm/truncate.c"),
    ],
    columns: &[FRAMES, CACHED, FAULTS, MAJOR_FAULTS],
    readers: &[cached, of_process],
    script,
    ..BLANK
};

/// The page read first, far from the others.
const FIRST: usize = 40;
/// How many more are read one by one, starting at page 0.
const MORE: usize = 16;

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    room(facts)?;
    let (file, around) = file_on_disk(facts)?;
    // The pages read one by one that lie in the window of page 0.
    let again = (0..MORE).chain([FIRST]).filter(|page| *page < around).count();
    let ones = ones(facts);
    let make = move |w: &mut Worker| {
        w.take(&file)?;
        fill(w.file()?, &ones)?;
        w.map_file(0, 0, PAGES, ProtFlags::PROT_READ, MapFlags::MAP_SHARED)
    };
    Ok(vec![
        step("write a file and map it", make)
            .exact(SIZE, PAGES)
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("write(2) leaves the pages dirty in the page cache, to be written back later."),
        step("read page 0", |w| w.read(0, 0..1))
            .exact(FRAMES, around)
            .exact(CACHED, PAGES)
            .exact(FAULTS, 1)
            .exact(MAJOR_FAULTS, 0)
            .why("The page is cached: a minor fault, which also maps its neighbours."),
        step("drop the cached pages (fadvise)", drop_cached)
            .exact(FRAMES, 0)
            .exact(CACHED, 0)
            .why("POSIX_FADV_DONTNEED drops pages that are clean and not mapped."),
        step(format!("read page {FIRST} (MADV_RANDOM)"), |w| {
            w.advise(0, 0..PAGES, MmapAdvise::MADV_RANDOM)?;
            w.read(0, FIRST..FIRST + 1)
        })
        .exact(FRAMES, 1)
        .exact(CACHED, 1)
        .exact(FAULTS, 0)
        .exact(MAJOR_FAULTS, 1)
        .at_least(OF_PROCESS, 1)
        .why("The process slept until the page was read. No other page was read, so none could be mapped with it."),
        step("read 16 more, one by one", |w| w.read(0, w.time..w.time + 1))
            .times(MORE)
            .exact(FRAMES, MORE + 1)
            .exact(CACHED, MORE + 1)
            .exact(FAULTS, 0)
            .exact(MAJOR_FAULTS, MORE)
            .at_least(OF_PROCESS, MORE as i64)
            .why("Each waits for the disk again."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            // The kernel may reclaim unmapped pages at any time: a page has been seen to go in the middle of a run.
            .within(CACHED, 1..=MORE as i64 + 1)
            .why("The page-table entries are cleared; the page cache keeps what was read."),
        step("read page 0", |w| w.read(0, 0..1))
            .within(FRAMES, 1..=again as i64)
            .within(CACHED, 1..=MORE as i64 + 1)
            .exact(FAULTS, 1)
            .exact(MAJOR_FAULTS, 0)
            .why("A minor fault: the pages read before are still cached, and those nearby are mapped with it."),
        step("drop the cached pages", drop_cached).exact(FRAMES, 0).exact(CACHED, 0).why("As above."),
        step("read page 0 (MADV_NORMAL)", |w| {
            w.advise(0, 0..PAGES, MmapAdvise::MADV_NORMAL)?;
            w.read(0, 0..1)
        })
        // Read-ahead is asynchronous: how many pages have arrived and can be mapped depends on the disk.
        .within(FRAMES, 1..=around as i64)
        .within(CACHED, 1..=PAGES as i64)
        .exact(FAULTS, 0)
        .exact(MAJOR_FAULTS, 1)
        .at_least(OF_PROCESS, 1)
        .why("One major fault again, but now the kernel reads ahead, as far as the device's setting allows."),
        step("unmap", |w| w.unmap(0))
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .why("The file is deleted when the process exits."),
    ])
}

/// Unmaps the file's pages, writes it to the disk and drops its cached pages.
fn drop_cached(w: &mut Worker) -> Done {
    w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED)?;
    give_up(w.file()?)
}

fn give_up(file: impl AsFd) -> Done {
    fsync(&file)?;
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
}

/// A file that is read from a disk page by page under MADV_RANDOM, and how many of its pages a minor fault maps.
fn file_on_disk(facts: &Facts<'_>) -> Result<(File, usize), Skip> {
    let named = tmpfile::directories().map(|directory| directory.display().to_string()).join(" and ");
    tmpfile::on_disk(|file| try_file(facts, file).ok().flatten()).ok_or_else(|| {
        Skip(format!(
            "files in {named} are not read from a disk page by page, or cannot be created \
                                     there"
        ))
    })
}

fn try_file(facts: &Facts<'_>, file: &File) -> Result<Option<usize>, Skip> {
    let around = AtOnce::probe(facts, file)?.by_read;
    give_up(file)?;
    let mapping = Mapping::file(file, PAGES * facts.page(), ProtFlags::PROT_READ, MapFlags::MAP_SHARED)?;
    mapping.advise(0, mapping.length(), MmapAdvise::MADV_RANDOM)?;
    let majors = || getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.major_page_faults());
    let before = majors()?;
    for page in [FIRST, 0] {
        mapping.read(page * facts.page());
    }
    let alone = majors()? - before == 2 && present(facts, &mapping)? == 2;
    drop(mapping);
    file.set_len(0).map_err(errno)?;
    Ok(alone.then_some(around))
}

/// Reads the kernel's count for the whole process.
fn of_process(look: &mut Look<'_>) -> error::Result<()> {
    let Some(process) = look.process(Who::Worker) else { return Ok(()) };
    let (_, major) = process.stat()?.faults;
    look.add_change(OF_PROCESS, "stat", major as i64);
    Ok(())
}
