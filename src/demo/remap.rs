//! `remap`: mremap changes addresses, not frames.

use nix::errno::Errno;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{CONTENTS, FAULTS, FRAMES, Quantity, RSS, SIZE, TABLES, Unit};
use super::script::{Step, Subject, Who, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::memory::Mapping;
use crate::unit::VirtAddr;

/// Pages of the arena.
const PAGES: usize = 64;

/// Where it is mapped first.
const OLD: Subject = Subject { name: "old", who: Who::Worker, place: 0 };
/// Where it is moved to.
const NEW: Subject = Subject { name: "new", who: Who::Worker, place: 1 };

/// Pages that have the same frame as before the step, at either place. Source: pagemap (needs frame numbers).
const KEPT: Quantity = Quantity::new("kept_frames", "kept", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "remap",
    question: "what does it cost to move memory to another address?",
    about: "A process writes 64 pages, moves them to an address far away, and makes the mapping longer and shorter. \
            The frames move with them: nothing is copied, and nothing faults.",
    learnt: "mremap moved entries from one page table to another: the same frames with the same contents at a new \
             address, without a single fault. realloc moves large blocks this way, whatever their size. Growing gave \
             only addresses, as mmap does, and shrinking freed the rest at once.",
    explain: "mremap creates a VMA at the new address, moves each page-table entry from the old tables into new ones \
              (whole tables at once if the addresses are aligned for it), and unmaps the old range, which is empty by \
              then. The frames are not touched; their anon_vma and index, which the reverse mapping uses, stay valid \
              because the new VMA has the same page offsets. With MREMAP_DONTUNMAP the old mapping stays, without \
              pages.",
    functions: &[
        ("mremap_to", "mm/mremap.c"),
        ("move_vma", "mm/mremap.c"),
        ("move_page_tables", "mm/mremap.c"),
        ("move_ptes", "mm/mremap.c"),
        ("expand_vma", "mm/mremap.c"),
        ("shrink_vma", "mm/mremap.c"),
    ],
    subjects: &[OLD, NEW],
    columns: &[FRAMES.of(OLD.name), FRAMES.of(NEW.name), KEPT, FAULTS, TABLES],
    says: &[(CONTENTS, "its reads")],
    readers: &[kept],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let tables = facts.tables_of_one_page();
    let mut steps = vec![
        at(step("map 64 pages", map), (PAGES, 0), (0, 0)).exact(FAULTS, 0).exact(KEPT, 0).exact(TABLES, 0),
        at(step("write them", write), (PAGES, PAGES), (0, 0)).exact(FAULTS, PAGES).exact(KEPT, 0).known(TABLES, tables),
        at(step("move them far away, read", move_away), (0, 0), (PAGES, PAGES))
            .exact(FAULTS, 0)
            .exact(KEPT, PAGES)
            .exact(CONTENTS, PAGES)
            .exact(TABLES, 0)
            .why(
                "Each entry moved to a table at the new address, and as many old tables were freed as new ones \
                 allocated. What was written at the old address is read at the new one, without a fault.",
            ),
        at(step("make it 128 pages", |w| resize(w, 2 * PAGES)), (0, 0), (2 * PAGES, PAGES))
            .exact(FAULTS, 0)
            .exact(KEPT, PAGES)
            .exact(TABLES, 0)
            .why("There is room after it: more addresses, but no frame until a page is written."),
        at(step("make it 32 pages", |w| resize(w, PAGES / 2)), (0, 0), (PAGES / 2, PAGES / 2))
            .exact(FAULTS, 0)
            .exact(KEPT, PAGES / 2)
            .exact(TABLES, 0)
            .why("The cut-off part is unmapped: its frames are freed."),
    ];
    if leaves_mapping(facts)? {
        let back = step("move back (MREMAP_DONTUNMAP)", move_back);
        steps.push(
            at(back, (PAGES / 2, PAGES / 2), (PAGES / 2, 0))
                .exact(FAULTS, 0)
                .exact(KEPT, PAGES / 2)
                .known(TABLES, tables)
                .why(
                    "The frames are back at the first address. The mapping they left stays, empty, with its page \
                      table.",
                ),
        );
    }
    Ok(steps)
}

/// The expectations at the old and the new address: size in pages, and frames.
fn at(step: Step, old: (usize, usize), new: (usize, usize)) -> Step {
    step.exact(SIZE.of(OLD.name), old.0)
        .exact(FRAMES.of(OLD.name), old.1)
        .exact(SIZE.of(NEW.name), new.0)
        .exact(FRAMES.of(NEW.name), new.1)
        .exact(RSS, old.1 + new.1)
}

fn map(w: &mut Worker) -> Done {
    // Observe the new place before anything is mapped there.
    w.look_at(1, VirtAddr(w.address(1) as u64), 2 * PAGES * w.page);
    w.map(0, PAGES)
}

/// The byte written to a page: different from its neighbours' bytes, and not 0.
fn content(page: usize) -> u8 {
    page as u8 + 1
}

fn write(w: &mut Worker) -> Done {
    (0..PAGES).try_for_each(|page| w.write_value(0, page..page + 1, content(page)))
}

fn move_away(w: &mut Worker) -> Done {
    w.counting(|w| {
        let mut mapping = w.maps[0].take().ok_or(Errno::EFAULT)?;
        mapping.move_to(w.address(1))?;
        let right = (0..PAGES).filter(|&page| mapping.read(page * w.page) == content(page)).count();
        w.say(0, right as i64);
        w.maps[1] = Some(mapping);
        Ok(())
    })
}

fn resize(w: &mut Worker, pages: usize) -> Done {
    w.counting(|w| {
        let length = pages * w.page;
        w.maps[1].as_mut().ok_or(Errno::EFAULT)?.resize(length)
    })
}

fn move_back(w: &mut Worker) -> Done {
    w.counting(|w| {
        w.maps[0] = Some(w.at(1)?.move_pages_to(w.address(0))?);
        Ok(())
    })
}

/// Whether this kernel supports MREMAP_DONTUNMAP (Linux 5.7).
fn leaves_mapping(facts: &Facts<'_>) -> std::result::Result<bool, Skip> {
    let [from, to] = [0, 1].map(|place| facts.places.address(place));
    let private = nix::sys::mman::MapFlags::MAP_PRIVATE;
    Ok(Mapping::anonymous(facts.page(), READ_WRITE, private, Some(from))?.move_pages_to(to).is_ok())
}

/// Reads [`KEPT`].
fn kept(look: &mut Look<'_>) -> Result<()> {
    if look.facts.features.pfns_visible {
        let mut now = look.frame_numbers(&OLD)?;
        now.extend(look.frame_numbers(&NEW)?);
        if let Some(last) = look.last_frames(KEPT, now.clone()) {
            let kept = now.iter().filter(|page_and_frame| last.contains(page_and_frame)).count();
            look.add(KEPT, "pagemap", kept as i64);
        }
    }
    Ok(())
}
