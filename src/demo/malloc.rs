//! `malloc`: where it gets its memory from, and what free gives back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use nix::errno::Errno;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{FRAMES, Quantity, SIZE, Unit};
use super::script::{Step, Subject, Who, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::Result;
use crate::kernel::heap::{Block, State, program_break, trim};
use crate::unit::{VirtAddr, whole_size};

/// The change of the process's anonymous frames in the step. Sources: status (RssAnon), smaps (Anonymous).
const CHANGE: Quantity = Quantity::new("anonymous_change_pages", "change", Unit::Pages);

/// The new part of the heap, and the block that is mapped.
const HEAP: Subject = Subject { name: "heap", who: Who::Worker, place: 0 };
const MAPPED: Subject = Subject { name: "mapped", who: Who::Worker, place: 1 };

/// The smaller block: less than malloc ever takes a mapping of its own for.
const SMALL: usize = 100 << 10;

pub(super) const DEMO: Demo = Demo {
    name: "malloc",
    question: "where does malloc get memory from, and what does free give back?",
    about: "A process allocates a small block and a large one, writes and frees them, and allocates the large one again. \
            Small ones come from the heap, large ones are mapped. (The numbers are those of the new part of the heap.)",
    learnt: "malloc takes more heap than it needs, and maps what is large. free unmaps a mapped block at once, and keeps \
             what is in the heap. Freeing a mapped block also teaches it to take blocks of that size from the heap. So a \
             process can hold much that it has freed: malloc_trim gives that back.",
    explain: "glibc's malloc gets a block of M_MMAP_THRESHOLD bytes or more (128 KiB at first) by mmap, all others from \
    the heap, \
              which it makes larger by brk: by the block, what keeps account of it, and M_TOP_PAD (128 KiB). A freed \
              mapped block raises \
              the threshold to its size, and M_TRIM_THRESHOLD to twice that: so much must be free at the end of the heap \
              before \
              free lowers the break by itself. Each block has a header of 16 bytes before it, and what is free at the end of \
              the heap has one too: each costs a frame where it is the first thing in its page.",
    functions: &[
        ("sysmalloc", "glibc, malloc/malloc.c"),
        ("munmap_chunk", "glibc, malloc/malloc.c"),
        ("_int_free", "glibc, malloc/malloc.c"),
        ("systrim", "glibc, malloc/malloc.c"),
        ("do_brk_flags", "mm/vma.c"),
        ("do_mmap", "mm/mmap.c"),
    ],
    subjects: &[HEAP, MAPPED],
    columns: &[SIZE.of("heap"), FRAMES.of("heap"), SIZE.of("mapped"), FRAMES.of("mapped"), CHANGE],
    says: &[(SIZE.of("heap"), "sbrk"), (SIZE.of("mapped"), "mallinfo")],
    readers: &[changes],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    let tuned = |name: &str| name.starts_with("MALLOC_") && name.ends_with('_');
    let tuned = std::env::vars_os().any(|(name, value)| {
        let tunes = name == "GLIBC_TUNABLES" && value.to_string_lossy().contains("glibc.malloc");
        tunes || tuned(&name.to_string_lossy())
    });
    if tuned {
        return Err(Skip("malloc is tuned by the environment (GLIBC_TUNABLES, MALLOC_…_)".to_owned()));
    }
    let mut large = None;
    for length in (18..24).map(|bits| 1 << bits) {
        if large.is_none() && Block::is_mapped(length)? {
            large = Some(length);
        }
    }
    let large = large.ok_or_else(|| {
        Skip("malloc maps no block up to 8 MiB here: it is not glibc's, or it has learnt not to".to_owned())
    })?;
    Ok(steps(facts.page(), large))
}

fn steps(page: usize, large: usize) -> Vec<Step> {
    let heap = Rc::new(Blocks::default());
    let does = |work: fn(&Blocks, &mut Worker, usize) -> Done, length: usize| {
        let blocks = Rc::clone(&heap);
        move |w: &mut Worker| {
            let done = work(&blocks, w, length);
            blocks.say(w);
            done
        }
    };
    let mut model = Heap::new(page);
    let mapping = mapped_pages(page, large);
    let mut frames_before = 0;
    let mut seen = |step: Step, heap: &Heap, mapped: [usize; 2]| {
        let [heap_frames, all_frames] = [heap.frames(), heap.frames() + mapped[1]].map(|frames| frames as i64);
        let change = all_frames - std::mem::replace(&mut frames_before, all_frames);
        let step = step.exact(SIZE.of("heap"), heap.pages()).exact(FRAMES.of("heap"), heap_frames);
        step.exact(SIZE.of("mapped"), mapped[0]).exact(FRAMES.of("mapped"), mapped[1]).exact(CHANGE, change)
    };
    let (small_name, large_name) = (whole_size(SMALL), whole_size(large));
    let mut steps = vec![
        step("use up what is free in the heap", does(Blocks::prepare, largest(page, large)))
            .exact(SIZE.of("heap"), 0)
            .exact(FRAMES.of("heap"), 0)
            .why("What malloc has already would be used first. So that there is something to see, it is to have nothing left."),
    ];
    let small = model.allocate(SMALL);
    steps.push(
        seen(step(format!("malloc({small_name})"), does(Blocks::allocate_small, SMALL)), &model, [0, 0])
            .why("malloc raises the break: by the block, its header, and M_TOP_PAD for what comes next."),
    );
    model.write(small, SMALL);
    steps.push(
        seen(step("write it", does(Blocks::write_small, 0)), &model, [0, 0]).why("The frames come now, page by page."),
    );
    steps.push(
        seen(step(format!("malloc({large_name})"), does(Blocks::allocate_large, large)), &model, [mapping, 1]).why(
            "A block of this size is a mapping of its own. One page is written already: malloc keeps the size before \
             the block.",
        ),
    );
    steps.push(
        seen(step("write it", does(Blocks::write_large, 0)), &model, [mapping, mapping])
            .why("Each page gets its frame."),
    );
    steps.push(
        seen(step("free it", does(Blocks::free_large, 0)), &model, [0, 0])
            .why("It is unmapped. And malloc learns: it takes blocks of this size for ordinary from now on."),
    );
    let block = model.allocate(large);
    steps.push(
        seen(step(format!("malloc({large_name}) again"), does(Blocks::allocate_large, large)), &model, [0, 0])
            .why("The same call takes the block from the heap now."),
    );
    model.write(block, large);
    steps.push(seen(step("write it", does(Blocks::write_large, 0)), &model, [0, 0]).why("The frames are the heap's."));
    steps.push(
        seen(step("free it", does(Blocks::free_large, 0)), &model, [0, 0])
            .why("Nothing is given back: malloc keeps it, to have it at hand."),
    );
    steps.push(
        seen(step(format!("free the {small_name}"), does(Blocks::free_small, 0)), &model, [0, 0])
            .why("All of it is free now, and still less than M_TRIM_THRESHOLD: the break stays where it is."),
    );
    model.trim();
    steps.push(
        seen(step("malloc_trim", does(Blocks::trim, 0)), &model, [0, 0])
            .why("Asked to, malloc lowers the break, but for the page that its account of the free part begins in."),
    );
    steps
}

/// The pages of the mapping that malloc makes for a block.
fn mapped_pages(page: usize, length: usize) -> usize {
    (chunk(length) + WORD).div_ceil(page)
}

/// How large the new part of the heap becomes.
fn largest(page: usize, large: usize) -> usize {
    let mut heap = Heap::new(page);
    heap.allocate(SMALL);
    heap.allocate(large);
    heap.end
}

/// A word of malloc's, and what it rounds sizes to. A chunk is a block with its header.
const WORD: usize = size_of::<usize>();
const ALIGNMENT: usize = 2 * WORD;
const LEAST: usize = 4 * WORD;
const TOP_PAD: usize = 128 << 10;

/// The size of the chunk for a block.
fn chunk(length: usize) -> usize {
    (length + WORD).next_multiple_of(ALIGNMENT)
}

/// The heap as malloc keeps it, from where nothing is left in it. Offsets are from there on, and what was there before is left
/// out: chunks begin [`LEAST`] bytes earlier.
#[derive(Debug)]
struct Heap {
    page: usize,
    /// The free chunk at its end: its offset, from [`LEAST`] bytes earlier.
    top: usize,
    end: usize,
    touched: BTreeSet<usize>,
}

impl Heap {
    fn new(page: usize) -> Self {
        Self { page, top: 0, end: 0, touched: BTreeSet::new() }
    }

    fn top_bytes(&self) -> usize {
        self.end + LEAST - self.top
    }

    /// Takes a block from the top. Gives its offset, from [`LEAST`] bytes earlier.
    fn allocate(&mut self, length: usize) -> usize {
        let chunk = chunk(length);
        if self.top_bytes() < chunk + LEAST {
            self.end += (chunk + TOP_PAD + LEAST - self.top_bytes()).next_multiple_of(self.page);
        }
        let block = self.top + ALIGNMENT;
        self.top += chunk;
        // The header of the new top.
        self.touch(self.top + WORD);
        block
    }

    fn write(&mut self, block: usize, length: usize) {
        (block..block + length).step_by(ALIGNMENT).for_each(|offset| self.touch(offset));
    }

    /// Everything has been freed.
    fn trim(&mut self) {
        self.top = 0;
        self.end -= (self.top_bytes() - LEAST - 1) / self.page * self.page;
        let pages = self.pages();
        self.touched.retain(|page| *page < pages);
    }

    fn touch(&mut self, offset: usize) {
        if offset >= LEAST {
            self.touched.insert((offset - LEAST) / self.page);
        }
    }

    fn pages(&self) -> usize {
        self.end / self.page
    }

    fn frames(&self) -> usize {
        self.touched.len()
    }
}

/// What the worker has allocated. It is made before the worker is, which has its own copy of it.
#[derive(Default)]
struct Blocks {
    small: RefCell<Option<Block>>,
    large: RefCell<Option<Block>>,
    /// Bytes of mapped blocks that were there before.
    mapped_before: Cell<u32>,
}

impl Blocks {
    /// Allocates until nothing is left in the heap but the least that malloc keeps at its end.
    fn prepare(&self, w: &mut Worker, largest: usize) -> Done {
        // What is free inside is used up, or given back: trimming later finds nothing there.
        use_up()?;
        trim();
        // Trimming the least end would make it larger (systrim, glibc 2.36), so there is more again, and that is used.
        use_up()?;
        // Another malloc, put before this one, has none of these numbers.
        let rest = (State::now().top_bytes as usize).checked_sub(LEAST).ok_or(Errno::ENOSYS)?;
        let half = rest / 2 / ALIGNMENT * ALIGNMENT;
        for chunk in [half, rest - half].into_iter().filter(|&chunk| chunk > 0) {
            std::mem::forget(Block::new(chunk.checked_sub(WORD).ok_or(Errno::ENOSYS)?)?);
        }
        let state = State::now();
        self.mapped_before.set(state.mapped_bytes);
        w.look_at(0, program_break(), largest);
        if state.top_bytes as usize == LEAST { Ok(()) } else { Err(Errno::ENOSYS) }
    }

    /// Says how large the new part of the heap is, and what is mapped.
    fn say(&self, w: &mut Worker) {
        let [heap, _] = w.reply.ranges[0];
        let mapped = State::now().mapped_bytes.wrapping_sub(self.mapped_before.get());
        let page = w.page as i64;
        w.say(0, (program_break().0 as i64 - heap as i64) / page);
        w.say(1, i64::from(mapped) / page);
    }

    fn allocate_small(&self, _: &mut Worker, length: usize) -> Done {
        *self.small.borrow_mut() = Some(Block::new(length)?);
        Ok(())
    }

    fn allocate_large(&self, w: &mut Worker, length: usize) -> Done {
        let block = Block::new(length)?;
        // Where it is mapped, its mapping begins with its header.
        let start = block.address().0 - ALIGNMENT as u64;
        if start.is_multiple_of(w.page as u64) && w.reply.ranges[1] == [0, 0] {
            w.look_at(1, VirtAddr(start), mapped_pages(w.page, length) * w.page);
        }
        *self.large.borrow_mut() = Some(block);
        Ok(())
    }

    fn write_small(&self, w: &mut Worker, _: usize) -> Done {
        write(&self.small, w.page)
    }

    fn write_large(&self, w: &mut Worker, _: usize) -> Done {
        write(&self.large, w.page)
    }

    fn free_small(&self, _: &mut Worker, _: usize) -> Done {
        free(&self.small)
    }

    fn free_large(&self, _: &mut Worker, _: usize) -> Done {
        free(&self.large)
    }

    fn trim(&self, _: &mut Worker, _: usize) -> Done {
        trim();
        Ok(())
    }
}

/// Allocates blocks, smaller than those that are to come, until malloc finds room for none and raises the break.
fn use_up() -> Done {
    const BLOCK: usize = 32 << 10;
    const MOST: usize = 4096;
    let before = program_break();
    for _ in 0..MOST {
        std::mem::forget(Block::new(BLOCK)?);
        if program_break() != before {
            return Ok(());
        }
    }
    Err(Errno::ENOMEM)
}

fn write(block: &RefCell<Option<Block>>, page: usize) -> Done {
    block.borrow().as_ref().map(|block| block.write(page)).ok_or(Errno::EFAULT)
}

fn free(block: &RefCell<Option<Block>>) -> Done {
    block.borrow_mut().take().map(drop).ok_or(Errno::EFAULT)
}

/// What the step did to the process's anonymous frames.
fn changes(look: &mut Look<'_>) -> Result<()> {
    let page = look.facts.page() as i64;
    let smaps = look.smaps_of(look.mappings(Who::Worker), "Anonymous");
    let status = look.status(Who::Worker, "RssAnon").filter(|_| look.facts.features.statm_exact == Some(true));
    for (source, bytes) in [("smaps", smaps), ("status", status)] {
        if let Some(bytes) = bytes {
            look.add_change(CHANGE, source, bytes / page);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_grows_as_it_was_seen_to_grow() {
        // glibc 2.36, pages of 4 KiB.
        let mut heap = Heap::new(4096);
        let small = heap.allocate(SMALL);
        assert_eq!((heap.pages(), heap.frames()), (58, 1));
        heap.write(small, SMALL);
        assert_eq!(heap.frames(), 25);
        let large = heap.allocate(256 << 10);
        assert_eq!((heap.pages(), heap.frames()), (122, 26));
        heap.write(large, 256 << 10);
        assert_eq!(heap.frames(), 90);
        heap.trim();
        assert_eq!((heap.pages(), heap.frames()), (1, 1));
        assert_eq!(mapped_pages(4096, 256 << 10), 65);
    }

    #[test]
    fn what_is_free_in_the_end_stays_below_what_free_gives_back_by_itself() {
        for page in [4096, 16384, 65536] {
            for large in (18..24).map(|bits| 1 << bits) {
                let free = largest(page, large) + LEAST;
                assert!(free < 2 * mapped_pages(page, large) * page, "{page} {large}");
            }
        }
    }
}
