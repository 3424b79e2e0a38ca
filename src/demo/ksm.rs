//! `ksm`: the kernel finds identical pages and keeps one copy.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::mman::MmapAdvise;

use super::facts::Facts;
use super::look::Look;
use super::quantity::{CHANGED, DISTINCT, EXCLUSIVE, FAULTS, FRAMES, PSS, Quantity, Unit};
use super::script::{ARENA, Step, step};
use super::worker::{Done, Worker};
use super::{BLANK, Demo, Skip};
use crate::error::{Result, errno};
use crate::kernel::memory::Mapping;
use crate::kernel::own_pagemap;
use crate::kernel::root::text;
use crate::model::pagemap::Entry;
use crate::unit::PageSize;

/// Pages of the arena.
const PAGES: usize = 64;

/// How long to wait for KSM. It takes a few hundredths of a second if it has nothing else to do, but its thread runs at low
/// priority and scans a hundred pages at a time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pages merged by KSM. Source: smaps (KSM, since Linux 6.6).
const MERGED: Quantity = Quantity::new("ksm_pages", "merged", Unit::Pages);

pub(super) const DEMO: Demo = Demo {
    name: "ksm",
    question: "can identical pages share one frame?",
    about: "A process fills 64 pages with the same bytes and marks them for KSM (MADV_MERGEABLE). It waits until they \
            are merged, and then writes to one of them.",
    learnt: "64 pages shared one frame and the process did not notice: its RSS stayed at 64. A write took one page \
             out, with a fault and a copy, as after a fork. PSS shows the saving; RSS does not.",
    explain: "The kernel thread ksmd scans the memory marked for it, compares pages, and makes the entries of \
              identical pages point to one write-protected frame. A write to such a page always copies it, even if no \
              one else maps it: a KSM page is never reused. MADV_UNMERGEABLE copies all of them back. KSM runs only if \
              root has written 1 to /sys/kernel/mm/ksm/run; it was made for virtual machines.",
    functions: &[
        ("ksm_madvise", "mm/ksm.c"),
        ("cmp_and_merge_page", "mm/ksm.c"),
        ("replace_page", "mm/ksm.c"),
        ("do_wp_page", "mm/memory.c"),
        ("break_ksm", "mm/ksm.c"),
    ],
    columns: &[FAULTS, FRAMES, MERGED, DISTINCT, PSS],
    readers: &[merged],
    script,
    ..BLANK
};

fn script(facts: &Facts<'_>) -> std::result::Result<Vec<Step>, Skip> {
    if !facts.environment.ksm_runs {
        return Err(Skip(
            "KSM is not running: /sys/kernel/mm/ksm/run is not 1, and only root may change it".to_owned(),
        ));
    }
    if Mapping::private(facts.page())?.advise(0, facts.page(), MmapAdvise::MADV_MERGEABLE).is_err() {
        return Err(Skip("this kernel does not support KSM".to_owned()));
    }
    let most = text(facts.root.dir(), "sys/kernel/mm/ksm/max_page_sharing").and_then(|text| text.parse::<usize>().ok());
    if most.is_some_and(|most| most < PAGES) {
        return Err(Skip(format!("/sys/kernel/mm/ksm/max_page_sharing is less than {PAGES}")));
    }
    let (page, page_size) = (facts.page() as i64, facts.page_size);
    let runs = facts.root.dir().open("sys/kernel/mm/ksm/run")?;
    // The PSS of these frames, each mapped by several pages; it is rounded down to whole KiB.
    let pss = |frames: i64| (frames * page - 1024)..=frames * page;
    Ok(vec![
        step("fill 64 pages with equal bytes", fill)
            .exact(FRAMES, PAGES)
            .exact(EXCLUSIVE, PAGES)
            .exact(MERGED, 0)
            .exact(DISTINCT, PAGES)
            .exact(PSS, PAGES as i64 * page)
            .why("64 pages with identical contents, and a frame for each."),
        step("mark them for KSM, wait", move |w| offer(w, page_size, &runs))
            .exact(FRAMES, PAGES)
            .exact(EXCLUSIVE, 0)
            .exact(MERGED, PAGES)
            .exact(DISTINCT, 1)
            .within(PSS, pss(1))
            .why("All entries point to one frame. RSS counts entries, so it counts that frame 64 times."),
        step("read them all", |w| w.read(0, 0..PAGES))
            .exact(FAULTS, 0)
            .exact(EXCLUSIVE, 0)
            .exact(MERGED, PAGES)
            .exact(CHANGED, 0)
            .why("Reading keeps the frame shared."),
        step("write one page", |w| w.write_value(0, 0..1, 1))
            .exact(FRAMES, PAGES)
            .exact(EXCLUSIVE, 1)
            .exact(MERGED, PAGES - 1)
            .exact(DISTINCT, 2)
            .exact(FAULTS, 1)
            .exact(CHANGED, 1)
            .within(PSS, pss(2))
            .why("The page gets its own copy, by copy-on-write."),
        step("undo (MADV_UNMERGEABLE)", |w| w.advise(0, 0..PAGES, MmapAdvise::MADV_UNMERGEABLE))
            .exact(FRAMES, PAGES)
            .exact(EXCLUSIVE, PAGES)
            .exact(MERGED, 0)
            .exact(DISTINCT, PAGES)
            .exact(CHANGED, PAGES - 1)
            .exact(PSS, PAGES as i64 * page)
            .why("The other 63 are copied too: each page has its own frame again."),
    ])
}

/// Fills the arena with identical pages that no other process has: KSM would merge with those too.
fn fill(w: &mut Worker) -> Done {
    w.map(0, PAGES)?;
    let unlike = nix::unistd::getpid().as_raw().to_le_bytes();
    for page in 0..PAGES {
        for (i, byte) in unlike.into_iter().enumerate() {
            w.at(0)?.write(page * w.page + i + 1, byte);
        }
    }
    w.write_value(0, 0..PAGES, 0xa5)
}

/// Marks the arena for KSM, and waits until none of its pages is mapped only once.
fn offer(w: &mut Worker, page_size: PageSize, runs: &File) -> Done {
    w.advise(0, 0..PAGES, MmapAdvise::MADV_MERGEABLE)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if !own_pagemap::entries::<PAGES>(w.at(0)?, page_size)?.into_iter().any(Entry::is_exclusive) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Errno::ETIME);
        }
        let mut run = [0];
        runs.read_exact_at(&mut run, 0).map_err(errno)?;
        if run != *b"1" {
            return Err(Errno::ECANCELED);
        }
        sleep(Duration::from_millis(20));
    }
}

/// Reads [`MERGED`].
fn merged(look: &mut Look<'_>) -> Result<()> {
    if let Some(pages) = look.smaps_pages(&ARENA, "KSM") {
        look.add(MERGED, "smaps", pages);
    }
    Ok(())
}
