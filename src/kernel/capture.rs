//! Recording the files of the machine and of processes in a tree that [`Root::open`] reads back with the same results.
//!
//! Text files are kept byte for byte, word files as [runs](super::runs). Of the machine's frames, only those mapped by recorded
//! processes are kept, or all of them on request.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::catalogue::{self, Recorded};
use super::cgroups::{self, Cgroups};
use super::features::Features;
use super::frame_files::CGROUP;
use super::manifest::{self, Gap, Manifest, SCHEMA};
use super::process::{Process, RECORDED_NAMES, RECORDED_SCAN};
use super::root::Root;
use super::runs::{Holes, RunWriter};
use super::scan::Region;
use super::slab::{self, SlabSysfs};
use super::walk::{self, Walk};
use super::words::{WINDOW, Words};
use crate::error::{Error, Result};
use crate::kernel::kcmp::{self, shared_address_spaces};
use crate::model::pagemap::Entry;
use crate::model::smaps;
use crate::model::vma::Vma;
use crate::unit::PageSize;

/// The maximum size kept of a text file, in bytes: smaps of 60,000 mappings takes 44 MB.
const LARGEST_TEXT: u64 = 1 << 30;

/// How many times recording a process is tried, until it does not change during the recording.
const ATTEMPTS: u32 = 3;

/// A recording in progress.
#[derive(Debug)]
pub struct Recording<'r> {
    root: &'r Root,
    features: Features,
    directory: PathBuf,
    frames: Vec<u64>,
    /// The recorded processes with an address space.
    with_memory: BTreeSet<u32>,
    gaps: Vec<Gap>,
    recorder: Option<u32>,
}

/// What was recorded of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its mappings.
    pub mappings: usize,
    /// Its non-empty page-table entries.
    pub entries: u64,
    /// Whether it did not change during the recording, so that its files are consistent.
    pub held_still: bool,
}

impl<'r> Recording<'r> {
    /// Begins a tree in `directory`, which must not exist yet. It is created with mode 0700, because it reveals the layout and
    /// physical location of address spaces.
    pub fn begin(root: &'r Root, directory: &Path) -> Result<Self> {
        DirBuilder::new().mode(0o700).create(directory).map_err(|e| Error::from_io(e, directory))?;
        Ok(Self {
            root,
            features: root.features(),
            directory: directory.to_owned(),
            frames: Vec::new(),
            with_memory: BTreeSet::new(),
            gaps: Vec::new(),
            recorder: None,
        })
    }

    /// Records one process. `myself` means pmem's own process.
    ///
    /// # Errors
    /// If its mappings or its pagemap cannot be read, or the tree cannot be written. Anything else that is missing becomes a
    /// gap.
    pub fn process(&mut self, process: &Process, myself: bool) -> Result<Kept> {
        let pid = process.pid();
        let mut attempt = 1;
        let snapshot = loop {
            let snapshot = self.snapshot(process)?;
            if snapshot.kept.held_still || attempt == ATTEMPTS {
                break snapshot;
            }
            attempt += 1;
        };
        for (name, bytes) in &snapshot.files {
            self.write(&format!("proc/{pid}/{name}"), bytes)?;
        }
        if !snapshot.kept.held_still {
            let why = "the process changed while it was recorded: its files may be inconsistent".to_owned();
            self.gaps.push(Gap { path: format!("proc/{pid}"), why });
        }
        for (name, why) in snapshot.gaps {
            self.gaps.push(Gap { path: format!("proc/{pid}/{name}"), why });
        }
        self.frames.extend(snapshot.frames);
        if snapshot.kept.mappings > 0 {
            self.with_memory.insert(pid);
        }
        if myself {
            self.recorder = Some(pid);
        }
        Ok(snapshot.kept)
    }

    /// Adds a gap for a process that could not be recorded.
    pub fn gap(&mut self, pid: u32, why: String) {
        self.gaps.push(Gap { path: format!("proc/{pid}"), why });
    }

    /// Records the system-wide files and finishes the tree. With `every_frame`, the kpage files are kept whole. `progress` is
    /// called with the file and the number of words read.
    pub fn finish(mut self, every_frame: bool, time: String, mut progress: impl FnMut(&str, u64)) -> Result<Manifest> {
        for name in catalogue::of_the_machine(Recorded::Bytes).flat_map(|file| file.paths(self.root)) {
            match self.root.dir().read(&name, LARGEST_TEXT) {
                Ok(bytes) => self.write(&name, &bytes)?,
                Err(error) => self.gaps.push(Gap { path: name, why: error.to_string() }),
            }
        }
        for (pid, owner) in shared_address_spaces(self.root, self.with_memory.iter().copied()) {
            self.write(&format!("proc/{pid}/{}", kcmp::RECORDED), format!("{owner}\n").as_bytes())?;
        }
        // Include the frame after each: whether it is a tail shows where a folio ends.
        self.frames.extend_from_within(..);
        let given = self.frames.len() / 2;
        self.frames[given..].iter_mut().for_each(|frame| *frame = frame.saturating_add(1));
        self.frames.sort_unstable();
        self.frames.dedup();
        for name in catalogue::of_the_machine(Recorded::Words).map(|file| file.path) {
            if let Err(error) = self.frame_file(name, every_frame, &mut progress) {
                let _ = std::fs::remove_file(self.directory.join(name));
                self.gaps.push(Gap { path: name.to_owned(), why: error.to_string() });
            }
        }
        self.cgroups()?;
        self.slab_sysfs()?;
        let manifest = Manifest {
            schema: SCHEMA.to_owned(),
            time,
            host: self.root.host().clone(),
            clock_ticks: self.root.clock_ticks(),
            features: self.features.clone(),
            recorder: self.recorder,
            gaps: std::mem::take(&mut self.gaps),
            origin: None,
        };
        let mut text = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::from_io(e.into(), manifest::FILE))?;
        text.push(b'\n');
        self.write(manifest::FILE, &text)?;
        Ok(manifest)
    }

    /// Reads all files of a process, as close together in time as possible.
    fn snapshot(&self, process: &Process) -> Result<Snapshot> {
        let statm_before = process.statm_resident()?;
        let status = process.read("status")?;
        let mut vmas = Vec::new();
        let maps = process.open_file("maps")?;
        process.vmas(&maps, |vma| vmas.push(vma))?;
        let mut snapshot = Snapshot::default();
        let mut names = String::new();
        for vma in vmas.iter().filter(|vma| vma.has_doubtful_name()) {
            let name = process.exact_name(vma, &maps, &self.features)?;
            names += &format!("{} {}\n", vma.range.start, name.to_hex());
        }
        if !names.is_empty() {
            snapshot.files.push((RECORDED_NAMES, names.into_bytes()));
        }
        if !vmas.is_empty() {
            let regions = self.regions(process, &status, &vmas)?;
            self.words(process, &regions, &mut snapshot)?;
            if self.features.scan_categories.is_some() {
                snapshot.files.push((RECORDED_SCAN, recorded_scan(&regions, self.root.page_size())));
            }
        }
        // A kernel thread or a zombie has no address space, so its files are not missing. The environment is never recorded: it
        // may contain secrets, and nothing needs it.
        for name in catalogue::of_a_process(!vmas.is_empty()).map(|file| file.path) {
            match process.dir().read(name, LARGEST_TEXT) {
                Ok(bytes) => snapshot.files.push((name, bytes)),
                Err(error) => snapshot.gaps.push((name, error.to_string())),
            }
        }
        snapshot.kept.mappings = vmas.len();
        snapshot.kept.held_still = process.statm_resident()? == statm_before;
        Ok(snapshot)
    }

    /// The non-empty address ranges, with their categories if the kernel supports PAGEMAP_SCAN.
    fn regions(&self, process: &Process, status: &[u8], vmas: &[Vma]) -> Result<Vec<Region>> {
        let mut regions = Vec::new();
        if self.features.scan_categories.is_some() {
            let walk = Walk::of(&self.features, status, self.root.page_size());
            walk::walk(&process.pagemap()?, &walk, |found| {
                regions.extend_from_slice(found);
                Ok(())
            })?;
        } else {
            let keys = smaps::COUNTED.map(str::to_owned);
            let mappings = process.smaps(&keys)?;
            let read = |vma: &&Vma| {
                let empty = smaps::find(&mappings, &vma.range).is_some_and(smaps::may_pass_over);
                !vma.range.start.is_kernel() && !empty
            };
            regions.extend(vmas.iter().filter(read).map(|vma| Region {
                start: vma.range.start,
                end: vma.range.end,
                categories: 0,
            }));
        }
        Ok(regions)
    }

    /// The pagemap entries of these regions, and the frames in them.
    fn words(&self, process: &Process, regions: &[Region], snapshot: &mut Snapshot) -> Result<()> {
        let path = process.path("pagemap");
        let failed = |e| Error::from_io(e, &path);
        let pagemap = process.pagemap()?;
        let mut writer = RunWriter::new(Vec::new(), Holes::Zero).map_err(failed)?;
        let mut words = vec![0; WINDOW];
        for region in regions {
            let page_size = self.root.page_size();
            let range = page_size.index_of(region.start)..page_size.index_of(region.end);
            pagemap.windows(range, &mut words, |first, part| {
                for (index, &word) in (first..).zip(part).filter(|(_, word)| !Entry(**word).is_empty()) {
                    writer.push(index, word).map_err(failed)?;
                    snapshot.kept.entries += 1;
                    snapshot.frames.extend(Entry(word).pfn().map(|pfn| pfn.0));
                }
                Ok(())
            })?;
        }
        snapshot.files.push(("pagemap", writer.finish().map_err(failed)?));
        Ok(())
    }

    fn frame_file(&self, name: &str, every_frame: bool, progress: &mut impl FnMut(&str, u64)) -> Result<()> {
        let source = self.root.words(name)?;
        let failed = |e| Error::from_io(e, self.directory.join(name));
        let holes = if every_frame { Holes::Zero } else { Holes::Unrecorded };
        let mut writer = RunWriter::new(BufWriter::new(self.create(name)?), holes).map_err(failed)?;
        if every_frame {
            return copy_all(&source, &mut writer, |read| progress(name, read))
                .and_then(|()| writer.finish().map(drop).map_err(failed));
        }
        let mut result = Ok(());
        source.gather(self.frames.iter().copied(), |position, word| {
            if let Some(word) = word
                && result.is_ok()
            {
                result = writer.push(self.frames[position], word);
            }
        })?;
        result.and_then(|()| writer.finish().map(drop)).map_err(failed)
    }

    /// Records the paths for the numbers in kpagecgroup, if that file was recorded: groups removed later could not be named
    /// otherwise.
    fn cgroups(&mut self) -> Result<()> {
        if !self.directory.join(CGROUP).exists() {
            return Ok(());
        }
        match Cgroups::read(self.root) {
            Ok(groups) => self.write(cgroups::RECORDED, groups.recorded().as_bytes()),
            Err(error) => {
                self.gaps.push(Gap { path: cgroups::RECORDED.to_owned(), why: error.to_string() });
                Ok(())
            }
        }
    }

    /// Records the directory of slab caches as one file.
    fn slab_sysfs(&mut self) -> Result<()> {
        match SlabSysfs::open(self.root).and_then(|sysfs| sysfs.record()) {
            Ok(text) => self.write(slab::RECORDED, &text),
            Err(error) => {
                self.gaps.push(Gap { path: slab::RECORDED.to_owned(), why: error.to_string() });
                Ok(())
            }
        }
    }

    fn write(&self, relative: &str, bytes: &[u8]) -> Result<()> {
        self.create(relative)?.write_all(bytes).map_err(|e| Error::from_io(e, self.directory.join(relative)))
    }

    fn create(&self, relative: &str) -> Result<std::fs::File> {
        let path = self.directory.join(relative);
        let failed = |e| Error::from_io(e, &path);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)
    }
}

/// The files read of one process.
#[derive(Default)]
struct Snapshot {
    files: Vec<(&'static str, Vec<u8>)>,
    gaps: Vec<(&'static str, String)>,
    frames: Vec<u64>,
    kept: Kept,
}

fn recorded_scan(regions: &[Region], page_size: PageSize) -> Vec<u8> {
    let write = || {
        let mut writer = RunWriter::new(Vec::new(), Holes::Zero)?;
        for region in regions {
            let pages = page_size.pages_between(&(region.start..region.end));
            writer.repeat(page_size.index_of(region.start), pages, region.categories)?;
        }
        writer.finish()
    };
    // Writing to memory does not fail.
    write().unwrap_or_default()
}

/// Copies a word file from its first word to its end.
fn copy_all<W: Write>(from: &Words, to: &mut RunWriter<W>, mut progress: impl FnMut(u64)) -> Result<()> {
    let mut words = vec![0; WINDOW];
    let mut index = 0;
    loop {
        let got = from.read(index, &mut words)?;
        if got == 0 {
            return Ok(());
        }
        for (index, &word) in (index..).zip(&words[..got]).filter(|(_, word)| **word != 0) {
            to.push(index, word).map_err(|e| Error::from_io(e, from.path()))?;
        }
        index += got as u64;
        progress(index);
    }
}
