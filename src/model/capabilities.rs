//! Capabilities, as `CapEff` of `/proc/PID/status` has them. (include/uapi/linux/capability.h)

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// A capability that opens something pmem reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its bit.
    pub bit: u32,
    /// Its name, as `capsh` and `capabilities(7)` write it.
    pub name: &'static str,
    /// What pmem can see with it.
    pub opens: &'static str,
}

/// The capabilities that matter here.
pub const RELEVANT: &[Capability] = &[
    Capability {
        bit: 2,
        name: "CAP_DAC_READ_SEARCH",
        opens: "kpageflags, kpagecount, kpagecgroup, slabinfo; pagemap of others",
    },
    Capability { bit: 3, name: "CAP_FOWNER", opens: "what is cached of files that others own" },
    Capability { bit: 19, name: "CAP_SYS_PTRACE", opens: "maps, smaps and pagemap of other users' processes" },
    Capability { bit: 21, name: "CAP_SYS_ADMIN", opens: "frame numbers and swap slots in pagemap, addresses in iomem" },
    Capability {
        bit: 38,
        name: "CAP_PERFMON",
        opens: "maps, smaps and pagemap of others, instead of CAP_SYS_PTRACE (Linux 6.15 and later)",
    },
];

impl Capabilities {
    /// The effective set in the text of a `status` file.
    pub fn effective(status: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(super::status::field(status, "CapEff")?).ok()?;
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// Whether the set has a capability.
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
