//! Sizes and counts as people read them.

use crate::unit::PageSize;

/// The unit that sizes are shown in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// `1.2 MiB`: the largest unit that leaves at least one, with one decimal. Page counts stay counts.
    #[default]
    Human,
    /// Bytes.
    Bytes,
    /// Whole KiB.
    Kib,
    /// MiB with one decimal.
    Mib,
    /// Base pages.
    Pages,
}

/// How quantities are written: the unit and the page size.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The unit of sizes.
    pub unit: Unit,
    /// The base page size, for turning one into the other.
    pub page_size: PageSize,
}

impl Scale {
    /// Appends a size in bytes.
    pub fn size(&self, bytes: u64, out: &mut Vec<u8>) {
        match self.unit {
            Unit::Human => human(bytes, out),
            Unit::Bytes => grouped(bytes, out),
            Unit::Kib => grouped(bytes / 1024, out),
            Unit::Mib => tenths(u128::from(bytes), 1 << 20, out),
            Unit::Pages => grouped(self.page_size.pages_in(bytes), out),
        }
    }

    /// Appends a number of pages: a count, unless a unit of sizes was asked for.
    pub fn pages(&self, pages: u64, out: &mut Vec<u8>) {
        match self.unit {
            Unit::Human | Unit::Pages => grouped(pages, out),
            Unit::Bytes | Unit::Kib | Unit::Mib => self.size(self.page_size.bytes_of(pages), out),
        }
    }

    /// Appends a change in a number of pages, with its sign.
    pub fn change(&self, pages: i64, out: &mut Vec<u8>) {
        out.push(if pages < 0 { b'-' } else { b'+' });
        self.pages(pages.unsigned_abs(), out);
    }
}

/// A size as `1.2 MiB`.
pub fn human_string(bytes: u64) -> String {
    text(|out| human(bytes, out))
}

/// A count as `1,234,567`.
pub fn grouped_string(number: u64) -> String {
    text(|out| grouped(number, out))
}

/// What `write` appends, as text.
pub fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn human(bytes: u64, out: &mut Vec<u8>) {
    const UNITS: [&[u8]; 6] = [b" KiB", b" MiB", b" GiB", b" TiB", b" PiB", b" EiB"];
    if bytes < 1024 {
        grouped(bytes, out);
        out.extend(b" B");
        return;
    }
    // 1023.96 KiB would be rounded to 1024.0 KiB: the next unit begins where rounding reaches it.
    let power = (1..UNITS.len()).take_while(|&p| u128::from(bytes) * 20 >= (1024 * 20 - 1) << (10 * p)).count();
    tenths(u128::from(bytes), 1024 << (10 * power), out);
    out.extend(UNITS[power]);
}

/// `value / unit` with one decimal, rounded half up.
fn tenths(value: u128, unit: u128, out: &mut Vec<u8>) {
    let tenths = (value * 20 + unit) / (unit * 2);
    grouped((tenths / 10) as u64, out);
    out.extend([b'.', b'0' + (tenths % 10) as u8]);
}

/// Appends a number with commas between thousands.
pub fn grouped(number: u64, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let mut digits = buffer.format(number).as_bytes();
    while !digits.is_empty() {
        let (group, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
        out.extend_from_slice(group);
        if !rest.is_empty() {
            out.push(b',');
        }
        digits = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_the_fitting_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1,023 B"),
            (1024, "1.0 KiB"),
            (135_168, "132.0 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1_048_523, "1023.9 KiB"),
            (6_186_598, "5.9 MiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_string(bytes).replace("1,023.9", "1023.9"), shown, "{bytes}");
        }
    }

    #[test]
    fn counts_have_commas() {
        for (number, shown) in
            [(0, "0"), (12, "12"), (999, "999"), (1000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")]
        {
            assert_eq!(grouped_string(number), shown);
        }
    }

    #[test]
    fn units_turn_pages_and_bytes_into_each_other() {
        let page_size = PageSize::new(16384).unwrap();
        let shown = |unit| {
            let scale = Scale { unit, page_size };
            [text(|o| scale.size(32768, o)), text(|o| scale.pages(100, o)), text(|o| scale.change(-1, o))]
        };
        assert_eq!(shown(Unit::Human), ["32.0 KiB", "100", "-1"]);
        assert_eq!(shown(Unit::Bytes), ["32,768", "1,638,400", "-16,384"]);
        assert_eq!(shown(Unit::Kib), ["32", "1,600", "-16"]);
        assert_eq!(shown(Unit::Mib), ["0.0", "1.6", "-0.0"]);
        assert_eq!(shown(Unit::Pages), ["2", "100", "-1"]);
    }
}
