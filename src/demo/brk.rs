//! `brk`: the heap grows when its end is moved.

use nix::errno::Errno;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, RSS, SIZE};
use super::script::{Step, Who, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::heap::program_break;
use crate::kernel::memory::Mapping;

pub(super) const DEMO: Demo = Demo {
    name: "brk",
    question: "does a larger heap use more memory?",
    about: "A process raises its program break: the heap grows by 2 pages, which it writes, then by 2 more, of which \
            it writes one. Size and frames diverge. (The numbers cover only the new part of the heap.)",
    learnt: "Raising the break enlarged the heap but gave it no memory. A page got its frame when it was written: the \
             CPU faulted, the kernel entered a frame in the page table, and the program continued without noticing. \
             Lowering the break freed the frames.",
    explain: "The heap is one mapping that starts after the program and ends at the program break. brk only moves that \
              end. Raising it extends the mapping, much as mmap would create a new one. Lowering it unmaps everything \
              above, which frees the frames and any page tables no longer needed. malloc gets memory this way (with \
              sbrk) for small blocks.",
    functions: &[
        ("SYSCALL_DEFINE1(brk)", "mm/mmap.c"),
        ("do_brk_flags", "mm/vma.c"),
        ("do_anonymous_page", "mm/memory.c"),
        ("do_vmi_align_munmap", "mm/vma.c"),
    ],
    columns: &[SIZE, FRAMES, RSS, FAULTS],
    boxes: &[(1, "a heap"), (2, "brk: it grows"), (2, "a write faults"), (3, "a frame is mapped")],
    says: &[(SIZE, "sbrk")],
    readers: &[data],
    script,
    ..BLANK
};

fn script(_: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    if cfg!(not(target_env = "gnu")) {
        return Err(Skip("the C library of this build of pmem does not allow moving the program break".to_owned()));
    }
    let seen = |step: Step, size: usize, frames: usize, faults: usize| {
        step.exact(SIZE, size).exact(FRAMES, frames).exact(RSS, frames).exact(FAULTS, faults)
    };
    Ok(vec![
        seen(step("raise the break by 2 pages, write them", begin), 2, 2, 2)
            .why("The initial heap: two pages, both in use."),
        seen(step("raise it by 2 more", |w| raise(w, 2)), 4, 2, 0)
            .why("The heap's mapping now ends later, and that is all: the new pages have no frames."),
        seen(step("write the first of them", |w| w.write(0, 2..3)), 4, 3, 1).why(
            "The CPU finds no entry and faults. The kernel sees that the address is in the heap, enters a frame and \
             restarts the instruction.",
        ),
        seen(step("raise it by 12 more", |w| raise(w, 12)), 16, 3, 0)
            .why("Size is a promise; frames are the part in use."),
        seen(step("write 12 of the other 13", |w| w.write(0, 3..15)), 16, 15, 12)
            .why("One fault and one frame for each."),
        seen(step("restore the break", give_back), 0, 0, 0)
            .why("Everything above the break is unmapped: its frames are freed at once."),
    ])
}

fn begin(w: &mut Worker) -> Done {
    let mapping = Mapping::by_break(w.page, 2)?;
    w.keep(0, mapping);
    say_size(w);
    w.write(0, 0..2)
}

fn raise(w: &mut Worker, pages: usize) -> Done {
    let mut mapping = w.maps[0].take().ok_or(Errno::EFAULT)?;
    let raised = mapping.raise_break(pages * w.page);
    w.keep(0, mapping);
    say_size(w);
    raised
}

fn give_back(w: &mut Worker) -> Done {
    let mapping = w.maps[0].take().ok_or(Errno::EFAULT)?;
    let lowered = mapping.lower_break();
    say_size(w);
    lowered
}

/// Reports the size of the new part of the heap.
fn say_size(w: &mut Worker) {
    let [start, _] = w.reply.ranges[0];
    w.say(0, (program_break().0 as i64 - start as i64) / w.page as i64);
}

/// The growth of the process's private writable memory: nothing else in it changes during the demo.
fn data(look: &mut Look<'_>) -> Result<()> {
    if let Some(bytes) = look.status(Who::Worker, "VmData") {
        look.add_since_start(SIZE, "status", bytes / look.facts.page() as i64);
    }
    Ok(())
}
