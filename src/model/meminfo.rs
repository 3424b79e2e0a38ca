//! `/proc/meminfo`: the kernel's account of the machine's memory. (fs/proc/meminfo.c)

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meminfo(Vec<(String, Value)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Bytes(u64),
    Count(u64),
}

/// Keys that every kernel since Linux 4.19 has, in every configuration.
pub const ALWAYS: [&str; 23] = [
    "MemTotal",
    "MemFree",
    "Buffers",
    "Cached",
    "SwapCached",
    "Active(anon)",
    "Inactive(anon)",
    "Active(file)",
    "Inactive(file)",
    "Unevictable",
    "Dirty",
    "Writeback",
    "AnonPages",
    "Mapped",
    "Shmem",
    "Slab",
    "SReclaimable",
    "SUnreclaim",
    "KernelStack",
    "PageTables",
    "Committed_AS",
    "VmallocTotal",
    "VmallocUsed",
];

/// Why the file is incomplete; `None` if it looks complete.
pub fn torn(text: &[u8]) -> Option<String> {
    let found = Meminfo::parse(text);
    let missing: Vec<&str> = ALWAYS.into_iter().filter(|key| found.bytes(key).is_none()).collect();
    if !missing.is_empty() {
        let text = "the file is truncated or damaged: every kernel since Linux 4.19 has";
        return Some(format!("{text} {}, which are missing", missing.join(", ")));
    }
    (!text.ends_with(b"\n")).then(|| "the file is truncated: its last line is incomplete".to_owned())
}

impl Meminfo {
    /// Parses the file. Lines in any other form are skipped, as are sizes in kB that overflow in bytes: a missing value is
    /// unknown anyway. A count on an unterminated last line is skipped too: it may lack digits, or a unit.
    pub fn parse(text: &[u8]) -> Self {
        let parsed = |line: &[u8]| {
            let whole = line.ends_with(b"\n");
            let (key, value) = parse_line(std::str::from_utf8(line.trim_ascii_end()).ok()?)?;
            (whole || matches!(value, Value::Bytes(_))).then_some((key, value))
        };
        Self(text.split_inclusive(|&b| b == b'\n').filter_map(parsed).collect())
    }

    /// A size, in bytes; `None` if this kernel does not have it, or if it is not a size (`HugePages_*`).
    pub fn bytes(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Bytes(bytes) => Some(bytes),
            Value::Count(_) => None,
        }
    }

    /// A count (`HugePages_*`: huge pages); `None` if this kernel does not have it, or if it is a size.
    pub fn count(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Bytes(_) => None,
            Value::Count(count) => Some(count),
        }
    }

    /// All keys in the kernel's order, each with its number and whether that is a size in bytes (otherwise a count).
    pub fn keys(&self) -> impl Iterator<Item = (&str, u64, bool)> {
        self.0.iter().map(|(key, value)| match value {
            Value::Bytes(bytes) => (key.as_str(), *bytes, true),
            Value::Count(count) => (key.as_str(), *count, false),
        })
    }

    fn value(&self, key: &str) -> Option<Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }
}

fn parse_line(line: &str) -> Option<(String, Value)> {
    let (key, value) = line.split_once(':')?;
    let value = value.trim();
    let value = match value.strip_suffix(" kB") {
        Some(kib) => Value::Bytes(kib.parse::<u64>().ok()?.checked_mul(1024)?),
        None => Value::Count(value.parse().ok()?),
    };
    Some((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_in_bytes_and_counts_are_counts() {
        let text = b"MemTotal:       24684084 kB\nActive(anon):       1540 kB\nVmallocTotal:   34359738367 kB\n\
                     HugePages_Total:       3\nHugepagesize:       2048 kB\nAnonPages:         15652 kB\n";
        let meminfo = Meminfo::parse(text);
        assert_eq!(meminfo.bytes("AnonPages"), Some(15652 << 10));
        assert_eq!(meminfo.bytes("Active(anon)"), Some(1540 << 10));
        assert_eq!(meminfo.bytes("VmallocTotal"), Some(34_359_738_367 << 10));
        assert_eq!((meminfo.count("HugePages_Total"), meminfo.bytes("HugePages_Total")), (Some(3), None));
        assert_eq!((meminfo.bytes("Hugepagesize"), meminfo.count("Hugepagesize")), (Some(2 << 20), None));
        assert_eq!(meminfo.bytes("Anon"), None);
        let keys: Vec<_> = meminfo.keys().collect();
        assert_eq!((keys[1], keys[3]), (("Active(anon)", 1540 << 10, true), ("HugePages_Total", 3, false)));
    }

    #[test]
    fn a_recorded_machine_is_read() {
        let meminfo = Meminfo::parse(include_bytes!("../../fixtures/6.12/kinds/proc/meminfo"));
        assert_eq!(meminfo.bytes("Hugepagesize"), Some(2 << 20));
        assert!(meminfo.bytes("MemFree") < meminfo.bytes("MemTotal"));
        assert!(meminfo.count("HugePages_Free").is_some());
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        let meminfo = Meminfo::parse(b"A 1 kB\nB: x kB\nC: 18446744073709551615 kB\nD: 1 MB\n\xff: 1 kB\n: \nE:\t7 kB");
        assert_eq!(meminfo, Meminfo(vec![("E".to_owned(), Value::Bytes(7 << 10))]));
    }

    #[test]
    fn a_torn_file_is_told() {
        let whole = &include_bytes!("../../fixtures/6.12/kinds/proc/meminfo")[..];
        assert_eq!(torn(whole), None);
        for cut in 1..whole.len() {
            let found = torn(&whole[..cut]);
            // After the last key that all kernels have, the end of any line may be the end of the file on some kernel.
            assert!(found.is_some() || whole[cut - 1] == b'\n' && cut > 1000, "{cut}");
        }
        let why = torn(b"MemTotal: 3 kB\nMemFree: 1 kB\n").unwrap();
        assert!(why.contains("AnonPages, ") && !why.contains("MemFree"), "{why}");
        assert_eq!(Meminfo::parse(b"HugePages_Total:  1").count("HugePages_Total"), None, "it may lack digits");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(text in prop::collection::vec(any::<u8>(), 0..200)) {
            Meminfo::parse(&text);
        }
    }
}
