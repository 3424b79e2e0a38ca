//! `malloc`: where it gets memory from, and what free gives back.

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

/// The change in the process's anonymous frames during the step. Sources: status (RssAnon), smaps (Anonymous).
const CHANGE: Quantity = Quantity::new("anonymous_change_pages", "change", Unit::Pages);

/// The new part of the heap, and the mapped block.
const HEAP: Subject = Subject { name: "heap", who: Who::Worker, place: 0 };
const MAPPED: Subject = Subject { name: "mapped", who: Who::Worker, place: 1 };

/// The small block: malloc never gives this size its own mapping.
const SMALL: usize = 100 << 10;

pub(super) const DEMO: Demo = Demo {
    name: "malloc",
    question: "where does malloc get memory from, and what does free give back?",
    about: "A process allocates a small block and a large one, writes and frees them, and allocates the large one \
            again. Small blocks come from the heap; large ones are mapped. (The numbers cover only the new part of the \
            heap.)",
    learnt: "malloc takes more heap than it needs and maps large blocks. free unmaps a mapped block at once but keeps \
             heap memory. Freeing a mapped block also raises the threshold, so later blocks of that size come from the \
             heap. A process can therefore hold a lot of memory it has freed; malloc_trim gives it back.",
    explain: "glibc's malloc gets blocks of M_MMAP_THRESHOLD bytes or more (initially 128 KiB) from mmap and all \
              others from the heap, which it grows with brk by the size of the block, its header and M_TOP_PAD (128 \
              KiB). Freeing a mapped block raises the threshold to its size, and M_TRIM_THRESHOLD to twice that: this \
              much must be free at the top of the heap before free lowers the break. Each block has a 16-byte header \
              in front of it, and so does the free chunk at the top of the heap: a header costs a frame if it is the \
              first thing written in its page.",
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
        return Err(Skip("the environment tunes malloc (GLIBC_TUNABLES, MALLOC_…_)".to_owned()));
    }
    let mut large = None;
    for length in (18..24).map(|bits| 1 << bits) {
        if large.is_none() && Block::is_mapped(length)? {
            large = Some(length);
        }
    }
    let large = large.ok_or_else(|| {
        Skip("malloc maps no block up to 8 MiB here: it is not glibc's, or its threshold was raised".to_owned())
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
        step("use up the free heap", does(Blocks::prepare, largest(page, large)))
            .exact(SIZE.of("heap"), 0)
            .exact(FRAMES.of("heap"), 0)
            .why("malloc would first use the memory it already has. It must have none left for the effect to show."),
    ];
    let small = model.allocate(SMALL);
    steps.push(
        seen(step(format!("malloc({small_name})"), does(Blocks::allocate_small, SMALL)), &model, [0, 0])
            .why("malloc raises the break: by the block, its header, and M_TOP_PAD for later allocations."),
    );
    model.write(small, SMALL);
    steps.push(
        seen(step("write it", does(Blocks::write_small, 0)), &model, [0, 0]).why("The frames come now, page by page."),
    );
    steps.push(
        seen(step(format!("malloc({large_name})"), does(Blocks::allocate_large, large)), &model, [mapping, 1]).why(
            "A block of this size gets its own mapping. One page is already written: malloc stores the size in front \
             of the block.",
        ),
    );
    steps.push(
        seen(step("write it", does(Blocks::write_large, 0)), &model, [mapping, mapping])
            .why("Each page gets its frame."),
    );
    steps.push(
        seen(step("free it", does(Blocks::free_large, 0)), &model, [0, 0])
            .why("It is unmapped. malloc also raises its threshold: blocks of this size now come from the heap."),
    );
    let block = model.allocate(large);
    steps.push(
        seen(step(format!("malloc({large_name}) again"), does(Blocks::allocate_large, large)), &model, [0, 0])
            .why("The same call now takes the block from the heap."),
    );
    model.write(block, large);
    steps.push(seen(step("write it", does(Blocks::write_large, 0)), &model, [0, 0]).why(
        "The frames belong to the \
                                                                                         heap.",
    ));
    steps.push(
        seen(step("free it", does(Blocks::free_large, 0)), &model, [0, 0])
            .why("Nothing is given back: malloc keeps the block for reuse."),
    );
    steps.push(
        seen(step(format!("free the {small_name}"), does(Blocks::free_small, 0)), &model, [0, 0])
            .why("Everything is free now, but less than M_TRIM_THRESHOLD: the break stays where it is."),
    );
    model.trim();
    steps.push(
        seen(step("malloc_trim", does(Blocks::trim, 0)), &model, [0, 0])
            .why("On request, malloc lowers the break, except for the page that holds the header of the free chunk."),
    );
    steps
}

/// The pages of the mapping malloc creates for a block.
fn mapped_pages(page: usize, length: usize) -> usize {
    (chunk(length) + WORD).div_ceil(page)
}

/// The final size of the new part of the heap.
fn largest(page: usize, large: usize) -> usize {
    let mut heap = Heap::new(page);
    heap.allocate(SMALL);
    heap.allocate(large);
    heap.end
}

/// malloc's word size and alignment. A chunk is a block with its header.
const WORD: usize = size_of::<usize>();
const ALIGNMENT: usize = 2 * WORD;
const LEAST: usize = 4 * WORD;
const TOP_PAD: usize = 128 << 10;

/// The size of the chunk for a block.
fn chunk(length: usize) -> usize {
    (length + WORD).next_multiple_of(ALIGNMENT)
}

/// A model of the heap as malloc manages it, starting where the existing heap is used up. Offsets count from there; chunks
/// begin [`LEAST`] bytes earlier.
#[derive(Debug)]
struct Heap {
    page: usize,
    /// The offset of the free top chunk, counted from [`LEAST`] bytes earlier.
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

    /// Takes a block from the top. Returns its offset, counted from [`LEAST`] bytes earlier.
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

    /// Trims the heap after everything has been freed.
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

/// The worker's allocations. Created before the fork, so the worker has its own copy.
#[derive(Default)]
struct Blocks {
    small: RefCell<Option<Block>>,
    large: RefCell<Option<Block>>,
    /// Bytes in mapped blocks that existed before.
    mapped_before: Cell<u32>,
}

impl Blocks {
    /// Allocates until the heap is used up, except for the minimum that malloc keeps at its top.
    fn prepare(&self, w: &mut Worker, largest: usize) -> Done {
        // Free memory inside the heap is used up or given back, so that later trimming finds none.
        use_up()?;
        trim();
        // Trimming a minimal top would enlarge it (systrim, glibc 2.36), leaving free memory again; use that up too.
        use_up()?;
        // A replaced malloc (LD_PRELOAD) does not have these numbers.
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

    /// Reports the size of the new part of the heap, and of the mapped block.
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
        // If the block is mapped, the mapping begins with its header.
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

/// Allocates blocks smaller than those used later, until malloc has no room left and raises the break.
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

/// The change in the process's anonymous frames during the step.
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
