//! `/proc/PID/maps`: the mappings (VMAs) of an address space.

use std::ops::Range;
use std::path::Path;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::name::Name;
use crate::unit::VirtAddr;

/// The permissions of a mapping, as in `maps`: `r` or `-`, `w` or `-`, `x` or `-`, `s` or `p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perm(pub [u8; 4]);

impl Perm {
    /// The four letters.
    pub fn as_str(&self) -> &str {
        // The parser accepts ASCII only.
        std::str::from_utf8(&self.0).unwrap_or("????")
    }

    /// Whether it may be read.
    pub fn is_readable(self) -> bool {
        self.0[0] == b'r'
    }

    /// Whether it may be written.
    pub fn is_writable(self) -> bool {
        self.0[1] == b'w'
    }

    /// Whether it is a shared mapping (`MAP_SHARED`).
    pub fn is_shared(self) -> bool {
        self.0[3] == b's'
    }
}

impl Serialize for Perm {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A device number; major 0 means a file system without a device (tmpfs, overlay, …).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dev {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl std::fmt::Display for Dev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}:{:02x}", self.major, self.minor)
    }
}

impl Serialize for Dev {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One line of `maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma {
    /// Its addresses.
    pub range: Range<VirtAddr>,
    /// Its permissions.
    pub perm: Perm,
    /// Its offset in the file, in bytes.
    pub offset: u64,
    /// The device of the file.
    pub dev: Dev,
    /// The inode of the file; for SysV shared memory, the segment ID.
    pub inode: u64,
    /// The name, with newlines escaped as `\012` and the suffix ` (deleted)`, as printed by the kernel.
    pub name: Name,
}

impl Vma {
    /// Parses one line, without its newline. `path` and `number` are for the error.
    pub fn parse(line: &[u8], path: &Path, number: usize) -> Result<Self> {
        parse(line).ok_or_else(|| Error::malformed(path, number, "not a line of maps"))
    }

    /// Whether the name contains `\012`, which may be an escaped newline or those four literal characters.
    pub fn has_doubtful_name(&self) -> bool {
        !self.name.is_empty() && memchr::memmem::find(self.name.bytes(), b"\\012").is_some()
    }

    /// The part of the VMA from `clear_from` on, which is the end of the previous VMA; `None` if nothing is left.
    ///
    /// The kernel returns `maps` in pieces and lets the process change its mappings in between, so a VMA can appear twice, or
    /// overlap the one before it (30 of 3.1 million lines under churn).
    pub fn clipped(mut self, clear_from: VirtAddr) -> Option<Self> {
        self.range.start = self.range.start.max(clear_from);
        (!self.range.is_empty()).then_some(self)
    }
}

/// `%08lx-%08lx rwx[sp] %08llx MM:mm ino`, then at least one space, then the name to the end of the line. (fs/proc/task_mmu.c)
fn parse(line: &[u8]) -> Option<Vma> {
    let (start, rest) = hex(line, b'-')?;
    let (end, rest) = hex(rest, b' ')?;
    let (perm, rest) = rest.split_first_chunk::<4>()?;
    if start >= end || !perm.iter().all(|b| b"rwxsp-".contains(b)) {
        return None;
    }
    let range = VirtAddr(start)..VirtAddr(end);
    // This is a third of the work per line, and most lines of a process with very many mappings end like this.
    if rest == b" 00000000 00:00 0 " {
        return Some(Vma { range, perm: Perm(*perm), offset: 0, dev: Dev::default(), inode: 0, name: Name::default() });
    }
    let (offset, rest) = hex(rest.strip_prefix(b" ")?, b' ')?;
    let (major, rest) = hex(rest, b':')?;
    let (minor, rest) = hex(rest, b' ')?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let inode = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    // Only spaces are padding: a name may begin with a tab.
    let padding = rest[digits..].iter().take_while(|&&b| b == b' ').count();
    let name = &rest[digits + padding..];
    Some(Vma {
        range,
        perm: Perm(*perm),
        offset,
        dev: Dev { major: u32::try_from(major).ok()?, minor: u32::try_from(minor).ok()? },
        inode,
        name: Name::new(name),
    })
}

/// The hexadecimal number up to `until`, and the rest.
fn hex(text: &[u8], until: u8) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        let digit = DIGIT[usize::from(*byte)];
        if digit == NO_DIGIT {
            return (*byte == until && rest.len() < text.len()).then_some((value, behind));
        }
        if value >> 60 != 0 {
            return None;
        }
        value = value << 4 | u64::from(digit);
        rest = behind;
    }
    None
}

const NO_DIGIT: u8 = 0xff;

/// The value of a hexadecimal digit, in lower case as the kernel prints them.
const DIGIT: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0;
    while value < digits.len() {
        table[digits[value] as usize] = value as u8;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vma(line: &str) -> Vma {
        Vma::parse(line.as_bytes(), Path::new("maps"), 1).unwrap()
    }

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let v = vma("7f1668800000-7f1671d4b000 rw-s 0000a000 fe:01 1234567890123                 /dev/zero (deleted)");
        assert_eq!(v.range, VirtAddr(0x7f16_6880_0000)..VirtAddr(0x7f16_71d4_b000));
        assert_eq!((v.perm.as_str(), v.perm.is_shared()), ("rw-s", true));
        assert_eq!((v.offset, v.dev, v.inode), (0xa000, Dev { major: 0xfe, minor: 1 }, 1_234_567_890_123));
        assert_eq!(v.name.bytes(), b"/dev/zero (deleted)");

        assert!(vma("210000000000-210000001000 rw-p 00000000 00:00 0 ").name.is_empty());
        let vsyscall = vma("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]");
        assert!(vsyscall.range.start.is_kernel());
    }

    #[test]
    fn a_name_is_everything_to_the_end_of_the_line() {
        for name in ["/a b  c", "/SYSVx", "/tab\there", "/x) (deleted)", "/memfd: (deleted)"] {
            let line = format!("00400000-00401000 r--p 00000000 fe:00 12                         {name}");
            assert_eq!(vma(&line).name.bytes(), name.as_bytes());
        }
        let line = b"00400000-00401000 r--p 00000000 fe:00 12 /\xff\x1b[2J\xc2";
        assert_eq!(Vma::parse(line, Path::new("m"), 1).unwrap().name.bytes(), b"/\xff\x1b[2J\xc2");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for bad in [
            "",
            "00400000",
            "00401000-00400000 r--p 00000000 fe:00 12 ",
            "00400000-00401000 r--p 00000000 fe:00",
            "00400000-00401000 r--p 00000000 fe:00 99999999999999999999 ",
            "100000000000000000-100000000000000001 r--p 00000000 fe:00 1 ",
            "00400000-00401000 abcd 00000000 fe:00 12 ",
        ] {
            let error = Vma::parse(bad.as_bytes(), Path::new("m"), 7).unwrap_err();
            assert!(matches!(error, Error::Malformed { line: 7, .. }), "{bad:?}");
        }
    }

    #[test]
    fn a_torn_read_is_clipped() {
        let line = |from: u64, to: u64| vma(&format!("{from:08x}-{to:08x} rw-p 00000000 00:00 0 "));
        let clipped = |from, to| line(from, to).clipped(VirtAddr(0x3000)).map(|v| (v.range.start.0, v.range.end.0));
        assert_eq!(clipped(0x3000, 0x4000), Some((0x3000, 0x4000)));
        assert_eq!(clipped(0x2000, 0x5000), Some((0x3000, 0x5000)));
        assert_eq!(clipped(0x1000, 0x3000), None);
        assert_eq!(clipped(0x1000, 0x2000), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(line in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Vma::parse(&line, Path::new("m"), 1);
        }

        #[test]
        fn bytes_like_a_line_give_a_value_or_an_error(line in "[0-9a-f]{0,17}-[0-9a-f]{0,17} [rwxsp-]{4} [0-9a-f]{0,9} [0-9a-f]{1,3}:[0-9a-f]{1,3} [0-9]{0,21}.{0,9}") {
            let _ = Vma::parse(line.as_bytes(), Path::new("m"), 1);
        }
    }
}
