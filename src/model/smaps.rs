//! `/proc/PID/smaps` and `smaps_rollup`: the kernel's own count of each mapping.
//!
//! Read by key: the set of keys varies between kernels, and new keys pass through under their own names.

use std::ops::Range;
use std::path::Path;

use super::vma::Vma;
use crate::error::{Error, Result};
use crate::unit::VirtAddr;

/// One line of smaps.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The header line of a mapping, the same as in `maps`. (In `smaps_rollup`: the whole address space, `[rollup]`.)
    Header(Box<Vma>),
    /// `Rss:   12 kB`, converted to bytes, or `THPeligible: 1`, unchanged.
    Value {
        /// The key, without its colon.
        key: &'a str,
        /// The value.
        value: Value,
    },
    /// `VmFlags: rd wr …`: the two-letter codes, unchanged.
    Flags(&'a str),
}

/// A value of smaps with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// A size; smaps prints it in kB.
    Bytes(u64),
    /// A number without a unit (`THPeligible`, `ProtectionKey`).
    Number(u64),
}

impl<'a> Line<'a> {
    /// Parses one line, without its newline. `path` and `number` are for the error.
    pub fn parse(line: &'a [u8], path: &Path, number: usize) -> Result<Self> {
        match memchr::memchr2(b' ', b':', line) {
            // The colon of a key precedes the first space; in a header line the first space ends the addresses.
            Some(end) if line[end] == b':' => parse_value(line, end)
                .ok_or_else(|| Error::malformed(path, number, "expected 'KEY: NUMBER kB', 'KEY: NUMBER' or VmFlags")),
            _ => Vma::parse(line, path, number).map(|vma| Line::Header(Box::new(vma))),
        }
    }
}

fn parse_value(line: &[u8], colon: usize) -> Option<Line<'_>> {
    let key = std::str::from_utf8(&line[..colon]).ok()?;
    let rest = std::str::from_utf8(&line[colon + 1..]).ok()?.trim_ascii();
    if key == "VmFlags" {
        return Some(Line::Flags(rest));
    }
    let value = match rest.strip_suffix("kB") {
        Some(kib) => Value::Bytes(kib.trim_ascii_end().parse::<u64>().ok()?.checked_mul(1024)?),
        None => Value::Number(rest.parse().ok()?),
    };
    Some(Line::Value { key, value })
}

/// The values of one mapping for the selected keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The mapping's addresses.
    pub range: Range<VirtAddr>,
    /// One per selected key; `None` if this kernel does not have the key.
    pub values: Vec<Option<Value>>,
    /// The VmFlags codes, separated by spaces, if selected.
    pub flags: Option<Box<str>>,
}

/// Finds the mapping with exactly these addresses, in mappings sorted as in smaps.
pub fn find<'m>(mappings: &'m [Values], range: &Range<VirtAddr>) -> Option<&'m Values> {
    let at = mappings.binary_search_by_key(&range.start, |m| m.range.start).ok()?;
    Some(&mappings[at]).filter(|m| m.range == *range)
}

/// The smaps keys that count pages with page-table entries.
pub const COUNTED: [&str; 4] = ["Rss", "Swap", "Shared_Hugetlb", "Private_Hugetlb"];

/// Whether a mapping can be skipped when pagemap has to be read word by word, which takes one second per TiB: it is larger than
/// 1 GiB and smaps counts nothing in it. Zero pages and markers in it are then missed. `values` are those of [`COUNTED`], in
/// this order, possibly followed by others.
pub fn may_pass_over(values: &Values) -> bool {
    let counted = values.values.iter().take(COUNTED.len());
    let nothing = counted.flatten().all(|value| matches!(value, Value::Bytes(0)));
    nothing && values.range.end.0 - values.range.start.0 > 1 << 30
}

/// Collects the selected keys of every mapping from the lines of smaps.
#[derive(Debug)]
pub struct Collector<'k> {
    keys: &'k [String],
    /// The mappings so far, in the order of the file.
    pub mappings: Vec<Values>,
}

/// The key that selects VmFlags.
pub const VM_FLAGS: &str = "VmFlags";

impl<'k> Collector<'k> {
    /// A collector for these keys.
    pub fn new(keys: &'k [String]) -> Self {
        Self { keys, mappings: Vec::new() }
    }

    /// Processes the next line. `path` and `number` are for the error.
    pub fn line(&mut self, line: &[u8], path: &Path, number: usize) -> Result<()> {
        match Line::parse(line, path, number)? {
            Line::Header(vma) => {
                let values = vec![None; self.keys.len()];
                self.mappings.push(Values { range: vma.range, values, flags: None });
            }
            Line::Value { key, value } => {
                if let Some(position) = self.keys.iter().position(|k| k == key) {
                    self.last(path, number)?.values[position] = Some(value);
                }
            }
            Line::Flags(codes) => {
                if self.keys.iter().any(|k| k == VM_FLAGS) {
                    self.last(path, number)?.flags = Some(codes.into());
                }
            }
        }
        Ok(())
    }

    fn last(&mut self, path: &Path, number: usize) -> Result<&mut Values> {
        self.mappings.last_mut().ok_or_else(|| Error::malformed(path, number, "value before the first mapping"))
    }
}

/// Every key of smaps from Linux 4.19 to 7.1. No kernel has all of them.
pub const KNOWN_KEYS: &[&str] = &[
    "Size",
    "KernelPageSize",
    "MMUPageSize",
    "Rss",
    "Pss",
    "Pss_Dirty",
    "Shared_Clean",
    "Shared_Dirty",
    "Private_Clean",
    "Private_Dirty",
    "Referenced",
    "Anonymous",
    "KSM",
    "LazyFree",
    "AnonHugePages",
    "ShmemPmdMapped",
    "FilePmdMapped",
    "Shared_Hugetlb",
    "Private_Hugetlb",
    "Swap",
    "SwapPss",
    "Locked",
    "THPeligible",
    "ProtectionKey",
    VM_FLAGS,
];

/// The keys with values without a unit; all others are sizes.
pub const NUMBERS: [&str; 2] = ["THPeligible", "ProtectionKey"];

/// The meaning of a VmFlags code, from the name of the kernel's `VM_` flag. `None` for unknown codes; the kernel prints `??`
/// for flags without a code. (fs/proc/task_mmu.c, show_smap_vma_flags)
pub fn vm_flag_meaning(code: &str) -> Option<&'static str> {
    let (_, meaning) = VM_FLAG_MEANINGS.iter().find(|(known, _)| *known == code)?;
    Some(meaning)
}

/// Every code of VmFlags from Linux 4.19 to 7.1 with its meaning.
pub const VM_FLAG_MEANINGS: &[(&str, &str)] = &[
    ("rd", "readable"),
    ("wr", "writable"),
    ("ex", "executable"),
    ("sh", "shared"),
    ("mr", "may-read"),
    ("mw", "may-write"),
    ("me", "may-execute"),
    ("ms", "may-share"),
    ("mp", "mpx"),
    ("gd", "grows-down"),
    ("pf", "pfn-map"),
    ("dw", "denies-write"),
    ("lo", "locked"),
    ("io", "io-memory"),
    ("sr", "sequential-read"),
    ("rr", "random-read"),
    ("dc", "not-copied-on-fork"),
    ("de", "not-expandable"),
    ("lf", "locked-on-fault"),
    ("ac", "accounted"),
    ("nr", "no-reserve"),
    ("ht", "hugetlb"),
    ("sf", "synchronous-fault"),
    ("ar", "arch-specific"),
    ("wf", "wiped-on-fork"),
    ("dd", "not-dumped"),
    ("sd", "soft-dirty"),
    ("mm", "mixed-map"),
    ("hg", "huge-page-advised"),
    ("nh", "no-huge-page"),
    ("mg", "mergeable"),
    ("bt", "branch-target-identification"),
    ("mt", "memory-tagging"),
    ("um", "userfaultfd-missing"),
    ("uw", "userfaultfd-write-protect"),
    ("ui", "userfaultfd-minor"),
    ("ss", "shadow-stack"),
    ("dp", "droppable"),
    ("sl", "sealed"),
    ("gu", "maybe-guard"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Line<'_>> {
        Line::parse(line.as_bytes(), Path::new("smaps"), 3)
    }

    #[test]
    fn every_form_of_line_is_understood() {
        assert_eq!(
            parse("Rss:                  12 kB").unwrap(),
            Line::Value { key: "Rss", value: Value::Bytes(12288) }
        );
        assert_eq!(
            parse("THPeligible:\t\t1").unwrap(),
            Line::Value { key: "THPeligible", value: Value::Number(1) },
            "Linux 5.4 has tabs there"
        );
        assert_eq!(parse("VmFlags: rd wr mr ?? ").unwrap(), Line::Flags("rd wr mr ??"));
        assert!(matches!(parse("00400000-00401000 r--p 00000000 fe:00 12 /x: y").unwrap(), Line::Header(_)));
        for bad in ["Rss: kB", "Rss: -1 kB", "Rss: 99999999999999999999 kB", "Rss: 18446744073709551615 kB", "Rss", ""]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn chosen_keys_are_collected_and_unknown_ones_pass_through() {
        let keys = ["Rss", "Novel", "Absent", VM_FLAGS].map(String::from);
        let mut collector = Collector::new(&keys);
        let text = "00400000-00401000 r--p 00000000 fe:00 12 /x\nSize: 4 kB\nRss: 4 kB\nNovel: 7\nVmFlags: rd\n\
                    00500000-00501000 r--p 00000000 fe:00 12 /x\nRss: 0 kB\nVmFlags: ";
        for (line, number) in text.split('\n').zip(1..) {
            collector.line(line.as_bytes(), Path::new("smaps"), number).unwrap();
        }
        let [first, second] = &collector.mappings[..] else { panic!("two mappings") };
        assert_eq!(first.values, [Some(Value::Bytes(4096)), Some(Value::Number(7)), None, None]);
        assert_eq!(first.flags.as_deref(), Some("rd"));
        assert_eq!(second.values, [Some(Value::Bytes(0)), None, None, None]);
        assert_eq!(second.flags.as_deref(), Some(""));
    }

    #[test]
    fn a_value_before_any_mapping_is_refused() {
        let keys = ["Rss".to_owned()];
        assert!(Collector::new(&keys).line(b"Rss: 4 kB", Path::new("s"), 1).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(line in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Line::parse(&line, Path::new("s"), 1);
        }
    }
}
