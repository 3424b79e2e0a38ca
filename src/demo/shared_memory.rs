//! `shared-memory`: memory that belongs to a file, and that any number of processes map.

use std::collections::HashSet;
use std::fs::File;

use nix::sys::mman::{MapFlags, MmapAdvise};
use nix::sys::stat::fstat;

use super::cow::{CHILD, PARENT};
use super::facts::Facts;
use super::look::Look;
use super::mapped_file::{CACHED, PAGES, cached, memory_file, present};
use super::quantity::{ALL_FAULTS, EXCLUSIVE, FRAMES, PSS, Quantity, Unit};
use super::script::{Step, Who, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::{Result, errno};
use crate::kernel::memory::Mapping;

/// Pages that the parent reads first.
const READ: usize = 4;
/// Pages that there are when it forks.
const USED: usize = 32;
/// The page that the child writes, and what.
const LETTER: usize = 40;
const CONTENT: u8 = 7;

/// What the parent reads at the page that the child has written. Source: the parent itself.
const RECEIVED: Quantity = Quantity::new("received_value", "received", Unit::Count);
/// Pages that have the same frame in both processes. Source: pagemap (needs frame numbers).
const SAME: Quantity = Quantity::new("same_frames", "same", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "shared-memory",
    question: "whose is shared memory?",
    about: "A process maps a file that is in memory only (memfd), reads and writes some of it, and forks. Both use it; \
    then the \
            child ends, the mapping goes, and at last the file is cut to nothing.",
    learnt: "The memory was the file's all the time. Even reading what nobody had written took a frame. The child was given no \
             entries by fork, and found the same frames when it looked. Ending and unmapping freed nothing, and cutting the \
             file freed it all.",
    explain: "A page of shared memory must be the same for all, so a hole in it cannot be filled with the zero page: the first \
              access allocates a frame in the page cache of the file. fork copies no entries of such mappings, since a fault \
              finds the frame in the page cache again; a read fault enters what is there of the aligned window around its \
              page (fault_around_bytes, \
              64 KiB as a rule) in one go. RSS counts such frames in every process that maps them, PSS in parts, and who \
              has unmapped them is charged nothing, \
              although they are there: /dev/shm, memfd, System V and MAP_SHARED|MAP_ANONYMOUS are all alike.",
    functions: &[
        ("shmem_fault", "mm/shmem.c"),
        ("shmem_get_folio_gfp", "mm/shmem.c"),
        ("filemap_map_pages", "mm/filemap.c"),
        ("vma_needs_copy", "mm/memory.c"),
        ("shmem_undo_range", "mm/shmem.c"),
    ],
    subjects: &[PARENT, CHILD],
    columns: &[
        ALL_FAULTS,
        CACHED,
        FRAMES.of(PARENT.name),
        EXCLUSIVE.of(PARENT.name),
        FRAMES.of(CHILD.name),
        EXCLUSIVE.of(CHILD.name),
    ],
    says: &[(CACHED, "fstat"), (RECEIVED, "the parent")],
    readers: &[cached, same],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let page = facts.page();
    // What is seen: the pages that the file has, and of each process the entries, and those that nobody else has too.
    let seen = |step: Step, cached: usize, parent: (usize, usize), child: Option<(usize, usize)>| {
        let all = [(PARENT.name, Some(parent)), (CHILD.name, child)].into_iter();
        all.filter_map(|(whose, pages)| Some((whose, pages?)))
            .fold(step.exact(CACHED, cached), |step, (whose, (present, own))| {
                step.exact(FRAMES.of(whose), present).exact(EXCLUSIVE.of(whose), own)
            })
    };
    let file = memory_file(facts)?;
    // A fault that reads enters what the file has in an aligned window: as many faults as windows.
    let window = window(facts, &file)?;
    let windows = |pages: &[usize]| pages.iter().map(|page| page / window).collect::<HashSet<_>>().len();
    let used: Vec<usize> = (0..USED).collect();
    let again: Vec<usize> = (0..USED).chain([LETTER]).collect();
    let create = move |w: &mut Worker| {
        file.set_len((PAGES * w.page) as u64).map_err(errno)?;
        w.take(&file)?;
        map(w)
    };
    Ok(vec![
        seen(step("map a memfd of 64 pages", telling(create)), 0, (0, 0), None)
            .why("A file with a size, and no memory yet."),
        seen(step("read 4 pages", telling(|w| w.read(0, 0..READ))), READ, (READ, READ), None)
            .exact(ALL_FAULTS, READ)
            .why("Private memory would map the zero page here. What others may write later has to be a frame at once."),
        seen(step("write 28 others", telling(|w| w.write(0, READ..USED))), USED, (USED, USED), None)
            .exact(ALL_FAULTS, USED - READ)
            .exact(PSS.of(PARENT.name), USED * page)
            .why("A frame each, in the file, and an entry for it."),
        seen(step("fork", telling(Worker::fork)), USED, (USED, USED), Some((0, 0)))
            .why("The child has the mapping and not one entry: it can find the frames when it needs them."),
        seen(step("the child reads the 32", telling(|w| w.read(0, 0..USED))), USED, (USED, 0), Some((USED, 0)))
            .by(Who::Child)
            .exact(ALL_FAULTS, windows(&used))
            .exact(PSS.of(PARENT.name), USED * page / 2)
            .exact(PSS.of(CHILD.name), USED * page / 2)
            .exact(SAME, USED)
            .why("The same frames in both, and none was allocated. A fault enters several of them."),
        seen(step("the child writes another", telling(send)), USED + 1, (USED, 0), Some((USED + 1, 1)))
            .by(Who::Child)
            .exact(ALL_FAULTS, 1)
            .why("Nothing is copied, ever: it is the file's page that is written."),
        seen(step("the parent reads it", telling(receive)), USED + 1, (USED + 1, 0), Some((USED + 1, 0)))
            .exact(ALL_FAULTS, 1)
            .exact(RECEIVED, i64::from(CONTENT))
            .exact(SAME, USED + 1)
            .why("It reads what the child wrote: the two talk through this memory, and no system call is needed."),
        seen(step("the child ends", telling(Worker::end_second)), USED + 1, (USED + 1, USED + 1), None)
            .exact(PSS.of(PARENT.name), (USED + 1) * page)
            .why("Nothing is freed, not even the page that only the child has written."),
        seen(step("unmap", telling(|w| w.unmap(0))), USED + 1, (0, 0), None)
            .why("RSS and PSS of every process say that nothing is used, and all 33 frames are: by the file."),
        seen(step("map and read them again", telling(map_again)), USED + 1, (USED + 1, USED + 1), None)
            .exact(ALL_FAULTS, windows(&again))
            .why("They were there all the time."),
        seen(step("cut the file to nothing", telling(|w| w.file()?.set_len(0).map_err(errno))), 0, (0, 0), None).why(
            "The file gives its memory back, and takes it out of every page table. Its last close would do the same.",
        ),
    ])
}

/// How many pages a fault that reads enters: tried with all pages there, as small ones. The file is left empty.
fn window(facts: &Facts<'_>, file: &File) -> std::result::Result<usize, Skip> {
    let (page, address) = (facts.page(), Some(facts.places.address(0)));
    file.set_len((PAGES * page) as u64).map_err(errno)?;
    let mapping = Mapping::file_placed(file, 0, PAGES * page, READ_WRITE, MapFlags::MAP_SHARED, address)?;
    mapping.keep_small();
    mapping.write(0, 1);
    if present(facts, &mapping)? > 1 {
        return Err(Skip("memory of files comes in huge pages only here (shmem_enabled is force)".to_owned()));
    }
    (1..PAGES).for_each(|number| mapping.write(number * page, 1));
    mapping.advise(0, mapping.length(), MmapAdvise::MADV_DONTNEED)?;
    mapping.read(0);
    let window = present(facts, &mapping)?;
    file.set_len(0).map_err(errno)?;
    Ok(window.max(1))
}

/// The work of a step, after which the worker says how large the file is.
fn telling(work: impl Fn(&mut Worker) -> Done) -> impl Fn(&mut Worker) -> Done {
    move |w| {
        work(w)?;
        let bytes = 512 * fstat(w.file()?)?.st_blocks;
        w.say(0, bytes / w.page as i64);
        Ok(())
    }
}

fn map(w: &mut Worker) -> Done {
    w.map_file(0, 0, PAGES, READ_WRITE, MapFlags::MAP_SHARED)?;
    w.at(0).map(Mapping::keep_small)
}

fn send(w: &mut Worker) -> Done {
    w.write_value(0, LETTER..LETTER + 1, CONTENT)
}

fn receive(w: &mut Worker) -> Done {
    w.read(0, LETTER..LETTER + 1)?;
    let received = w.at(0)?.read(LETTER * w.page);
    w.say(1, received.into());
    Ok(())
}

fn map_again(w: &mut Worker) -> Done {
    map(w)?;
    w.read(0, 0..USED)?;
    w.read(0, LETTER..LETTER + 1)
}

/// Reads [`SAME`].
fn same(look: &mut Look<'_>) -> Result<()> {
    if look.facts.features.pfns_visible && look.process(Who::Child).is_some() {
        let (parent, child) = (look.frame_numbers(&PARENT)?, look.frame_numbers(&CHILD)?);
        let same = parent.iter().filter(|frame| child.contains(frame)).count();
        look.add(SAME, "pagemap", same as i64);
    }
    Ok(())
}
