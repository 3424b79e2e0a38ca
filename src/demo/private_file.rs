//! `private-file`: pages of a private file mapping belong to the file until they are written.

use std::os::unix::fs::FileExt;

use nix::sys::mman::{MapFlags, MmapAdvise};

use super::facts::Facts;
use super::look::Look;
use super::mapped_file::{AtOnce, CACHED, PAGES, cached, fill, memory_file, ones};
use super::quantity::{ANONYMOUS, CHANGED, FAULTS, FRAMES, Quantity, RSS, SIZE, Unit};
use super::script::{ARENA, Step, Who, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::{self, errno};

/// Mapped frames of the file. Sources: pagemap (bit 61), smaps (Rss without Anonymous), status (RssShmem).
const OF_FILE: Quantity = Quantity::new("file_pages", "file's", Unit::Pages);
/// The first byte of page 0, read through the mapping.
const SEEN: Quantity = Quantity::new("byte_in_mapping", "mapping", Unit::Count);
/// The same byte in the file, as read by the worker and by pmem.
const IN_FILE: Quantity = Quantity::new("byte_in_file", "file", Unit::Count);

pub(super) const DEMO: Demo = Demo {
    name: "private-file",
    question: "who owns the memory of a private file mapping?",
    about: "A process maps a file of 64 pages with MAP_PRIVATE, reads it, and writes to it. Each written page becomes \
            the process's own memory; the file never changes.",
    learnt: "Pages that were only read were the file's own frames, and showed what others wrote to it. The first write \
             to a page copied it into an anonymous frame: from then on the page no longer followed the file, and \
             giving it back discarded the changes.",
    explain: "The entry of a page that was read points to the page-cache frame, write-protected. A write traps into \
              the kernel, which copies the frame to a new one owned by the process and maps that instead. A write to a \
              page that was never read does both in one fault. In pagemap the page loses bit 61, and the process's \
              counters shift: RssFile (here RssShmem, because the file is in memory) loses a page and RssAnon gains \
              one. Program and library code is mapped this way, which is why a debugger can set breakpoints in it.",
    functions: &[
        ("filemap_map_pages", "mm/filemap.c"),
        ("do_wp_page", "mm/memory.c"),
        ("wp_page_copy", "mm/memory.c"),
        ("do_cow_fault", "mm/memory.c"),
        ("zap_page_range_single", "mm/memory.c"),
    ],
    columns: &[FRAMES, OF_FILE, ANONYMOUS, FAULTS, SEEN, IN_FILE],
    says: &[(SEEN, "access"), (IN_FILE, "worker's read")],
    readers: &[cached, of_file],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> Result<Vec<Step>, Skip> {
    let file = memory_file(facts)?;
    let around = AtOnce::probe(facts, &file)?.by_read;
    file.set_len(0).map_err(errno)?;
    // If the first read maps all pages, the last one is already mapped.
    let last = usize::from(around < PAGES);
    let ones = ones(facts);
    let make = move |w: &mut Worker| {
        w.take(&file)?;
        fill(w.file()?, &ones)?;
        w.map_file(0, 0, PAGES, READ_WRITE, MapFlags::MAP_PRIVATE)
    };
    Ok(vec![
        step("write a file and map it", make)
            .exact(SIZE, PAGES)
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("The file is in the page cache, filled with 1s, and none of it is mapped."),
        step("read page 0", |w| w.read(0, 0..1).and_then(|()| tell(w)))
            .exact(FRAMES, around)
            .exact(OF_FILE, around)
            .exact(ANONYMOUS, 0)
            .exact(RSS, 0)
            .exact(FAULTS, 1)
            .exact(SEEN, 1)
            .exact(IN_FILE, 1)
            .why("The file's own frames are mapped, as many as one read fault maps."),
        step("write a 2 to page 0", |w| w.write_value(0, 0..1, 2).and_then(|()| tell(w)))
            .exact(FRAMES, around)
            .exact(OF_FILE, around - 1)
            .exact(ANONYMOUS, 1)
            .exact(RSS, 1)
            .exact(FAULTS, 1)
            .exact(CHANGED, 1)
            .exact(SEEN, 2)
            .exact(IN_FILE, 1)
            .why("The page is copied into a frame owned by the process. The file does not change."),
        step("write the last page", |w| w.write(0, PAGES - 1..PAGES))
            .exact(FRAMES, around + last)
            .exact(OF_FILE, around + last - 2)
            .exact(ANONYMOUS, 2)
            .exact(RSS, 2)
            .exact(FAULTS, 1)
            .why(
                "This page was never read. It takes one fault, not two: the kernel copies the page without mapping \
                  the file's frame first.",
            ),
        step("write a 3 into the file", |w| write_file(w, 3).and_then(|()| tell(w)))
            .exact(FRAMES, around + last)
            .exact(ANONYMOUS, 2)
            .exact(CACHED, PAGES)
            .exact(SEEN, 2)
            .exact(IN_FILE, 3)
            .why("The process has its own page 0 and does not see the change."),
        step("give back (MADV_DONTNEED)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_DONTNEED))
            .exact(FRAMES, 0)
            .exact(OF_FILE, 0)
            .exact(ANONYMOUS, 0)
            .exact(RSS, 0)
            .exact(CACHED, PAGES)
            .why("The two copies are freed, and the changes in them are lost. The file keeps its frames."),
        step("read page 0", |w| w.read(0, 0..1).and_then(|()| tell(w)))
            .exact(FRAMES, around)
            .exact(OF_FILE, around)
            .exact(ANONYMOUS, 0)
            .exact(FAULTS, 1)
            .exact(SEEN, 3)
            .exact(IN_FILE, 3)
            .why("The file's page is mapped again."),
        step("write a 4 into the file", |w| write_file(w, 4).and_then(|()| tell(w)))
            .exact(FRAMES, around)
            .exact(OF_FILE, around)
            .exact(SEEN, 4)
            .exact(IN_FILE, 4)
            .why("Only pages the process has written are private: until then it sees what others write to the file."),
        step("unmap", |w| w.unmap(0))
            .exact(SIZE, 0)
            .exact(FRAMES, 0)
            .exact(CACHED, PAGES)
            .why("The file keeps its frames, although no process maps them."),
    ])
}

/// Writes the first byte of the file.
fn write_file(w: &Worker, value: u8) -> Done {
    w.file()?.write_all_at(&[value], 0).map_err(errno)
}

/// Reports the first byte of page 0, in the mapping and in the file.
fn tell(w: &mut Worker) -> Done {
    let seen = w.at(0)?.read(0);
    let mut byte = [0];
    w.file()?.read_exact_at(&mut byte, 0).map_err(errno)?;
    w.say(0, seen.into());
    w.say(1, byte[0].into());
    Ok(())
}

/// Counts the file's pages and the anonymous ones, by pagemap, smaps and status.
fn of_file(look: &mut Look<'_>) -> error::Result<()> {
    if let Some(byte) = look.file(0)?.and_then(|file| file.byte(0).transpose()) {
        look.add(IN_FILE, "pmem's read", byte?.into());
    }
    let present = look.entries(&ARENA)?.into_iter().filter(|entry| entry.is_present());
    let (of_file, anonymous): (Vec<_>, Vec<_>) = present.partition(|entry| entry.is_file());
    look.add(OF_FILE, "pagemap", of_file.len() as i64);
    look.add(ANONYMOUS, "pagemap", anonymous.len() as i64);
    if let (Some(all), Some(anonymous)) = (look.smaps_pages(&ARENA, "Rss"), look.smaps_pages(&ARENA, "Anonymous")) {
        look.add(OF_FILE, "smaps", all - anonymous);
    }
    if let (Some(bytes), Some(true)) = (look.status(Who::Worker, "RssShmem"), look.facts.features.statm_exact) {
        look.add_since_start(OF_FILE, "status", bytes / look.facts.page() as i64);
    }
    Ok(())
}
