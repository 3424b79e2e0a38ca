//! Which of the kernel's memory files this user can read, and a few things that only `pmem doctor` wants to know.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;

use super::process::{Process, own_or_first, pids};
use super::root::{Root, SMALL, text};
use crate::model::frame_flags::NOPAGE;

/// One file of the kernel and whether it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its path; those of one process of another user stand for all of them.
    pub path: String,
    /// Whether it can be opened and read.
    pub readable: bool,
    /// Why not, where it cannot.
    pub problem: Option<String>,
    /// What it takes to read it.
    pub needs: &'static str,
}

/// What opens the files of a process of another user.
const ANOTHERS: &str = "the same user, or CAP_SYS_PTRACE (CAP_PERFMON from Linux 6.15 on)";
const ROOT_ONLY: &str = "root, or CAP_DAC_READ_SEARCH (mode 0400)";
const ANYONE: &str = "nothing";

/// The files of pmem's own process and of the machine.
const FILES: &[(&str, &str)] = &[
    ("proc/self/maps", ANYONE),
    ("proc/self/smaps", "CONFIG_PROC_PAGE_MONITOR"),
    ("proc/self/smaps_rollup", "CONFIG_PROC_PAGE_MONITOR, Linux 4.14"),
    ("proc/self/statm", ANYONE),
    ("proc/self/pagemap", "CONFIG_PROC_PAGE_MONITOR"),
    ("proc/kpageflags", ROOT_ONLY),
    ("proc/kpagecount", ROOT_ONLY),
    ("proc/kpagecgroup", "root, or CAP_DAC_READ_SEARCH (mode 0400); CONFIG_MEMCG"),
    ("proc/slabinfo", ROOT_ONLY),
    ("proc/pagetypeinfo", ROOT_ONLY),
    ("proc/vmallocinfo", ROOT_ONLY),
    ("proc/buddyinfo", ANYONE),
    ("proc/zoneinfo", ANYONE),
    ("proc/meminfo", ANYONE),
    ("proc/vmstat", ANYONE),
    ("proc/swaps", ANYONE),
    ("proc/pressure/memory", "CONFIG_PSI, Linux 4.20"),
];

/// Tries every file.
pub fn interfaces(root: &Root) -> Vec<Interface> {
    let own = own_or_first(root);
    let mut all: Vec<Interface> =
        FILES.iter().map(|(path, needs)| try_file(root, &path.replace("self", &own), needs)).collect();
    if let Some(pid) = telling_process(root) {
        all.push(try_file(root, &format!("proc/{pid}/maps"), ANOTHERS));
        let pagemap = "the same user, or CAP_SYS_PTRACE (CAP_PERFMON from Linux 6.15 on) and CAP_DAC_READ_SEARCH";
        all.push(try_file(root, &format!("proc/{pid}/pagemap"), pagemap));
    }
    all
}

fn try_file(root: &Root, path: &str, needs: &'static str) -> Interface {
    let read = root.dir().open(path).and_then(|mut file| {
        // A word file wants eight bytes at a time; one byte of a text file would do.
        file.read(&mut [0; 8]).map_err(|e| crate::error::Error::from_io(e, path))
    });
    Interface { path: format!("/{path}"), readable: read.is_ok(), problem: read.err().map(|e| e.to_string()), needs }
}

/// The process that tells most about what is closed: the first whose page map is, else the first of another user.
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

/// What the kernel answers to a request to clear the soft-dirty bits of pmem's own pages. It says "success" also where
/// it has none.
pub fn clear_soft_dirty_succeeds(root: &Root) -> Option<bool> {
    if root.is_recorded() {
        return None;
    }
    let path = root.dir().path().join("proc/self/clear_refs");
    let mut file = OpenOptions::new().write(true).open(path).ok()?;
    Some(file.write_all(b"4").is_ok())
}

/// Whether kpageflags reports NOPAGE for a frame number without memory; `None` where there is none to try below its end,
/// or kpageflags cannot be read.
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

/// A setting of the machine that shapes the numbers, as the kernel writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is.
    pub name: &'static str,
    /// Its value; `None` where this kernel does not have it.
    pub value: Option<String>,
    /// Its file.
    pub path: &'static str,
}

/// The settings, as they stand.
pub fn settings(root: &Root) -> Vec<Setting> {
    const FILES: [(&str, &str); 8] = [
        ("transparent huge pages", "sys/kernel/mm/transparent_hugepage/enabled"),
        ("… and their defragmentation", "sys/kernel/mm/transparent_hugepage/defrag"),
        ("… for shared memory", "sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        ("… size in bytes", "sys/kernel/mm/transparent_hugepage/hpage_pmd_size"),
        ("huge zero page", "sys/kernel/mm/transparent_hugepage/use_zero_page"),
        ("KSM", "sys/kernel/mm/ksm/run"),
        ("hugetlb pages", "proc/sys/vm/nr_hugepages"),
        ("overcommit mode", "proc/sys/vm/overcommit_memory"),
    ];
    let mut all: Vec<Setting> =
        FILES.iter().map(|&(name, path)| Setting { name, value: text(root.dir(), path), path }).collect();
    all.insert(3, Setting { name: "… by size", value: by_size(root), path: HUGE_PAGES });
    all
}

const HUGE_PAGES: &str = "sys/kernel/mm/transparent_hugepage";

/// The switches of the sizes of transparent huge pages, as paths below the root.
pub fn huge_page_switches(root: &Root) -> Vec<String> {
    let names = root.dir().open_dir(HUGE_PAGES).and_then(|directory| directory.names()).unwrap_or_default();
    let switch = |name: &Vec<u8>| {
        let name = std::str::from_utf8(name).ok().filter(|name| name.starts_with("hugepages-"))?;
        Some(format!("{HUGE_PAGES}/{name}/enabled"))
    };
    names.iter().filter_map(switch).collect()
}

const MEMORY_BLOCKS: &str = "sys/devices/system/memory";

/// The states of the memory blocks, as paths below the root, where one of them is off line: iomem tells all else.
pub fn memory_block_states(root: &Root) -> Vec<String> {
    let names = root.dir().open_dir(MEMORY_BLOCKS).and_then(|directory| directory.names()).unwrap_or_default();
    let block = |name: &Vec<u8>| {
        let name = std::str::from_utf8(name).ok()?;
        name.strip_prefix("memory")?.parse::<u64>().ok()?;
        Some(format!("{MEMORY_BLOCKS}/{name}/state"))
    };
    let states: Vec<String> = names.iter().filter_map(block).collect();
    let is_offline = |path: &String| text(root.dir(), path).is_some_and(|state| state == "offline");
    if states.iter().any(is_offline) { states } else { Vec::new() }
}

/// The sizes of transparent huge pages (mTHP, since Linux 6.8) that are not switched off by themselves, with their
/// switch; `none` where all are, `None` where this kernel has only the one size.
fn by_size(root: &Root) -> Option<String> {
    let switch = |path: String| {
        let kib: u64 = path.split('-').nth(1)?.split("kB").next()?.parse().ok()?;
        let switch = text(root.dir(), &path)?;
        Some((kib, switch.split(['[', ']']).nth(1)?.to_owned()))
    };
    let mut sizes: Vec<(u64, String)> = huge_page_switches(root).into_iter().filter_map(switch).collect();
    if sizes.is_empty() {
        return None;
    }
    sizes.sort_unstable();
    sizes.retain(|(_, switch)| switch != "never");
    let list: Vec<String> = sizes.iter().map(|(kib, switch)| format!("{kib} KiB {switch}")).collect();
    Some(if list.is_empty() { "none".to_owned() } else { list.join(", ") })
}

/// `/proc/swaps` without its header: the areas in use; `None` where it cannot be read.
pub fn swap_areas(root: &Root) -> Option<Vec<String>> {
    let bytes = root.dir().read("proc/swaps", SMALL).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// The text of `status` of pmem's own process.
pub fn own_status(root: &Root) -> Option<Vec<u8>> {
    if root.is_recorded() { None } else { root.dir().read("proc/self/status", SMALL).ok() }
}
