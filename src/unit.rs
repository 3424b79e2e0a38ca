//! The basic quantities: addresses, page frame numbers and the size of a page.

use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

/// `a - b`, saturating (a recorded tree can claim any number).
pub fn difference(a: u64, b: u64) -> i64 {
    let difference = i128::from(a) - i128::from(b);
    i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
}

/// A number in hexadecimal, with or without `0x`. (The standard library's parsers also accept a sign.)
pub fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| all)
}

/// A number in decimal, without a sign.
pub fn decimal(text: &str) -> Option<u64> {
    let all = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

/// A size in the largest unit of which it is a whole number: `2 MiB`.
pub fn whole_size(bytes: usize) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(bits, _)| bytes != 0 && bytes.trailing_zeros() >= *bits);
    unit.map_or_else(|| format!("{bytes} B"), |(bits, unit)| format!("{} {unit}", bytes >> bits))
}

/// A physical address, in bytes. Shown as `0x…`, in JSON as a hexadecimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for PhysAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A virtual address, in bytes. Shown as `0x…`, in JSON as a hexadecimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct VirtAddr(pub u64);

impl VirtAddr {
    /// Whether the address is in the upper half of the address space, which no process's page tables cover.
    ///
    /// `[vsyscall]` on x86-64 is the only mapping in `/proc/PID/maps` there: a walk that adds chunks to its address
    /// would overflow and start again from zero.
    pub fn is_kernel(self) -> bool {
        self.0 >= 1 << 63
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for VirtAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A page frame number: a physical address divided by the page size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Pfn(pub u64);

/// The machine's base page size in bytes: a power of two from 4 KiB to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u64);

impl PageSize {
    /// The page size, unless `bytes` cannot be one.
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes.is_power_of_two() && (4096..=1 << 20).contains(&bytes)).then_some(Self(bytes))
    }

    /// The size of a page in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The number of whole pages in `bytes`.
    pub fn pages_in(self, bytes: u64) -> u64 {
        bytes >> self.0.trailing_zeros()
    }

    /// The size of `pages` pages in bytes, at most `u64::MAX`.
    pub fn bytes_of(self, pages: u64) -> u64 {
        pages.saturating_mul(self.0)
    }

    /// The physical address at which a frame begins.
    pub fn address_of(self, pfn: Pfn) -> PhysAddr {
        PhysAddr(pfn.0.saturating_mul(self.0))
    }

    /// The index of the page that contains `address`, which is also the index of its word in `/proc/PID/pagemap`.
    pub fn index_of(self, address: VirtAddr) -> u64 {
        self.pages_in(address.0)
    }

    /// The range of addresses, extended to whole pages.
    pub fn whole_pages(self, range: Range<VirtAddr>) -> Range<VirtAddr> {
        let end = range.end.0.checked_next_multiple_of(self.0).unwrap_or(u64::MAX - (self.0 - 1));
        VirtAddr(range.start.0 & !(self.0 - 1))..VirtAddr(end)
    }

    /// The number of pages that a range of addresses covers.
    pub fn pages_between(self, range: &Range<VirtAddr>) -> u64 {
        self.pages_in(range.end.0.saturating_sub(range.start.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_sizes_lose_nothing() {
        let said = [0, 7, 4096, 6 << 20, (1 << 30) + 1024, 64 << 40].map(whole_size);
        assert_eq!(said, ["0 B", "7 B", "4 KiB", "6 MiB", "1048577 KiB", "64 TiB"]);
    }

    #[test]
    fn page_sizes_that_exist_are_accepted_and_others_are_not() {
        for good in [4096, 16384, 65536] {
            assert_eq!(PageSize::new(good).map(PageSize::bytes), Some(good));
        }
        for bad in [0, 1, 4095, 5000, 1 << 21, u64::MAX] {
            assert_eq!(PageSize::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_no_sign() {
        assert_eq!((hexadecimal("0x1f"), hexadecimal("ffffffffffffffff")), (Some(31), Some(u64::MAX)));
        assert_eq!((decimal("12"), decimal("18446744073709551615")), (Some(12), Some(u64::MAX)));
        for wrong in ["", "0x", "+1", "-1", "0x+1", "1 ", "10000000000000000x", "fffffffffffffffff"] {
            assert_eq!((hexadecimal(wrong), decimal(wrong)), (None, None), "{wrong:?}");
        }
    }

    #[test]
    fn a_difference_stops_at_the_ends() {
        assert_eq!(difference(3, 5), -2);
        assert_eq!(difference(1 << 63, 0), i64::MAX);
        assert_eq!(difference(0, u64::MAX), i64::MIN);
    }

    #[test]
    fn only_the_upper_half_is_the_kernels() {
        assert!(VirtAddr(0xffff_ffff_ff60_0000).is_kernel());
        assert!(!VirtAddr(0x7fff_ffff_f000).is_kernel());
    }
}
