//! `stack`: it grows when touched, up to a limit, and keeps its distance from mappings below.

use std::ops::RangeInclusive;

use nix::errno::Errno;
use nix::sys::mman::MapFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FAULTS, FRAMES, Quantity, RSS, SIZE, Unit};
use super::script::{ARENA, Step, Who, step};
use super::worker::{Done, READ_WRITE, Worker};
use super::{BLANK, Demo, Skip};
use crate::analysis::processes::kind::Kind;
use crate::error::Result;
use crate::kernel::memory::Mapping;
use crate::kernel::stack::{Stack, guard_gap};
use crate::unit::VirtAddr;

/// Writes refused by the kernel.
const REFUSED: Quantity = Quantity::new("refused_writes", "refused", Unit::Count);

/// Pages observed: the part by which the stack can grow in this demo.
const PAGES: usize = 64;

/// Pages between the current stack and that part, for the program's own use during the demo.
const APART: usize = 64;

pub(super) const DEMO: Demo = Demo {
    name: "stack",
    question: "what makes the stack grow?",
    about: "A process writes far below its stack pointer, as a function with large local variables does. The kernel \
            grows the stack for it, up to RLIMIT_STACK and no closer to another mapping than the guard gap. (The \
            numbers cover the part below everything used so far.)",
    learnt: "Nothing asked for more stack: a fault below it extended its mapping down to the touched page, and only \
             that page got a frame. The limit belongs to the process; the guard gap keeps the stack from silently \
             growing into other memory. The stack never shrinks on its own.",
    explain: "The stack's mapping is marked VM_GROWSDOWN. If a fault hits an unmapped address, the kernel checks the \
              mapping above it: if that may grow down, it is extended down to the page containing the address, unless it \
              would exceed RLIMIT_STACK or come closer than the guard gap (256 pages, or stack_guard_gap= on the kernel \
              command line) to an accessible mapping below. Otherwise the program gets SIGSEGV. Here the kernel does \
              the write, through read(2), and returns EFAULT instead.",
    functions: &[
        ("lock_mm_and_find_vma", "mm/mmap_lock.c"),
        ("expand_stack_locked", "mm/mmap.c"),
        ("expand_downwards", "mm/vma.c"),
        ("acct_stack_growth", "mm/vma.c"),
    ],
    columns: &[SIZE, FRAMES, RSS, FAULTS, REFUSED],
    says: &[(REFUSED, "errno")],
    readers: &[whole_stack],
    script,
    ..BLANK
};

/// The state shared by the steps.
#[derive(Clone, Copy)]
struct Ground {
    stack: Stack,
    page: usize,
    /// The end of the observed part.
    top: usize,
}

impl Ground {
    /// The address of a page, counted down from the top.
    fn down(&self, pages: usize) -> VirtAddr {
        VirtAddr((self.top - pages * self.page) as u64)
    }

    /// Writes pages of the stack and counts the faults.
    fn write(&self, w: &mut Worker, mut pages: RangeInclusive<usize>) -> Done {
        w.look_at(0, self.down(PAGES), PAGES * self.page);
        w.say(0, 0);
        let done = w.counting(|_| pages.try_for_each(|number| self.stack.touch(self.down(number))));
        // As far as this demo knows, the stack may grow this far, so the failure is a lack of memory or a memory limit.
        done.map_err(|errno| if errno == Errno::EFAULT { Errno::ENOMEM } else { errno })
    }

    /// Tries to write a page the stack may not grow to.
    fn try_write(&self, w: &mut Worker, page: usize) -> Done {
        let mut done = Ok(());
        w.counting(|_| {
            done = self.stack.touch(self.down(page));
            Ok(())
        })?;
        w.say(0, i64::from(done == Err(Errno::EFAULT)));
        if done == Err(Errno::EFAULT) { Ok(()) } else { done }
    }

    /// Sets RLIMIT_STACK so that the stack may grow down to this page.
    fn limit_to(&self, page: usize) -> Done {
        let (_, hard) = getrlimit(Resource::RLIMIT_STACK)?;
        setrlimit(Resource::RLIMIT_STACK, self.stack.end.0 - self.down(page).0, hard)
    }
}

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let page = facts.page();
    let no_stack = || Skip("this thread does not run on the main stack, the one that grows".to_owned());
    let stack = Stack::own(facts.root)?.ok_or_else(no_stack)?;
    let ground = Ground { stack, page, top: stack.start.0 as usize - APART * page };
    let (limit, hard) = getrlimit(Resource::RLIMIT_STACK)?;
    let most = stack.end.0 - ground.down(PAGES).0;
    if limit < most {
        return Err(Skip(format!("RLIMIT_STACK is too low: the stack has to grow to {} KiB", most / 1024)));
    }
    let seen = |step: Step, size: usize, frames: usize, faults: usize, refused: i64| {
        step.exact(SIZE, size).exact(FRAMES, frames).exact(RSS, frames).exact(FAULTS, faults).exact(REFUSED, refused)
    };
    let limited = move |w: &mut Worker| {
        ground.limit_to(33)?;
        ground.write(w, 33..=33)
    };
    let mut steps = vec![
        seen(step("write a page far below", move |w| ground.write(w, 1..=1)), 1, 1, 1, 0).why(
            "The address is not mapped. The mapping above it may grow down, so the kernel extends it and then handles \
             an ordinary fault.",
        ),
        seen(step("write 16 pages further down", move |w| ground.write(w, 17..=17)), 17, 2, 1, 0)
            .why("The mapping now reaches down to that page. The pages it passed have no frames."),
        seen(step("write the 15 in between", move |w| ground.write(w, 2..=16)), 17, 17, 15, 0)
            .why("They are already in the mapping: one fault and one frame each."),
        seen(step("allow 16 more, write one", limited), 33, 18, 1, 0)
            .why("RLIMIT_STACK is the maximum size of the whole stack. It may be reached."),
        seen(step("write one further down", move |w| ground.try_write(w, 34)), 33, 18, 0, 1)
            .why("The stack would exceed RLIMIT_STACK. A program that writes there is killed by SIGSEGV."),
    ];
    let gap = guard_gap(page, facts.places.address(0))?;
    let lowest = gap.map(|gap| ground.down(41 + gap + 1)).filter(|lowest| stack.floor <= *lowest);
    if let (Some(gap), Some(lowest)) = (gap, lowest) {
        let mapped = move |w: &mut Worker| {
            setrlimit(Resource::RLIMIT_STACK, limit, hard)?;
            w.maps[1] = Some(Mapping::anonymous(page, READ_WRITE, MapFlags::MAP_PRIVATE, Some(lowest.0 as usize))?);
            ground.write(w, 41..=41)
        };
        let unmapped = move |w: &mut Worker| {
            w.unmap(1)?;
            ground.write(w, 42..=42)
        };
        steps.extend([
            seen(step(format!("map {} below, write 8 down", gap + 8), mapped), 41, 19, 1, 0).why(
                "The limit is restored. The distance between the stack and the mapping below now equals the guard gap.",
            ),
            seen(step("write one further down", move |w| ground.try_write(w, 42)), 41, 19, 0, 1)
                .why("The stack would come closer to the other mapping than the guard gap allows."),
            seen(step("unmap that page, write again", unmapped), 42, 20, 1, 0).why("Nothing is in the way now."),
        ]);
    }
    let size = if lowest.is_some() { 42 } else { 33 };
    let give_back = move |w: &mut Worker| {
        w.say(0, 0);
        stack.discard(ground.down(size)..ground.down(0))
    };
    steps.push(
        seen(step("give back (MADV_DONTNEED)", give_back), size, 0, 0, 0)
            .why("Its frames can be freed. Its addresses stay: a stack that has grown does not shrink."),
    );
    Ok(steps)
}

/// The counters of the stack as a whole. The part that existed before does not change during the demo.
fn whole_stack(look: &mut Look<'_>) -> Result<()> {
    let page = look.facts.page() as i64;
    let stack = || look.mappings(Who::Worker).iter().filter(|row| row.kind == Kind::Stack);
    let [size, frames] = ["Size", "Rss"].map(|key| look.smaps_of(stack(), key));
    let above = match (stack().next_back(), look.range(&ARENA)) {
        (Some(row), Some(range)) => Some((row.vma.range.end.0 - range.end.0) as i64),
        _ => None,
    };
    if let Some(bytes) = frames {
        look.add_since_start(FRAMES, "smaps", bytes / page);
    }
    for (source, bytes) in [("smaps", size), ("status", look.status(Who::Worker, "VmStk"))] {
        if let (Some(bytes), Some(above)) = (bytes, above) {
            look.add(SIZE, source, (bytes - above) / page);
        }
    }
    Ok(())
}
