//! The quantities common to all demos, read from every source that has them.

use std::collections::{HashMap, HashSet};

use super::look::Look;
use super::quantity::{
    ALL_FAULTS, ANONYMOUS, CHANGED, DISTINCT, EXCLUSIVE, FAULTS, FRAMES, HELD, HUGE, MAJOR_FAULTS, PRESENT, PSS,
    Quantity, RSS, SIZE, SWAPPED, TABLES, VMAS, ZERO,
};
use super::script::{Subject, Who};
use crate::analysis::frames::Counts;
use crate::analysis::pages::Run;
use crate::analysis::physical::class::Class;
use crate::error::Result;
use crate::model::pagemap::State;

/// Reads them all.
pub(super) fn read(look: &mut Look<'_>) -> Result<()> {
    let (minor, major) = (look.reply.minor, look.reply.major);
    look.add(FAULTS, "getrusage", minor);
    look.add(MAJOR_FAULTS, "getrusage", major);
    look.add(ALL_FAULTS, "getrusage", minor + major);
    process(look);
    for subject in look.subjects {
        if look.process(subject.who).is_some() {
            counts(look, subject)?;
            if !look.is_part(subject) {
                smaps(look, subject);
            }
            frames(look, subject)?;
        }
    }
    Ok(())
}

/// The counters of the worker as a whole.
fn process(look: &mut Look<'_>) {
    let page = look.facts.page() as i64;
    // An inexact counter is useless for single pages.
    if let (Some(bytes), Some(true)) = (look.status(Who::Worker, "RssAnon"), look.facts.features.statm_exact) {
        look.add_since_start(RSS, "status", bytes / page);
    }
    if let Some(bytes) = look.status(Who::Worker, "VmPTE") {
        look.add_change(TABLES, "status", bytes);
        look.add_since_start(HELD, "status", bytes);
    }
}

/// What `pmem frames` counts; for part of a mapping (heap, stack), what `pmem pages` counts.
fn counts(look: &mut Look<'_>, subject: &Subject) -> Result<()> {
    let (mut all, mut size, rows) = (Counts::default(), 0, look.rows(subject));
    for row in &rows {
        size += look.facts.page_size.pages_between(&look.part(subject, row));
        if let Some(counts) = &row.counts {
            all.add(counts);
        }
    }
    let (vmas, in_smaps) = (rows.len() as i64, rows.iter().filter(|row| row.smaps.is_some()).count() as i64);
    let is_part = look.is_part(subject);
    let (scans, frames_seen) = (look.facts.features.scan_categories.is_some(), look.frame_reader.is_some());
    if is_part {
        let mut count = |is_so: fn(&Run) -> bool| look.count_pages(subject, is_so).map(|pages| pages as u64);
        all = Counts {
            present: count(|run| run.state == State::Present)?,
            zero: count(|run| run.class == Some(Class::ZeroPage))?,
            swapped: count(|run| run.state == State::Swapped)?,
            ..Counts::default()
        };
    }
    let mut add = |quantity: Quantity, source, value: u64| {
        look.add(quantity.of(subject.name), source, value as i64);
    };
    add(SIZE, "maps", size);
    add(PRESENT, "pagemap", all.present);
    add(SWAPPED, "pagemap", all.swapped);
    // Without PAGEMAP_SCAN, the huge count comes from smaps, and so does the zero count if frame numbers are hidden.
    if scans && !is_part {
        add(HUGE, "pagemap", all.huge);
    }
    if frames_seen || (scans && !is_part) {
        add(ZERO, "pagemap", all.zero);
        add(FRAMES, "pagemap", all.present - all.zero);
    }
    look.add(VMAS.of(subject.name), "maps", vmas);
    look.add(VMAS.of(subject.name), "smaps", in_smaps);
    Ok(())
}

/// What the kernel counts in its own walk.
fn smaps(look: &mut Look<'_>, subject: &Subject) {
    for (quantity, keys) in [
        (SIZE, &["Size"][..]),
        (FRAMES, &["Rss"]),
        (HUGE, &["AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"]),
        (SWAPPED, &["Swap"]),
        (ANONYMOUS, &["Anonymous"]),
        (EXCLUSIVE, &["Private_Clean", "Private_Dirty"]),
    ] {
        let pages = keys.iter().filter_map(|key| look.smaps_pages(subject, key)).reduce(|a, b| a + b);
        if let Some(pages) = pages {
            look.add(quantity.of(subject.name), "smaps", pages);
        }
    }
    if let Some(bytes) = look.smaps(subject, "Pss") {
        look.add(PSS.of(subject.name), "smaps", bytes);
    }
}

/// What pagemap says about each page, and the kpage files about each frame.
fn frames(look: &mut Look<'_>, subject: &Subject) -> Result<()> {
    let present = |run: &Run| run.state == State::Present;
    if look.wants(EXCLUSIVE.of(subject.name)) {
        let own = look.count_pages(subject, |run| present(run) && run.exclusive == Some(true))?;
        look.add(EXCLUSIVE.of(subject.name), "pagemap", own);
    }
    if !look.facts.features.pfns_visible {
        return Ok(());
    }
    if look.wants(ZERO.of(subject.name)) && look.frame_reader.is_some() {
        let zero = look.count_pages(subject, |run| run.class == Some(Class::ZeroPage))?;
        look.add(ZERO.of(subject.name), "kpageflags", zero);
    }
    if look.wants(EXCLUSIVE.of(subject.name)) && look.frame_reader.is_some() {
        let own = look.count_pages(subject, |run| present(run) && run.mapcount == Some(1))?;
        look.add(EXCLUSIVE.of(subject.name), "kpagecount", own);
    }
    if look.wants(DISTINCT.of(subject.name)) {
        let frames: HashSet<u64> = look.frame_numbers(subject)?.into_iter().map(|(_, frame)| frame).collect();
        look.add(DISTINCT.of(subject.name), "pagemap", frames.len() as i64);
    }
    if look.wants(CHANGED.of(subject.name)) {
        changed(look, subject)?;
    }
    Ok(())
}

/// The pages with a different frame than at the last observation.
fn changed(look: &mut Look<'_>, subject: &Subject) -> Result<()> {
    let now = look.frame_numbers(subject)?;
    if let Some(last) = look.last_frames(CHANGED.of(subject.name), now.clone()) {
        let before: HashMap<u64, u64> = last.into_iter().collect();
        let changed = now.iter().filter(|(page, pfn)| before.get(page).is_some_and(|before| before != pfn)).count();
        look.add(CHANGED.of(subject.name), "pagemap", changed as i64);
    }
    Ok(())
}
