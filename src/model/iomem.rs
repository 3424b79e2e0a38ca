//! `/proc/iomem`: the physical address ranges of System RAM. (kernel/resource.c)

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Result};
use crate::unit::hexadecimal;

/// Parses the file: the ranges named `System RAM`, with or without a suffix (`System RAM (kmem)`), in bytes, in the order of
/// the file. Memory added by a driver is nested below its device, so the depth is ignored. Empty if the file shows zeros
/// instead of addresses, as it does without CAP_SYS_ADMIN.
///
/// # Errors
/// [`Error::Malformed`].
pub fn parse(text: &[u8], path: &Path) -> Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (line, number) in text.split(|&b| b == b'\n').zip(1..).filter(|(line, _)| !line.is_empty()) {
        let (first, last, name) =
            parse_line(line).ok_or_else(|| Error::malformed(path, number, "expected 'FIRST-LAST : NAME'"))?;
        if name.starts_with(b"System RAM") && last > 0 {
            let range = first..last.saturating_add(1);
            let nested = ranges.last().is_some_and(|outer| outer.start <= range.start && range.end <= outer.end);
            ranges.extend((!nested).then_some(range));
        }
    }
    Ok(ranges)
}

/// The first address, the last, and the name.
fn parse_line(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let split = line.windows(3).position(|three| three == b" : ")?;
    let (first, last) = std::str::from_utf8(&line[..split]).ok()?.trim_start().split_once('-')?;
    let (first, last) = (hexadecimal(first)?, hexadecimal(last)?);
    (first <= last).then_some((first, last, &line[split + 3..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-bfffffff : System RAM
  01000000-0220bb07 : Kernel code
  02000000-020fffff : System RAM
100000000-63fffffff : System RAM
840000000-a3fffffff : CXL Window 0
  840000000-a3fffffff : dax0.0
    840000000-a3fffffff : System RAM (kmem)
";

    fn parsed(text: &[u8]) -> Result<Vec<Range<u64>>> {
        parse(text, Path::new("iomem"))
    }

    #[test]
    fn memory_is_found_wherever_it_stands_and_once() {
        let ram = parsed(TEXT.as_bytes()).unwrap();
        let expected =
            [0x1000..0x9_fc00, 0x10_0000..0xc000_0000, 0x1_0000_0000..0x6_4000_0000, 0x8_4000_0000..0xa_4000_0000];
        assert_eq!(ram, expected);
    }

    #[test]
    fn zeros_are_no_addresses() {
        let text = "00000000-00000000 : Reserved\n00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n";
        assert_eq!(parsed(text.as_bytes()).unwrap(), []);
        assert_eq!(parsed(b"").unwrap(), []);
    }

    #[test]
    fn what_is_no_iomem_is_refused() {
        for bad in [
            &b"x"[..],
            b"0-1 System RAM",
            b"0-g : System RAM",
            b"0-+1 : System RAM",
            b"2-1 : System RAM",
            b"1 : System RAM",
        ] {
            assert!(matches!(parsed(bad), Err(Error::Malformed { line: 1, .. })), "{bad:?}");
        }
        let ram = parsed(b"0-ffffffffffffffff : System RAM \xff\n").unwrap();
        assert_eq!(ram, std::iter::once(0..u64::MAX).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parsed(&text);
        }

        #[test]
        fn a_damaged_file_gives_a_value_or_an_error(at in 0..TEXT.len(), byte in any::<u8>()) {
            let mut text = TEXT.as_bytes().to_vec();
            text[at] = byte;
            let _ = parsed(&text);
        }
    }
}
