//! Capabilities, as in `CapEff` of `/proc/PID/status`. (include/uapi/linux/capability.h)

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// A capability that allows pmem to read something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its bit number.
    pub bit: u32,
    /// Its name, as in `capsh` and capabilities(7).
    pub name: &'static str,
    /// What it allows pmem to read.
    pub opens: &'static str,
}

/// The capabilities pmem can make use of.
pub const RELEVANT: &[Capability] = &[
    Capability {
        bit: 2,
        name: "CAP_DAC_READ_SEARCH",
        opens: "kpageflags, kpagecount, kpagecgroup, slabinfo; pagemap of other users' processes",
    },
    Capability { bit: 3, name: "CAP_FOWNER", opens: "the page cache of other users' files" },
    Capability { bit: 19, name: "CAP_SYS_PTRACE", opens: "maps, smaps and pagemap of other users' processes" },
    Capability { bit: 21, name: "CAP_SYS_ADMIN", opens: "frame numbers and swap slots in pagemap, addresses in iomem" },
    Capability { bit: 38, name: "CAP_PERFMON", opens: "the same as CAP_SYS_PTRACE (since Linux 6.15)" },
];

impl Capabilities {
    /// The effective set, from the text of a `status` file.
    pub fn effective(status: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(super::status::field(status, "CapEff")?).ok()?;
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// Whether the set contains a capability.
    pub fn has(self, capability: &Capability) -> bool {
        self.0 >> capability.bit & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read() {
        let some = Capabilities::effective(b"CapPrm:\t000001ffffffffff\nCapEff:\t0000000000200004\n").unwrap();
        let names: Vec<_> = RELEVANT.iter().filter(|c| some.has(c)).map(|c| c.name).collect();
        assert_eq!(names, ["CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"]);
        assert_eq!(Capabilities::effective(b"CapEff:\tx\n"), None);
    }
}
