//! `/proc/PID/numa_maps`: the mappings of a process, each with its memory policy and its pages by node. (fs/proc/task_mmu.c,
//! `show_numa_map`)
//!
//! The kernel counts mapped pages, except zero pages, in units of the mapping's page size: huge pages for hugetlb, base pages
//! for everything else. Transparent huge pages count as base pages and cannot be told apart here.

use std::path::Path;

use crate::error::{Error, Result};
use crate::name::Name;
use crate::unit::VirtAddr;

/// The maximum number of nodes on a line: CONFIG_NODES_SHIFT is at most 10.
const MOST_NODES: usize = 1024;

/// One mapping. Counts are in units of [`page_bytes`](Self::page_bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its start address; the end is only in `maps`.
    pub start: VirtAddr,
    /// Its policy, or else the policy of the process, with flags and nodes: `default`, `bind:1`, `weighted interleave:0-3`.
    pub policy: Policy,
    /// Its kind.
    pub kind: Kind,
    /// The name of its file, as in `maps`; empty if it has none.
    pub file: Name,
    /// Whether it is a hugetlb mapping.
    pub huge: bool,
    /// Mapped pages on all nodes.
    pub pages: u64,
    /// Of these, anonymous ones.
    pub anon: u64,
    /// Of these, dirty ones.
    pub dirty: u64,
    /// The highest mapcount of any of its pages.
    pub mapcount_max: u64,
    /// Of these, pages in the swap cache.
    pub swap_cache: u64,
    /// Of these, pages on the active list (not for hugetlb; always 0 with the multi-gen LRU).
    pub active: u64,
    /// Of these, pages under writeback.
    pub writeback: u64,
    /// Pages by node, ascending; nodes without pages are omitted, and so is device memory, which belongs to no node.
    pub nodes: Vec<(u32, u64)>,
    /// The page size, in bytes; `None` if the line has no pages and does not give it.
    pub page_bytes: Option<u64>,
}

/// A memory policy in the kernel's format: only letters, digits and `():=,|-`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(String);

impl Policy {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The kind of a mapping according to numa_maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Anonymous memory.
    #[default]
    Anon,
    /// The heap, managed by `brk`.
    Heap,
    /// The main thread's stack.
    Stack,
    /// File-backed, including tmpfs and shared memory.
    File,
}

impl Mapping {
    /// Parses one line, without its newline. `path` and `number` are for the error.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse(line: &[u8], path: &Path, number: usize) -> Result<Self> {
        parse(line).ok_or_else(|| Error::malformed(path, number, "expected 'ADDRESS POLICY' and counts"))
    }
}

fn parse(line: &[u8]) -> Option<Mapping> {
    let mut words = line.split(|&byte| byte == b' ').peekable();
    let start = std::str::from_utf8(words.next()?).ok()?;
    let hex = !start.is_empty() && start.bytes().all(|byte| byte.is_ascii_hexdigit());
    let start = VirtAddr(u64::from_str_radix(start, 16).ok().filter(|_| hex)?);
    let mut policy = std::str::from_utf8(words.next()?).ok()?.to_owned();
    // Two policies have a space in their names.
    if let Some(second) = words.next_if(|word| word.starts_with(b"interleave") || word.starts_with(b"(many)")) {
        policy = format!("{policy} {}", std::str::from_utf8(second).ok()?);
    }
    let is_shown = |byte: u8| byte.is_ascii_alphanumeric() || b" ():=,|-".contains(&byte);
    if policy.is_empty() || !policy.bytes().all(is_shown) {
        return None;
    }
    let mut mapping = Mapping { start, policy: Policy(policy), mapcount_max: 1, ..Mapping::default() };
    let (mut mapped, mut active) = (None, None);
    for word in words {
        match word {
            b"heap" => mapping.kind = Kind::Heap,
            b"stack" => mapping.kind = Kind::Stack,
            b"huge" => mapping.huge = true,
            _ => {
                let at = memchr::memchr(b'=', word)?;
                let (key, value) = (&word[..at], &word[at + 1..]);
                if key == b"file" {
                    (mapping.kind, mapping.file) = (Kind::File, Name::new(&unescaped(value)));
                    continue;
                }
                let value = crate::unit::decimal(std::str::from_utf8(value).ok()?)?;
                match key {
                    b"anon" => mapping.anon = value,
                    b"dirty" => mapping.dirty = value,
                    b"mapped" => mapped = Some(value),
                    b"mapmax" => mapping.mapcount_max = value,
                    b"swapcache" => mapping.swap_cache = value,
                    b"active" => active = Some(value),
                    b"writeback" => mapping.writeback = value,
                    b"kernelpagesize_kB" => mapping.page_bytes = Some(value.checked_mul(1024)?),
                    [b'N', node @ ..] => {
                        let node = std::str::from_utf8(node).ok()?.parse().ok()?;
                        let is_after = mapping.nodes.last().is_none_or(|(before, _)| *before < node);
                        if !is_after || mapping.nodes.len() == MOST_NODES {
                            return None;
                        }
                        mapping.nodes.push((node, value));
                        mapping.pages = mapping.pages.checked_add(value)?;
                    }
                    // Fields of later kernels.
                    _ => {}
                }
            }
        }
    }
    // `mapped` is omitted if all pages are anonymous or all are dirty; `active` if all are active, and for hugetlb.
    mapping.pages = mapping.pages.max(mapped.unwrap_or(0));
    let left_out = if mapping.huge { 0 } else { mapping.pages };
    mapping.active = active.unwrap_or(left_out);
    // The page size comes last: a truncated line lacks it.
    (mapping.pages == 0 || mapping.page_bytes.is_some()).then_some(mapping)
}

/// Decodes the escapes that `maps` does not have: spaces, tabs and `=`. (A name that contains such a sequence literally looks
/// the same.)
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match after.get(..3).filter(|_| first == b'\\') {
            Some(b"040") => Some(b' '),
            Some(b"011") => Some(b'\t'),
            Some(b"075") => Some(b'='),
            _ => None,
        };
        plain.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Mapping {
        Mapping::parse(line.as_bytes(), Path::new("numa_maps"), 1).unwrap()
    }

    #[test]
    fn anonymous_memory_that_is_bound_is_read() {
        let found = read("7fb8ca000000 bind:1 anon=25600 dirty=25600 active=0 N1=25600 kernelpagesize_kB=4");
        assert_eq!(
            (found.start, found.policy.as_str(), found.kind),
            (VirtAddr(0x7fb8_ca00_0000), "bind:1", Kind::Anon)
        );
        assert_eq!((found.pages, found.anon, found.dirty, found.active), (25600, 25600, 25600, 0));
        assert_eq!((found.nodes, found.page_bytes, found.mapcount_max), (vec![(1, 25600)], Some(4096), 1));
    }

    #[test]
    fn hugetlb_is_counted_in_huge_pages() {
        let line =
            "7f60e9a00000 bind:1 file=/anon_hugepage\\040(deleted) huge anon=8 dirty=8 N1=8 kernelpagesize_kB=2048";
        let found = read(line);
        assert_eq!((found.kind, found.huge, found.file), (Kind::File, true, Name::new(b"/anon_hugepage (deleted)")));
        assert_eq!((found.pages, found.active, found.page_bytes), (8, 0, Some(2 << 20)));
    }

    #[test]
    fn a_file_of_many_processes_is_read() {
        let line = "7f1200000000 default file=/lib/libc.so.6 anon=1 dirty=2 mapped=300 mapmax=25 swapcache=3 active=290 \
                    writeback=1 N0=100 N3=200 kernelpagesize_kB=4";
        let found = read(line);
        assert_eq!((found.pages, found.anon, found.dirty, found.mapcount_max), (300, 1, 2, 25));
        assert_eq!((found.swap_cache, found.active, found.writeback), (3, 290, 1));
        assert_eq!(found.nodes, [(0, 100), (3, 200)]);
    }

    #[test]
    fn lines_without_pages_are_read() {
        let found = read("555500000000 default");
        assert_eq!((found.pages, found.page_bytes, found.nodes.len()), (0, None, 0));
        assert_eq!(
            (read("7ffc00000000 default stack").kind, read("7ffc00000000 default heap").kind),
            (Kind::Stack, Kind::Heap)
        );
    }

    #[test]
    fn all_policies_are_read() {
        for policy in [
            "default",
            "local",
            "prefer:0",
            "prefer (many):0-1",
            "interleave:0-3",
            "weighted interleave:0-1,3",
            "bind=static:1",
            "bind=relative|balancing:0-1",
        ] {
            let found = read(&format!("1000 {policy} file=/interleave anon=1 dirty=1 N0=1 kernelpagesize_kB=4"));
            assert_eq!((found.policy.as_str(), found.pages), (policy, 1));
        }
    }

    #[test]
    fn names_are_as_maps_shows_them() {
        for (escaped, name) in [
            ("/a\\040b\\075c\\011d", &b"/a b=c\td"[..]),
            // maps escapes newlines, too; other backslashes are not escapes.
            ("/a\\012b", b"/a\\012b"),
            ("/a\\b\\04", b"/a\\b\\04"),
        ] {
            assert_eq!(read(&format!("1000 default file={escaped}")).file.bytes(), name);
        }
        let line = b"1000 default file=/a\xff\x1b";
        assert_eq!(Mapping::parse(line, Path::new("x"), 1).unwrap().file.bytes(), b"/a\xff\x1b");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for bad in [
            "",
            "1000",
            "1000 ",
            "x default",
            "+1 default",
            "1000 \x1b[2J",
            "1000 default \u{202e}",
            "1000 default anon",
            "1000 default anon=x",
            "1000 default anon=-1",
            "1000 default N0=1",
            "1000 default N0=1 N0=1 kernelpagesize_kB=4",
            "1000 default N1=1 N0=1 kernelpagesize_kB=4",
            "1000 default N0=18446744073709551615 N1=1 kernelpagesize_kB=4",
            "1000 default N0=1 kernelpagesize_kB=18446744073709551615",
            "1000 default anon=1 dirty=1 N0=1 kernelpage",
            "10000000000000000 default",
        ] {
            assert!(Mapping::parse(bad.as_bytes(), Path::new("x"), 1).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Mapping::parse(&line, Path::new("x"), 1);
        }

        #[test]
        fn a_damaged_line_gives_a_value_or_an_error(at in 0..100usize, byte in any::<u8>()) {
            let mut line = b"7f60 bind:1 file=/a\\040(deleted) huge anon=8 dirty=8 mapmax=2 N1=8 N2=0 kernelpagesize_kB=2048".to_vec();
            let at = at % line.len();
            line[at] = byte;
            let _ = Mapping::parse(&line, Path::new("x"), 1);
        }
    }
}
