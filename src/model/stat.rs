//! `/proc/PID/stat`: the identity of a process.
//!
//! The name in it is not used: the kernel escapes it here, but not in `/proc/PID/comm`.
//!
//! The parser of the `procfs` crate is not used: it panics if the first `)` comes before the first `(`, which the kernel never
//! writes but a recorded tree can contain.

use std::path::Path;

use crate::error::{Error, Result};

/// What pmem needs of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 1: its PID, in the PID namespace of the procfs it was read from.
    pub pid: u32,
    /// Field 3: `R`, `S`, `D`, `T`, `Z`, …
    pub state: u8,
    /// Field 4: its parent.
    pub parent: u32,
    /// Field 9: the kernel's `PF_` flags.
    pub flags: u64,
    /// Fields 10 and 12: minor and major faults.
    pub faults: (u64, u64),
    /// Field 22: the start time in clock ticks since boot (`sysconf(_SC_CLK_TCK)` per second). Together with the PID it
    /// identifies the process.
    pub start_time_ticks: u64,
}

impl Stat {
    /// Parses the file. `path` is for the error.
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        parse(text).ok_or_else(|| Error::malformed(path, 1, "not a line of stat"))
    }

    /// Whether it is a kernel thread (PF_KTHREAD), which has no address space.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & 0x0020_0000 != 0
    }

    /// Whether it is a zombie: exited but not yet reaped, without an address space.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether it is exiting (PF_EXITING): it loses its address space before it becomes a zombie.
    pub fn is_exiting(&self) -> bool {
        self.flags & 0x4 != 0
    }
}

/// The name is in parentheses and may contain parentheses, so the last closing one ends it.
fn parse(text: &[u8]) -> Option<Stat> {
    let pid = std::str::from_utf8(&text[..memchr::memchr(b' ', text)?]).ok()?.parse().ok()?;
    let close = memchr::memrchr(b')', text)?;
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    // Fields are numbered from 1; the state is the third.
    let parent = fields.next()?.parse().ok()?;
    let flags = fields.nth(9 - 5)?.parse().ok()?;
    let minor = fields.next()?.parse().ok()?;
    let major = fields.nth(12 - 11)?.parse().ok()?;
    let start_time_ticks = fields.nth(22 - 13)?.parse().ok()?;
    Some(Stat { pid, state, parent, flags, faults: (minor, major), start_time_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REST: &[u8] = b" S 77 5 5 0 -1 2097216 31 0 7 0 0 0 0 0 20 0 1 0 4242 0 0 184 0\n";

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        for comm in [&b"cat"[..], b"a) R 1 (b", b"\x1b[2J\n)", b"", b"\xff ("] {
            let mut line = b"12 (".to_vec();
            line.extend(comm);
            line.push(b')');
            line.extend(REST);
            let stat = Stat::parse(&line, Path::new("stat")).unwrap();
            assert_eq!((stat.pid, stat.state, stat.parent), (12, b'S', 77));
            assert_eq!((stat.faults, stat.start_time_ticks), ((31, 7), 4242));
            assert!(stat.is_kernel_thread() && !stat.is_zombie());
        }
    }

    #[test]
    fn what_is_no_stat_line_is_refused() {
        for bad in [&b""[..], b"1 cat S 1", b")(", b"1 (cat) S 1 2", b"(", b"1 (cat)"] {
            assert!(Stat::parse(bad, Path::new("stat")).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Stat::parse(&text, Path::new("stat"));
        }
    }
}
