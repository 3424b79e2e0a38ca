//! `classes`: a few pages of each kind that `everything` does not have, and the class of their frames.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, MmapAdvise};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs, statfs};
use pmem::internal::memory::{Mapping, io_uring, secret_memory};
use serde_json::{Value, json};

use super::place::{PAGE, Places, READ_WRITE, smaps_pages, write_pages};
use super::report::{say, wait_for_the_end};

const PAGES: usize = 8;

/// One kind: its name, its class, and how to make it.
type Kind = (&'static str, &'static str, fn(&mut Places) -> Result<Mapping>);

const KINDS: [Kind; 7] = [
    ("freed lazily", "anon", freed_lazily),
    ("locked", "anon", locked),
    ("file, shared", "file", shared_file),
    ("tmpfs file", "shmem", tmpfs_file),
    ("tmpfs file, private and written", "anon", tmpfs_file_written),
    ("secret memory", "file", secret),
    ("io_uring", "file", ring),
];

pub(crate) fn run() -> Result<()> {
    let mut places = Places::new();
    let mut kept = Vec::new();
    let mut said = Vec::<Value>::new();
    for (what, class, make) in KINDS {
        said.push(match make(&mut places) {
            Ok(mapping) => {
                let pages = mapping.length() / *PAGE;
                let address = mapping.address().to_string();
                kept.push(mapping);
                json!({ "what": what, "class": class, "address": address, "pages": pages })
            }
            Err(error) => json!({ "what": what, "skipped": format!("{error:#}") }),
        });
    }
    say(&json!({ "pid": std::process::id(), "mappings": said }))?;
    wait_for_the_end()
}

fn freed_lazily(places: &mut Places) -> Result<Mapping> {
    let mapping = places.anonymous(PAGES, MapFlags::MAP_PRIVATE)?;
    write_pages(&mapping, 0..PAGES);
    // The kernel marks them in per-CPU batches; the advice that looks for pages to age drains the batch first.
    for _ in 0..100 {
        mapping.advise(0, mapping.length(), MmapAdvise::MADV_FREE)?;
        mapping.advise(0, mapping.length(), MmapAdvise::MADV_COLD)?;
        if smaps_pages(&mapping, "LazyFree")? == PAGES {
            return Ok(mapping);
        }
    }
    anyhow::bail!("the kernel did not mark the pages")
}

fn locked(places: &mut Places) -> Result<Mapping> {
    let mapping = places.anonymous(PAGES, MapFlags::MAP_PRIVATE | MapFlags::MAP_LOCKED)?;
    write_pages(&mapping, 0..PAGES);
    ensure!(smaps_pages(&mapping, "Locked")? == PAGES, "not locked: the limit of locked memory?");
    Ok(mapping)
}

fn shared_file(_: &mut Places) -> Result<Mapping> {
    let file = tempfile::tempfile()?;
    ensure!(fstatfs(&file)?.filesystem_type() != TMPFS_MAGIC, "temporary files are on tmpfs here");
    map_file(file, MapFlags::MAP_SHARED)
}

fn tmpfs_file(_: &mut Places) -> Result<Mapping> {
    map_file(on_tmpfs()?, MapFlags::MAP_SHARED)
}

fn tmpfs_file_written(_: &mut Places) -> Result<Mapping> {
    map_file(on_tmpfs()?, MapFlags::MAP_PRIVATE)
}

fn on_tmpfs() -> Result<File> {
    const SHM: &str = "/dev/shm";
    ensure!(statfs(SHM)?.filesystem_type() == TMPFS_MAGIC, "{SHM} is no tmpfs");
    Ok(tempfile::tempfile_in(SHM)?)
}

fn map_file(mut file: File, flags: MapFlags) -> Result<Mapping> {
    for _ in 0..PAGES {
        file.write_all(&vec![7; *PAGE])?;
    }
    written(&file, PAGES, flags)
}

fn secret(_: &mut Places) -> Result<Mapping> {
    let file = File::from(secret_memory().context("memfd_secret")?);
    file.set_len((PAGES * *PAGE) as u64)?;
    written(&file, PAGES, MapFlags::MAP_SHARED)
}

/// One page of it certainly belongs to the ring.
fn ring(_: &mut Places) -> Result<Mapping> {
    let ring = File::from(io_uring(4).context("io_uring_setup")?);
    let mapping = Mapping::file(&ring, *PAGE, READ_WRITE, MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE)?;
    mapping.read(0);
    Ok(mapping)
}

fn written(file: &File, pages: usize, flags: MapFlags) -> Result<Mapping> {
    let mapping = Mapping::file(file, pages * *PAGE, READ_WRITE, flags)?;
    write_pages(&mapping, 0..pages);
    Ok(mapping)
}
