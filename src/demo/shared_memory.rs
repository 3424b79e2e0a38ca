//! `shared-memory`: memory that belongs to a file and that any number of processes can map.

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

/// Pages the parent reads first.
const READ: usize = 4;
/// Pages allocated when it forks.
const USED: usize = 32;
/// The page the child writes, and the value.
const LETTER: usize = 40;
const CONTENT: u8 = 7;

/// The value the parent reads in the page written by the child. Source: the parent itself.
const RECEIVED: Quantity = Quantity::new("received_value", "received", Unit::Count);
/// Pages with the same frame in both processes. Source: pagemap (needs frame numbers).
const SAME: Quantity = Quantity::new("same_frames", "same", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "shared-memory",
    question: "who owns shared memory?",
    about: "A process maps an in-memory file (memfd), reads and writes part of it, and forks. Both processes use it; \
            then the child exits, the mapping is removed, and finally the file is truncated.",
    learnt: "The memory belonged to the file throughout. Even reading a page nobody had written took a frame. fork \
             gave the child no page-table entries; it found the same frames when it accessed them. Exiting and \
             unmapping freed nothing; truncating the file freed everything.",
    explain: "A shared page must be the same for everyone, so a hole cannot be filled with the zero page: the first \
              access allocates a frame in the file's page cache. fork copies no entries for such mappings, since a \
              fault finds the frame in the page cache again. A read fault maps all cached pages in the aligned window \
              around its page (fault_around_bytes, usually 64 KiB) at once. RSS counts such frames in full for every \
              process that maps them, PSS in proportion, and neither counts them once they are unmapped, although the \
              memory is still in use. /dev/shm, memfd, System V and MAP_SHARED|MAP_ANONYMOUS all behave alike.",
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
    // The expectations: the file's pages, and for each process its entries and how many of them are exclusive.
    let seen = |step: Step, cached: usize, parent: (usize, usize), child: Option<(usize, usize)>| {
        let all = [(PARENT.name, Some(parent)), (CHILD.name, child)].into_iter();
        all.filter_map(|(whose, pages)| Some((whose, pages?)))
            .fold(step.exact(CACHED, cached), |step, (whose, (present, own))| {
                step.exact(FRAMES.of(whose), present).exact(EXCLUSIVE.of(whose), own)
            })
    };
    let file = memory_file(facts)?;
    // A read fault maps the cached pages of an aligned window, so there are as many faults as windows.
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
            .why("A file with a size but no memory yet."),
        seen(step("read 4 pages", telling(|w| w.read(0, 0..READ))), READ, (READ, READ), None)
            .exact(ALL_FAULTS, READ)
            .why(
                "Private memory would map the zero page here. A page that others may write later needs a frame right \
                  away.",
            ),
        seen(step("write 28 others", telling(|w| w.write(0, READ..USED))), USED, (USED, USED), None)
            .exact(ALL_FAULTS, USED - READ)
            .exact(PSS.of(PARENT.name), USED * page)
            .why("One frame each, in the file, and a page-table entry for it."),
        seen(step("fork", telling(Worker::fork)), USED, (USED, USED), Some((0, 0)))
            .why("The child has the mapping but no entries: it can find the frames when it needs them."),
        seen(step("the child reads the 32", telling(|w| w.read(0, 0..USED))), USED, (USED, 0), Some((USED, 0)))
            .by(Who::Child)
            .exact(ALL_FAULTS, windows(&used))
            .exact(PSS.of(PARENT.name), USED * page / 2)
            .exact(PSS.of(CHILD.name), USED * page / 2)
            .exact(SAME, USED)
            .why("The same frames in both; none was allocated. Each fault maps several of them."),
        seen(step("the child writes another", telling(send)), USED + 1, (USED, 0), Some((USED + 1, 1)))
            .by(Who::Child)
            .exact(ALL_FAULTS, 1)
            .why("Nothing is ever copied: the write goes to the file's page."),
        seen(step("the parent reads it", telling(receive)), USED + 1, (USED + 1, 0), Some((USED + 1, 0)))
            .exact(ALL_FAULTS, 1)
            .exact(RECEIVED, i64::from(CONTENT))
            .exact(SAME, USED + 1)
            .why("It reads what the child wrote: they communicate through memory, without a system call."),
        seen(step("the child exits", telling(Worker::end_second)), USED + 1, (USED + 1, USED + 1), None)
            .exact(PSS.of(PARENT.name), (USED + 1) * page)
            .why("Nothing is freed, not even the page that only the child had written."),
        seen(step("unmap", telling(|w| w.unmap(0))), USED + 1, (0, 0), None)
            .why("By RSS and PSS no process uses anything, yet all 33 frames are in use: by the file."),
        seen(step("map and read them again", telling(map_again)), USED + 1, (USED + 1, USED + 1), None)
            .exact(ALL_FAULTS, windows(&again))
            .why("They were there all along."),
        seen(step("truncate the file", telling(|w| w.file()?.set_len(0).map_err(errno))), 0, (0, 0), None)
            .why("The file's memory is freed and unmapped from every page table. Its last close would do the same."),
    ])
}

/// How many pages a read fault maps: probed with all pages cached, as small folios. The file is left empty.
fn window(facts: &Facts<'_>, file: &File) -> std::result::Result<usize, Skip> {
    let (page, address) = (facts.page(), Some(facts.places.address(0)));
    file.set_len((PAGES * page) as u64).map_err(errno)?;
    let mapping = Mapping::file_placed(file, 0, PAGES * page, READ_WRITE, MapFlags::MAP_SHARED, address)?;
    mapping.keep_small();
    mapping.write(0, 1);
    if present(facts, &mapping)? > 1 {
        return Err(Skip("shared memory comes only in huge pages here (shmem_enabled is force)".to_owned()));
    }
    (1..PAGES).for_each(|number| mapping.write(number * page, 1));
    mapping.advise(0, mapping.length(), MmapAdvise::MADV_DONTNEED)?;
    mapping.read(0);
    let window = present(facts, &mapping)?;
    file.set_len(0).map_err(errno)?;
    Ok(window.max(1))
}

/// The work of a step, after which the worker reports the size of the file.
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
