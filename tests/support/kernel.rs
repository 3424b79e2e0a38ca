//! The kernel's own numbers, read by the tests themselves: pmem's numbers are compared with these.

use std::collections::BTreeMap;
use std::fs;

use super::page_size;

/// The second number of `statm`, in pages.
pub(crate) fn statm_resident(pid: u32) -> Option<u64> {
    fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()
}

/// A size in `status` (`VmSwap`, `HugetlbPages`, …), in pages.
pub(crate) fn status_pages(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read(format!("/proc/{pid}/status")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(pages(value.trim().strip_suffix(" kB")?.parse().ok()?))
}

/// `kib` KiB in pages.
pub(crate) fn pages(kib: u64) -> u64 {
    kib * 1024 / page_size()
}

/// One mapping in `smaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The values as printed: kB, or plain numbers.
    pub(crate) values: BTreeMap<String, u64>,
    /// The keys whose values are in kB.
    pub(crate) in_kib: Vec<String>,
    pub(crate) flags: String,
}

impl Mapping {
    /// A value, which must be there.
    #[track_caller]
    pub(crate) fn value(&self, key: &str) -> u64 {
        *self.values.get(key).unwrap_or_else(|| panic!("smaps has no {key}"))
    }

    /// The sum of values in kB, in pages.
    #[track_caller]
    pub(crate) fn pages(&self, keys: &[&str]) -> u64 {
        keys.iter().map(|key| pages(self.value(key))).sum()
    }
}

/// All mappings of a process by its `smaps`; `None` if it cannot be read.
pub(crate) fn smaps(pid: u32) -> Option<Vec<Mapping>> {
    let text = fs::read(format!("/proc/{pid}/smaps")).ok()?;
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first.strip_suffix(':') {
            Some("VmFlags") => mappings.last_mut()?.flags = rest.trim().to_owned(),
            Some(key) => {
                let mapping = mappings.last_mut()?;
                let value = rest.trim();
                let (number, kib) = value.strip_suffix(" kB").map_or((value, false), |number| (number, true));
                mapping.values.insert(key.to_owned(), number.parse().ok()?);
                mapping.in_kib.extend(kib.then(|| key.to_owned()));
            }
            None => {
                let (start, end) = first.split_once('-')?;
                let address = |text| u64::from_str_radix(text, 16).ok();
                mappings.push(Mapping {
                    start: address(start)?,
                    end: address(end)?,
                    values: BTreeMap::new(),
                    in_kib: Vec::new(),
                    flags: String::new(),
                });
            }
        }
    }
    Some(mappings)
}

/// The resident pages of all mappings by `smaps`; `None` if it cannot be read or is empty.
pub(crate) fn smaps_resident(pid: u32) -> Option<u64> {
    let text = fs::read(format!("/proc/{pid}/smaps")).ok()?;
    // A mapping's first line begins with its address, whatever its name is: no name is mistaken for a value.
    let values = text.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"Rss:"));
    let kib = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    (!text.is_empty()).then(|| values.map(|value| pages(kib(value).expect("a size in kB"))).sum())
}

/// The PIDs of all processes.
pub(crate) fn pids() -> Vec<u32> {
    let names = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Whether a process is a kernel thread: bit 0x200000 of its flags, the seventh field after its name in `stat`.
pub(crate) fn is_kernel_thread(pid: u32) -> bool {
    let flags = fs::read(format!("/proc/{pid}/stat")).ok().and_then(|stat| {
        let stat = String::from_utf8_lossy(&stat).into_owned();
        stat.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse::<u64>().ok()
    });
    flags.is_some_and(|flags| flags & 0x20_0000 != 0)
}

/// The version of the running kernel.
pub(crate) fn version() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
