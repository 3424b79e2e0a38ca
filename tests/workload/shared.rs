//! `forks`, `same` and `clone`: frames mapped by several processes, all of which are known.

use std::io::Write;

use anyhow::{Result, ensure};
use nix::sys::mman::{MapFlags, ProtFlags};
use pmem::internal::memory::Mapping;
use serde_json::json;

use super::children::Children;
use super::place::{PAGE, Places, read_pages, smaps_pages, write_pages};
use super::report::{say, say_skipped, wait_for_the_end};

const WRITTEN: usize = 1000;

/// How many pages, from the first on, each child writes again.
const CHILDREN_WRITE: [usize; 3] = [0, 10, 20];

/// A parent with written pages forks children, each of which writes some of them again, from the first on.
pub(crate) fn forks(huge: bool) -> Result<()> {
    let (mapping, pages) = match written(huge) {
        Ok(written) => written,
        Err(error) => return say_skipped(&format!("{error:#}")),
    };
    let mut children = Children::default();
    let mut said = Vec::new();
    for writes in CHILDREN_WRITE {
        let pid = children.start(|| write_pages(&mapping, 0..writes))?;
        said.push(json!({ "pid": pid, "writes": writes }));
    }
    let address = mapping.address().to_string();
    say(&json!({ "pid": std::process::id(), "address": address, "pages": pages, "children": said }))?;
    wait_for_the_end()?;
    children.end()
}

/// Memory with every page written: as small pages, or as two huge ones.
fn written(huge: bool) -> Result<(Mapping, usize)> {
    let mut places = Places::new();
    let (mapping, pages) =
        if huge { places.huge(2)? } else { (places.anonymous(WRITTEN, MapFlags::MAP_PRIVATE)?, WRITTEN) };
    write_pages(&mapping, 0..pages);
    if huge {
        ensure!(smaps_pages(&mapping, "AnonHugePages")? == pages, "the kernel had no huge page to give");
    }
    Ok((mapping, pages))
}

const PAGES: usize = 40;

/// A file that this process maps twice, and `count` children once each, all at different addresses.
pub(crate) fn same(count: u64) -> Result<()> {
    let mut file = tempfile::tempfile()?;
    // One write per page: a larger one may be cached as one large folio.
    for page in 0..PAGES {
        file.write_all(&vec![page as u8; *PAGE])?;
    }
    // Mappings may extend past the end of the file, so each process uses a different length, and so a different place.
    let map = |more: usize| {
        let length = (PAGES + more) * *PAGE;
        let mapping = Mapping::file(&file, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED)?;
        read_pages(&mapping, 0..PAGES);
        anyhow::Ok(mapping)
    };
    let mut children = Children::default();
    let mut mappers = Vec::new();
    for child in 1..=count {
        let (pid, address) = children.start_saying(|| {
            // Kept until the child ends.
            map(child as usize).map_or(0, |mapping| std::mem::ManuallyDrop::new(mapping).address().0)
        })?;
        ensure!(address != 0, "a child could not map the file");
        mappers.push(json!({ "pid": pid, "address": format!("{address:#x}") }));
    }
    let own = [map(0)?, map(0)?];
    mappers.extend(own.iter().map(|own| json!({ "pid": std::process::id(), "address": own.address().to_string() })));
    say(&json!({ "pid": std::process::id(), "pages": PAGES, "mappers": mappers }))?;
    wait_for_the_end()?;
    children.end()
}

/// A process and another that shares its address space, so that every page counts once for both.
pub(crate) fn cloned() -> Result<()> {
    let mapping = Places::new().anonymous(PAGES, MapFlags::MAP_PRIVATE)?;
    write_pages(&mapping, 0..PAGES);
    let mut children = Children::default();
    let pid = children.start_of_same_memory()?;
    let address = mapping.address().to_string();
    say(&json!({ "pid": std::process::id(), "address": address, "pages": PAGES, "children": [{ "pid": pid }] }))?;
    wait_for_the_end()?;
    children.end()
}
