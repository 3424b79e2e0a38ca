//! Processes: listing them, and a fixed identity for each.

use std::fs::File;
use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::process::StatM;

use super::dir::Dir;
use super::features::Features;
use super::lines;
use super::root::{Root, SMALL};
use super::scan;
use super::words::Words;
use crate::error::{Error, Result};
use crate::model::smaps::{Collector, Line, VM_FLAGS, Values};
use crate::model::stat::Stat;
use crate::model::vma::Vma;
use crate::name::Name;
use crate::unit::VirtAddr;

/// One process, held by a descriptor of its `/proc/PID`: everything read through it belongs to this process or fails with
/// [`Error::Gone`], even if its PID has been reused.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    dir: Dir,
    recorded: bool,
}

impl Process {
    /// Opens a process.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Gone`] if there is none with this PID, or procfs hides it (`hidepid=2`).
    pub fn open(root: &Root, pid: u32) -> Result<Self> {
        let dir = root.dir().open_dir(format!("proc/{pid}"))?;
        Ok(Self { pid, dir, recorded: root.is_recorded() })
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its `/proc/PID` directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// A live thread of this process other than the main thread, with the same address space. Its files have the same names
    /// below `task/`.
    pub fn running_thread(&self) -> Option<Self> {
        let tasks = self.dir.open_dir("task").ok()?;
        tasks.names().ok()?.iter().find_map(|name| {
            let pid = std::str::from_utf8(name).ok()?.parse().ok()?;
            let thread = Self { pid, dir: tasks.open_dir(pid.to_string()).ok()?, recorded: self.recorded };
            let runs = pid != self.pid && thread.stat().is_ok_and(|stat| !stat.is_zombie());
            runs.then_some(thread)
        })
    }

    /// Whether it belongs to a recorded tree.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// The path of a file of this process, for messages.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Opens a file of this process.
    pub fn open_file(&self, file: &str) -> Result<File> {
        self.dir.open(file)
    }

    /// Reads a small file of this process in full.
    pub fn read(&self, file: &str) -> Result<Vec<u8>> {
        self.dir.read(file, SMALL)
    }

    /// Its `stat`: PID, state, start time and so on.
    pub fn stat(&self) -> Result<Stat> {
        Stat::parse(&self.read("stat")?, &self.path("stat"))
    }

    /// Its name (`comm`): at most 15 bytes (more for some kernel threads), any bytes but NUL.
    pub fn comm(&self) -> Result<Name> {
        let bytes = self.read("comm")?;
        Ok(Name::new(bytes.strip_suffix(b"\n").unwrap_or(&bytes)))
    }

    /// The kernel's counts of its pages (`statm`).
    pub fn statm(&self) -> Result<StatM> {
        let text = self.read("statm")?;
        StatM::from_read(&text[..]).map_err(|_| Error::malformed(&self.path("statm"), 1, "expected seven numbers"))
    }

    /// The kernel's count of its resident pages (the second column of `statm`).
    pub fn statm_resident(&self) -> Result<u64> {
        self.statm().map(|statm| statm.resident)
    }

    /// Its command line, arguments separated by spaces, at most `limit` bytes; empty for a kernel thread.
    pub fn command_line(&self, limit: usize) -> Vec<u8> {
        use std::io::Read;
        let mut bytes = Vec::new();
        if let Ok(file) = self.open_file("cmdline") {
            // A command line that cannot be read completely is shown as far as it was read.
            let _ = file.take(limit as u64).read_to_end(&mut bytes);
        }
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        bytes
    }

    /// Opens its pagemap.
    pub fn pagemap(&self) -> Result<Words> {
        Words::open(&self.dir, "pagemap", self.recorded)
    }

    /// Opens the recorded results of PAGEMAP_SCAN, if this is a recorded tree that has them.
    pub fn recorded_scan(&self) -> Result<Option<Words>> {
        if !self.recorded || !self.dir.exists(RECORDED_SCAN) {
            return Ok(None);
        }
        Words::open(&self.dir, RECORDED_SCAN, true).map(Some)
    }

    /// Reads `maps` from an open file and passes every VMA to `each`, in ascending order without overlaps. Returns whether any
    /// had to be clipped because the process changed its mappings during the read.
    pub fn vmas(&self, mut maps: &File, mut each: impl FnMut(Vma)) -> Result<bool> {
        let path = self.path("maps");
        let (mut clear_from, mut torn) = (VirtAddr(0), false);
        lines::for_each(&mut maps, &path, |number, line| {
            let vma = Vma::parse(line, &path, number)?;
            torn |= vma.range.start < clear_from;
            if let Some(vma) = vma.clipped(clear_from) {
                clear_from = vma.range.end;
                each(vma);
            }
            Ok(())
        })?;
        Ok(torn)
    }

    /// The unescaped name of a mapping if `maps` shows what may be an escaped newline: from PROCMAP_QUERY on the open `maps`
    /// file, or from a recorded tree. If neither has it, the name as in `maps`.
    pub fn exact_name(&self, vma: &Vma, maps: &File, features: &Features) -> Result<Name> {
        if self.recorded {
            let names = match self.read(RECORDED_NAMES) {
                Err(Error::Missing { .. }) => return Ok(vma.name.clone()),
                other => other?,
            };
            // A mapping clipped by a range starts after the address its name is stored under.
            let start = |line: &[u8]| {
                let digits = line.split(|&b| b == b' ').next()?.strip_prefix(b"0x")?;
                u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
            };
            let before = |line: &&[u8]| start(line).is_some_and(|start| start <= vma.range.start.0);
            let line = names.split(|&b| b == b'\n').rfind(before);
            let line = line.and_then(|line| line.split(|&b| b == b' ').nth(1));
            return match line.map(Name::from_hex) {
                None => Ok(vma.name.clone()),
                Some(name) => name.ok_or_else(|| Error::malformed(&self.path(RECORDED_NAMES), 1, "not hexadecimal")),
            };
        }
        let exact = features.procmap_query.then(|| scan::query_vma(maps, vma.range.start).ok()).flatten();
        Ok(exact
            .filter(|exact| !exact.name.is_empty())
            .map_or_else(|| vma.name.clone(), |exact| Name::new(&exact.name)))
    }

    /// The selected smaps keys of every mapping.
    pub fn smaps(&self, keys: &[String]) -> Result<Vec<Values>> {
        let mut collector = Collector::new(keys);
        self.for_each_line("smaps", |line, path, number| collector.line(line, path, number))?;
        Ok(collector.mappings)
    }

    /// Calls `each` with every line of a text file of this process.
    pub fn for_each_line(&self, file: &str, each: impl FnMut(&[u8], &Path, usize) -> Result<()>) -> Result<()> {
        let path = self.path(file);
        let mut each = each;
        lines::for_each(&mut self.open_file(file)?, &path, |number, line| each(line, &path, number))
    }
}

/// The file in a recorded tree with the names that are ambiguous in `maps`: one line each, with the mapping's address (`0x…`)
/// and its name in hexadecimal.
pub const RECORDED_NAMES: &str = "exact_names";

/// The file in a recorded tree with the PAGEMAP_SCAN categories, next to `pagemap`.
pub const RECORDED_SCAN: &str = "pagemap_scan";

/// The PIDs of all processes, ascending.
pub fn pids(root: &Root) -> Result<Vec<u32>> {
    let names = root.dir().open_dir("proc")?.names()?;
    let mut pids: Vec<u32> = names.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// The smaps keys of this machine, in smaps order: from the first mapping of pmem's own process, or of the first process in a
/// recorded tree that has any. Empty if there is none.
pub fn smaps_keys(root: &Root) -> Vec<String> {
    keys_of(root, &format!("proc/{}/smaps", own_or_first(root)))
}

/// The name below `proc` of the process that represents pmem's own: `self`, or, in a recorded tree, the first process with a
/// pagemap (kernel threads and zombies have none).
pub fn own_or_first(root: &Root) -> String {
    let recorded = if root.is_recorded() { pids(root).unwrap_or_default() } else { Vec::new() };
    let first = recorded.iter().find(|pid| root.dir().exists(format!("proc/{pid}/pagemap"))).or(recorded.first());
    first.map_or_else(|| "self".to_owned(), u32::to_string)
}

fn keys_of(root: &Root, file: &str) -> Vec<String> {
    let (mut keys, mut headers) = (Vec::new(), 0);
    let path = Path::new(file);
    if let Ok(mut file) = root.dir().open(file) {
        // If the file cannot be read to the end of its first mapping, the keys found so far are used.
        let _ = lines::for_each(&mut file, path, |number, line| {
            match Line::parse(line, path, number)? {
                Line::Header(_) => headers += 1,
                Line::Value { key, .. } => keys.push(key.to_owned()),
                Line::Flags(_) => keys.push(VM_FLAGS.to_owned()),
            }
            // An error stops reading: the second mapping has the same keys.
            if headers > 1 { Err(Error::malformed(path, number, "enough")) } else { Ok(()) }
        });
    }
    keys
}
