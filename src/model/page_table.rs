//! The levels of page tables, and the address bits that index each level: pure arithmetic.
//!
//! A table is one page of 8-byte entries, so each level uses three bits fewer than the page offset; the top level uses the
//! remaining bits. (Documentation/arch/x86/x86_64/mm.rst, Documentation/arch/arm64/memory.rst)

use crate::unit::{PageSize, VirtAddr};

/// One level of page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The kernel's name for it: `PGD`, `P4D`, `PUD`, `PMD` or `PTE`.
    pub name: &'static str,
    /// The lowest bit of the index: an entry covers 2^shift bytes.
    pub shift: u32,
    /// The number of index bits.
    pub bits: u32,
}

impl Level {
    /// The index of the entry for an address.
    pub fn index(&self, address: VirtAddr) -> u64 {
        address.0 >> self.shift & ((1 << self.bits) - 1)
    }
}

/// The levels of a machine's page tables, from the top down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels(Vec<Level>);

/// The names for each number of levels, from 2 on: with fewer than five, the kernel folds the middle ones.
const NAMES: [&[&str]; 4] =
    [&["PGD", "PTE"], &["PGD", "PMD", "PTE"], &["PGD", "PUD", "PMD", "PTE"], &["PGD", "P4D", "PUD", "PMD", "PTE"]];

impl Levels {
    /// The levels that translate addresses of `address_bits` bits; `None` if no supported number of levels does.
    pub fn new(page_size: PageSize, address_bits: u32) -> Option<Self> {
        let page_shift = page_size.bytes().trailing_zeros();
        let bits = page_shift - 3;
        let translated = address_bits.min(64).checked_sub(page_shift)?;
        let names = NAMES.get((translated.div_ceil(bits) as usize).checked_sub(2)?)?;
        let level = |(below, name): (u32, &&'static str)| {
            let shift = page_shift + below * bits;
            Level { name, shift, bits: bits.min(page_shift + translated - shift) }
        };
        let mut levels: Vec<Level> = (0..).zip(names.iter().rev()).map(level).collect();
        levels.reverse();
        Some(Self(levels))
    }

    /// The levels of a machine, from its architecture (`uname -m`), the end of its user address space, and its own statement of
    /// the number of levels, if any. `None` if they cannot be derived.
    pub fn of(arch: &str, page_size: PageSize, user_end: u64, told: Option<u32>) -> Option<Self> {
        let user_bits = 64 - user_end.saturating_sub(1).leading_zeros();
        let address_bits = match (arch, told) {
            // The kernel's half shares the top table, so all of its entries are used.
            ("x86_64" | "riscv64", Some(levels @ 2..=5)) => 12 + 9 * levels,
            ("x86_64" | "riscv64", _) => user_bits + 1,
            // The kernel has its own top table.
            ("aarch64" | "loongarch64", _) => user_bits,
            _ => return None,
        };
        Self::new(page_size, address_bits)
    }

    /// All levels, from the top down.
    pub fn all(&self) -> &[Level] {
        &self.0
    }

    /// The level that maps pages of `bytes` bytes: the highest level with entries that cover no more (a page mapped by several
    /// contiguous entries, as on arm64, is mapped at their level).
    pub fn mapping(&self, bytes: u64) -> &Level {
        let fits = |level: &&Level| 1 << level.shift <= bytes;
        // There are at least two levels.
        self.0.iter().find(fits).unwrap_or(&self.0[self.0.len() - 1])
    }

    /// The level above the lowest, where entries can map transparent huge pages.
    pub fn huge(&self) -> &Level {
        &self.0[self.0.len() - 2]
    }

    /// The number of translated address bits.
    pub fn address_bits(&self) -> u32 {
        self.0[0].shift + self.0[0].bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_size(kib: u64) -> PageSize {
        PageSize::new(kib * 1024).unwrap()
    }

    fn walk(levels: &Levels, address: u64) -> Vec<(&'static str, u64)> {
        levels.all().iter().map(|level| (level.name, level.index(VirtAddr(address)))).collect()
    }

    /// Shifts and bits as in the kernel's documentation.
    #[test]
    fn levels_are_those_of_the_kernels_documents() {
        const X86_4: u64 = (1 << 47) - 4096;
        const X86_5: u64 = (1 << 56) - 4096;
        type Shape<'a> = &'a [(&'a str, u32, u32)];
        let shape: &[(&str, u64, u64, Option<u32>, Shape<'_>)] = &[
            ("x86_64", 4, X86_4, None, &[("PGD", 39, 9), ("PUD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)]),
            // Linux up to about 6.11 accepts any address in the lower half: only the machine's own statement helps.
            ("x86_64", 4, (1 << 63) - 4096, Some(4), &[("PGD", 39, 9), ("PUD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)]),
            (
                "x86_64",
                4,
                X86_5,
                Some(5),
                &[("PGD", 48, 9), ("P4D", 39, 9), ("PUD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)],
            ),
            ("aarch64", 4, 1 << 39, None, &[("PGD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)]),
            ("aarch64", 4, 1 << 48, None, &[("PGD", 39, 9), ("PUD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)]),
            (
                "aarch64",
                4,
                1 << 52,
                None,
                &[("PGD", 48, 4), ("P4D", 39, 9), ("PUD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)],
            ),
            ("aarch64", 16, 1 << 36, None, &[("PGD", 25, 11), ("PTE", 14, 11)]),
            ("aarch64", 16, 1 << 47, None, &[("PGD", 36, 11), ("PMD", 25, 11), ("PTE", 14, 11)]),
            ("aarch64", 16, 1 << 48, None, &[("PGD", 47, 1), ("PUD", 36, 11), ("PMD", 25, 11), ("PTE", 14, 11)]),
            ("aarch64", 64, 1 << 42, None, &[("PGD", 29, 13), ("PTE", 16, 13)]),
            ("aarch64", 64, 1 << 48, None, &[("PGD", 42, 6), ("PMD", 29, 13), ("PTE", 16, 13)]),
            ("aarch64", 64, 1 << 52, None, &[("PGD", 42, 10), ("PMD", 29, 13), ("PTE", 16, 13)]),
            ("riscv64", 4, 1 << 38, Some(3), &[("PGD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)]),
            ("riscv64", 4, 1 << 38, None, &[("PGD", 30, 9), ("PMD", 21, 9), ("PTE", 12, 9)]),
            ("loongarch64", 16, 1 << 47, None, &[("PGD", 36, 11), ("PMD", 25, 11), ("PTE", 14, 11)]),
        ];
        for (arch, kib, user_end, told, expected) in shape {
            let levels = Levels::of(arch, page_size(*kib), *user_end, *told);
            let levels = levels.unwrap_or_else(|| panic!("{arch}, {kib} KiB, {user_end:#x}"));
            let found: Vec<_> = levels.all().iter().map(|level| (level.name, level.shift, level.bits)).collect();
            assert_eq!(found, *expected, "{arch}, {kib} KiB, {user_end:#x}");
        }
    }

    #[test]
    fn what_does_not_tell_is_not_guessed() {
        for (arch, user_end, told) in [
            ("x86_64", (1 << 63) - 4096, None),
            ("x86_64", 0, None),
            ("x86_64", u64::MAX, Some(9)),
            ("aarch64", 0, Some(4)),
            ("aarch64", u64::MAX, None),
            ("ppc64le", 1 << 47, Some(4)),
            ("", 1 << 47, None),
        ] {
            assert_eq!(Levels::of(arch, page_size(4), user_end, told), None, "{arch}, {user_end:#x}");
        }
    }

    /// Computed by hand from the digits of the address.
    #[test]
    fn indices_are_those_worked_out_by_hand() {
        let x86 = |levels| Levels::of("x86_64", page_size(4), (1 << 63) - 4096, Some(levels)).unwrap();
        let arm = |kib, bits: u32| Levels::of("aarch64", page_size(kib), 1 << bits, None).unwrap();
        // 0x7f1668a3c123 = 0111 1111 0|001 0110 01|10 1000 101|0 0011 1100 |0001 0010 0011
        assert_eq!(walk(&x86(4), 0x7f16_68a3_c123), [("PGD", 254), ("PUD", 89), ("PMD", 325), ("PTE", 60)]);
        // 0x00ab_7f1668a3c123: 0xab above the same.
        assert_eq!(
            walk(&x86(5), 0xab_7f16_68a3_c123),
            [("PGD", 0xab), ("P4D", 254), ("PUD", 89), ("PMD", 325), ("PTE", 60)]
        );
        // [vsyscall]: all ones, but for 0x600000 = bits 21 and 22.
        assert_eq!(walk(&x86(4), 0xffff_ffff_ff60_0000), [("PGD", 511), ("PUD", 511), ("PMD", 507), ("PTE", 0)]);
        // 0xffff9f3d2345 = 1111 1111 1|111 1111 10|01 1111 001|1 1101 0010 |…
        assert_eq!(walk(&arm(4, 48), 0xffff_9f3d_2345), [("PGD", 511), ("PUD", 510), ("PMD", 249), ("PTE", 466)]);
        // 1|111 1111 1111| 1111 1001 111|1 0011 1101 00|10 0011 0100 0101: parts of 1, 11, 11, 11 and 14 bits.
        assert_eq!(walk(&arm(16, 48), 0xffff_9f3d_2345), [("PGD", 1), ("PUD", 2047), ("PMD", 1999), ("PTE", 1268)]);
        // 1111 11|11 1111 1111 100|1 1111 0011 1101| 0x2345: parts of 6, 13, 13 and 16 bits.
        assert_eq!(walk(&arm(64, 48), 0xffff_9f3d_2345), [("PGD", 63), ("PMD", 8188), ("PTE", 0x1f3d)]);
        assert_eq!(walk(&arm(4, 52), 0xf_ffff_9f3d_2345)[..2], [("PGD", 15), ("P4D", 511)]);
        assert_eq!(walk(&arm(64, 52), 0xf_ffff_9f3d_2345), [("PGD", 1023), ("PMD", 8188), ("PTE", 0x1f3d)]);
    }

    #[test]
    fn pages_are_mapped_at_the_level_that_covers_no_more() {
        let x86 = Levels::of("x86_64", page_size(4), 1 << 47, None).unwrap();
        let arm = Levels::of("aarch64", page_size(64), 1 << 48, None).unwrap();
        for (levels, bytes, name) in [
            (&x86, 4096, "PTE"),
            (&x86, 2 << 20, "PMD"),
            (&x86, 1 << 30, "PUD"),
            (&arm, 65536, "PTE"),
            // 32 contiguous entries.
            (&arm, 2 << 20, "PTE"),
            (&arm, 512 << 20, "PMD"),
            (&arm, 0, "PTE"),
        ] {
            assert_eq!(levels.mapping(bytes).name, name, "{bytes}");
        }
        assert_eq!((x86.huge().shift, arm.huge().shift), (21, 29));
        assert_eq!((x86.address_bits(), arm.address_bits()), (48, 48));
    }

    proptest::proptest! {
        #[test]
        fn indices_and_the_offset_make_up_the_address(address in 0u64..1 << 52, kib in 0usize..3) {
            for bits in [39, 42, 47, 48, 52] {
                let page_size = page_size([4, 16, 64][kib]);
                let Some(levels) = Levels::new(page_size, bits) else { continue };
                let address = address & ((1 << bits) - 1);
                let sum: u64 = levels.all().iter().map(|level| level.index(VirtAddr(address)) << level.shift).sum();
                proptest::prop_assert_eq!(sum + address % page_size.bytes(), address);
            }
        }

        #[test]
        fn any_machine_gives_levels_or_none(user_end in proptest::num::u64::ANY, told in proptest::option::of(0u32..9), shift in 12u32..21) {
            for arch in ["x86_64", "aarch64", "riscv64"] {
                if let Some(levels) = Levels::of(arch, PageSize::new(1 << shift).unwrap(), user_end, told) {
                    let _ = walk(&levels, u64::MAX);
                }
            }
        }
    }
}
