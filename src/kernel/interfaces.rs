//! Which of the kernel's memory files this user can read, and further probes used only by `pmem doctor`.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;

use super::catalogue::{CATALOGUE, KernelFile, Of, Shown};
use super::huge_pages;
use super::process::{Process, own_or_first, pids};
use super::root::{Root, SMALL, text};
use crate::model::frame_flags::NOPAGE;

/// A kernel file and whether it can be read.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its path; one process of another user stands for all of them.
    pub path: String,
    /// Whether it can be opened and read.
    pub readable: bool,
    /// Why not, if it cannot.
    pub problem: Option<String>,
    /// Its entry in the catalogue.
    pub file: &'static KernelFile,
    /// Whether it belongs to another user's process.
    pub of_others: bool,
}

/// Tries every file that the [catalogue](super::catalogue) marks for `doctor`.
pub fn interfaces(root: &Root) -> Vec<Interface> {
    let own = own_or_first(root);
    let tried = CATALOGUE.iter().filter(|file| matches!(file.shown, Shown::Tried | Shown::TriedOfOthers));
    let mut all: Vec<Interface> = tried
        .map(|file| match file.of {
            Of::Machine => try_file(root, file, file.path, false),
            Of::Process | Of::AddressSpace => try_file(root, file, &format!("proc/{own}/{}", file.path), false),
        })
        .collect();
    if let Some(pid) = telling_process(root) {
        let tried = CATALOGUE.iter().filter(|file| file.shown == Shown::TriedOfOthers);
        all.extend(tried.map(|file| try_file(root, file, &format!("proc/{pid}/{}", file.path), true)));
    }
    all
}

fn try_file(root: &Root, file: &'static KernelFile, path: &str, of_others: bool) -> Interface {
    let read = root.dir().open(path).and_then(|mut file| {
        // A word file must be read in units of eight bytes; for a text file one byte would do.
        file.read(&mut [0; 8]).map_err(|e| crate::error::Error::from_io(e, path))
    });
    Interface {
        path: format!("/{path}"),
        file,
        of_others,
        readable: read.is_ok(),
        problem: read.err().map(|e| e.to_string()),
    }
}

/// The most informative process of another user: the first with an unreadable pagemap, else the first one.
fn telling_process(root: &Root) -> Option<u32> {
    if root.is_recorded() {
        return None;
    }
    let own = nix::unistd::geteuid().as_raw();
    let mut others = None;
    for pid in pids(root).ok()? {
        let Ok(process) = Process::open(root, pid) else { continue };
        if process.statm_resident().unwrap_or(0) == 0 {
            continue;
        }
        if process.open_file("pagemap").is_err_and(|error| !error.is_gone()) {
            return Some(pid);
        }
        let owner = process.open_file("stat").ok().and_then(|file| file.metadata().ok());
        if others.is_none() && owner.is_some_and(|owner| owner.uid() != own) {
            others = Some(pid);
        }
    }
    others
}

/// The kernel's answer to a request to clear the soft-dirty bits of pmem's own pages. Kernels without soft-dirty also report
/// success.
pub fn clear_soft_dirty_succeeds(root: &Root) -> Option<bool> {
    if root.is_recorded() {
        return None;
    }
    let path = root.dir().path().join("proc/self/clear_refs");
    let mut file = OpenOptions::new().write(true).open(path).ok()?;
    Some(file.write_all(b"4").is_ok())
}

/// Whether kpageflags reports NOPAGE for a frame number without memory; `None` if there is no hole to probe, or kpageflags
/// cannot be read.
pub fn nopage_reported(root: &Root) -> Option<bool> {
    let memory = root.dir().open_dir("sys/devices/system/memory").ok()?;
    let block = crate::unit::hexadecimal(&text(&memory, "block_size_bytes")?)?;
    let number = |name: &[u8]| std::str::from_utf8(name).ok()?.strip_prefix("memory")?.parse::<u64>().ok();
    let mut blocks: Vec<u64> = memory.names().ok()?.iter().filter_map(|name| number(name)).collect();
    blocks.sort_unstable();
    let hole = (0..*blocks.last()?).find(|block| blocks.binary_search(block).is_err())?;
    let pfn = root.page_size().pages_in(hole.checked_mul(block)?);
    let mut flags = [0];
    let read = root.words("proc/kpageflags").ok()?.read(pfn, &mut flags).ok()?;
    (read == 1).then_some(flags[0] & NOPAGE != 0)
}

/// A kernel setting that affects the numbers, in the kernel's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its description.
    pub name: &'static str,
    /// Its value; `None` if this kernel does not have it.
    pub value: Option<String>,
    /// Its file.
    pub path: &'static str,
}

/// The current settings.
pub fn settings(root: &Root) -> Vec<Setting> {
    let setting = |file: &KernelFile| {
        let Shown::Setting(name) = file.shown else { return None };
        let value = match file.each {
            None => text(root.dir(), file.path),
            Some(_) => huge_pages::by_size(root),
        };
        let directory = file.path.find("/hugepages-").filter(|_| file.each.is_some());
        Some(Setting { name, value, path: directory.map_or(file.path, |end| &file.path[..end]) })
    };
    CATALOGUE.iter().filter_map(setting).collect()
}

/// `/proc/swaps` without its header: the areas in use; `None` if it cannot be read.
pub fn swap_areas(root: &Root) -> Option<Vec<String>> {
    let bytes = root.dir().read("proc/swaps", SMALL).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// The `status` file of pmem's own process.
pub fn own_status(root: &Root) -> Option<Vec<u8>> {
    if root.is_recorded() { None } else { root.dir().read("proc/self/status", SMALL).ok() }
}
