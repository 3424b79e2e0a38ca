//! `vma-merge`: the kernel merges and splits mappings.

use nix::sys::mman::{MapFlags, ProtFlags};

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, Quantity, RSS, SIZE, Unit, VMAS};
use super::script::{ARENA, Step, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::analysis::frames::VmaRow;
use crate::error::Result;
use crate::kernel::memory::Mapping;

/// Pages of the arena.
const PAGES: usize = 9;

/// The three adjacent pieces: first page and number of pages.
const PIECES: [(usize, usize); 3] = [(0, 4), (4, 1), (5, 4)];

/// Pages of readable mappings. Sources: maps (permissions), smaps (VmFlags).
const READABLE: Quantity = Quantity::new("readable_pages", "readable", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "vma-merge",
    question: "does each mmap call create one mapping?",
    about: "Three adjacent mmap calls, then different permissions for the middle, and a hole. The number of mappings \
            (VMAs) depends on their properties, not on how they were created; frames are unaffected.",
    learnt: "Adjacent mappings with equal properties are merged, and one that changes in the middle is split in three. \
             Nothing was copied or freed for this: the frames stayed, even while they could not be accessed, and only \
             munmap freed one.",
    explain: "A VMA is a range of addresses with one set of properties. Whenever a range is created or its properties \
              change, the kernel looks at the VMAs before and after it, and merges those with the same properties: \
              permissions, flags, file and offset, and the anon_vma used to find anonymous frames. Otherwise it \
              splits. mprotect changes page-table entries, not frames: pages without any permission are still present. \
              The number of VMAs per process is limited (vm.max_map_count).",
    functions: &[
        ("mmap_region", "mm/vma.c"),
        ("vma_merge_new_range", "mm/vma.c"),
        ("mprotect_fixup", "mm/mprotect.c"),
        ("split_vma", "mm/vma.c"),
        ("vma_merge_existing_range", "mm/vma.c"),
        ("do_vmi_munmap", "mm/vma.c"),
    ],
    columns: &[VMAS, SIZE, READABLE, FRAMES, FAULTS],
    readers: &[readable],
    script,
    ..BLANK
};

fn script(_: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    Ok(vec![
        Seen { vmas: 1, size: 4, readable: 4, frames: 0 }.after(step("map 4 pages", |w| map(w, 0))),
        Seen { vmas: 1, size: 5, readable: 5, frames: 0 }.after(step("map 1 page after them", |w| map(w, 1))).why(
            "The new range has the same properties as its neighbour: the kernel extends that mapping instead of \
                  creating one.",
        ),
        Seen { vmas: 1, size: 9, readable: 9, frames: 0 }.after(step("map 4 more after that", |w| map(w, 2))),
        Seen { vmas: 1, size: 9, readable: 9, frames: 9 }.with_faults(step("write all 9", write), PAGES),
        Seen { vmas: 3, size: 9, readable: 9, frames: 9 }
            .after(step("make pages 1 and 2 read-only", |w| protect(w, ProtFlags::PROT_READ)))
            .why("The pages before and after them are still writable: three ranges with different properties."),
        Seen { vmas: 3, size: 9, readable: 7, frames: 9 }
            .after(step("forbid all access to them", |w| protect(w, ProtFlags::PROT_NONE)))
            .why(
                "The process cannot access these two pages now (PROT_NONE), but they are still memory: present and \
                  resident.",
            ),
        Seen { vmas: 1, size: 9, readable: 9, frames: 9 }
            .after(step("allow reading and writing", |w| protect(w, READ_WRITE)))
            .why("The three have equal properties again and are merged. They still have the same frames."),
        Seen { vmas: 2, size: 8, readable: 8, frames: 8 }
            .after(step("unmap page 4", |w| w.unmap(1)))
            .why("A hole: two mappings, and one frame fewer."),
        Seen { vmas: 1, size: 9, readable: 9, frames: 8 }
            .after(step("map it again", |w| map(w, 1)))
            .why("The new range matches both neighbours, and all three are merged. It has no frame yet."),
        Seen { vmas: 0, size: 0, readable: 0, frames: 0 }.after(step("unmap all", unmap)),
    ])
}

/// The expectations after a step.
struct Seen {
    vmas: usize,
    size: usize,
    readable: usize,
    frames: usize,
}

impl Seen {
    fn after(self, step: Step) -> Step {
        self.with_faults(step, 0)
    }

    fn with_faults(self, step: Step, faults: usize) -> Step {
        step.exact(VMAS, self.vmas)
            .exact(SIZE, self.size)
            .exact(READABLE, self.readable)
            .exact(FRAMES, self.frames)
            .exact(RSS, self.frames)
            .exact(FAULTS, faults)
    }
}

/// Maps one of the pieces, and observes all three.
fn map(w: &mut Worker, piece: usize) -> Done {
    let (first, pages) = PIECES[piece];
    let address = w.address(0) + first * w.page;
    w.keep(piece, Mapping::anonymous(pages * w.page, READ_WRITE, MapFlags::MAP_PRIVATE, Some(address))?);
    let start = w.at(0)?.address();
    w.look_at(0, start, PAGES * w.page);
    Ok(())
}

fn write(w: &mut Worker) -> Done {
    (0..PIECES.len()).try_for_each(|piece| w.write(piece, 0..PIECES[piece].1))
}

fn unmap(w: &mut Worker) -> Done {
    (0..PIECES.len()).try_for_each(|piece| w.unmap(piece))
}

fn protect(w: &mut Worker, protection: ProtFlags) -> Done {
    w.counting(|w| w.protect(0, 1..3, protection))
}

fn readable(look: &mut Look<'_>) -> Result<()> {
    let readable = |row: &&VmaRow| row.vma.perm.is_readable();
    let pages: u64 = look.rows(&ARENA).into_iter().filter(readable).map(|row| row.size_pages).sum();
    look.add(READABLE, "maps", pages as i64);
    if let Some(pages) = look.flagged_pages(&ARENA, "rd") {
        look.add(READABLE, "smaps", pages);
    }
    Ok(())
}
