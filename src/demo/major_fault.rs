//! `major-fault`: a fault that has to wait for a disk.

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

/// Major faults that the whole process took in the step. Source: stat (field 12).
const OF_PROCESS: Quantity = Quantity::new("process_major_faults", "of process", Unit::Count);

pub(super) const DEMO: Demo = Demo {
    name: "major-fault",
    question: "what makes a page fault a major one?",
    about: "A process reads the same mapped file on a disk twice: when the page cache has it, and when it has it not. The \
            access is the same, and so is what is mapped in the end; the waiting is not.",
    learnt: "A fault was major where the page had to be read from the disk, and minor where it was in the page cache already, \
             however that had come about. Advised that accesses are random, the kernel read what was asked for, a major fault \
             a page; else it read ahead.",
    explain: "A read of a page that is not mapped looks for it in the page cache. If it is there, it is mapped, with those \
              around it: a minor fault. If not, the kernel takes a frame, has the file system read the page into it, and the \
              process sleeps meanwhile: a major fault. As disks like to read much at once, it reads the pages around it in \
              the same go (read-ahead; how many, the device says: /sys/class/bdi/DEV/read_ahead_kb), unless \
              MADV_RANDOM says that this is for nothing. A page can be dropped from the page \
              cache when it is on the disk (fsync) and no process maps it.",
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

/// The page that is read first, far from the others.
const FIRST: usize = 40;
/// How many more are read one by one, from page 0 on.
const MORE: usize = 16;

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    room(facts)?;
    let (file, around) = file_on_disk(facts)?;
    // Of those that were read one by one, what is in the window of page 0.
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
            .why("write(2) leaves the pages in the page cache, to be brought to the disk some time."),
        step("read page 0", |w| w.read(0, 0..1))
            .exact(FRAMES, around)
            .exact(CACHED, PAGES)
            .exact(FAULTS, 1)
            .exact(MAJOR_FAULTS, 0)
            .why("The page is cached: a minor fault, which maps its neighbours too."),
        step("drop what is cached (fadvise)", drop_cached)
            .exact(FRAMES, 0)
            .exact(CACHED, 0)
            .why("POSIX_FADV_DONTNEED gives up frames that are mapped by nobody and on the disk."),
        step(format!("read page {FIRST} (MADV_RANDOM)"), |w| {
            w.advise(0, 0..PAGES, MmapAdvise::MADV_RANDOM)?;
            w.read(0, FIRST..FIRST + 1)
        })
        .exact(FRAMES, 1)
        .exact(CACHED, 1)
        .exact(FAULTS, 0)
        .exact(MAJOR_FAULTS, 1)
        .at_least(OF_PROCESS, 1)
        .why(
            "The process slept until the page was read. Nothing else was read, and nothing around it could be mapped.",
        ),
        step("read 16 more, one by one", |w| w.read(0, w.time..w.time + 1))
            .times(MORE)
            .exact(FRAMES, MORE + 1)
            .exact(CACHED, MORE + 1)
            .exact(FAULTS, 0)
            .exact(MAJOR_FAULTS, MORE)
            .at_least(OF_PROCESS, MORE as i64)
            .why("Each has to wait for the disk again."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            // What no process maps is reclaimed when the kernel likes: a page was seen to go in the midst of a run.
            .within(CACHED, 1..=MORE as i64 + 1)
            .why("The page-table entries are emptied; the page cache keeps what was read."),
        step("read page 0", |w| w.read(0, 0..1))
            .within(FRAMES, 1..=again as i64)
            .within(CACHED, 1..=MORE as i64 + 1)
            .exact(FAULTS, 1)
            .exact(MAJOR_FAULTS, 0)
            .why("A minor fault: what was read before is there, and is mapped with it as far as it is near."),
        step("drop what is cached", drop_cached).exact(FRAMES, 0).exact(CACHED, 0).why("As above."),
        step("read page 0 (MADV_NORMAL)", |w| {
            w.advise(0, 0..PAGES, MmapAdvise::MADV_NORMAL)?;
            w.read(0, 0..1)
        })
        // What is read ahead comes in by and by: how much of it is there already, and can be mapped, depends on the disk.
        .within(FRAMES, 1..=around as i64)
        .within(CACHED, 1..=PAGES as i64)
        .exact(FAULTS, 0)
        .exact(MAJOR_FAULTS, 1)
        .at_least(OF_PROCESS, 1)
        .why("Again one major fault; but the kernel reads ahead, as much as the device says is good for it."),
        step("unmap", |w| w.unmap(0)).exact(SIZE, 0).exact(FRAMES, 0).why("The file goes when the process does."),
    ])
}

/// Unmaps the pages of the file, brings it to the disk, and has its cached pages given up.
fn drop_cached(w: &mut Worker) -> Done {
    w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED)?;
    give_up(w.file()?)
}

fn give_up(file: impl AsFd) -> Done {
    fsync(&file)?;
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
}

/// A file whose pages are read from a disk one by one, where it is advised so, and how many pages of it a fault maps that
/// has not to wait.
fn file_on_disk(facts: &Facts<'_>) -> Result<(File, usize), Skip> {
    let named = tmpfile::directories().map(|directory| directory.display().to_string()).join(" and ");
    tmpfile::on_disk(|file| try_file(facts, file).ok().flatten())
        .ok_or_else(|| Skip(format!("files in {named} are not read from a disk page by page, or cannot be made there")))
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

/// Reads what the kernel counts of the whole process.
fn of_process(look: &mut Look<'_>) -> error::Result<()> {
    let Some(process) = look.process(Who::Worker) else { return Ok(()) };
    let (_, major) = process.stat()?.faults;
    look.add_change(OF_PROCESS, "stat", major as i64);
    Ok(())
}
