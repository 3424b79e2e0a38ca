//! Sizes and counts as people read them.

use crate::unit::PageSize;

/// The unit that sizes are shown in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// `1.2 MiB`: the largest unit in which it is at least one, with one decimal. Page counts stay counts.
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

impl Unit {
    /// The unit in a heading; empty if every number includes its unit.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Human | Self::Pages => "",
            Self::Bytes => " B",
            Self::Kib => " KiB",
            Self::Mib => " MiB",
        }
    }

    /// The unit after a size, or in the heading of a column of sizes, where pages are named, too.
    pub fn behind(self) -> &'static str {
        if self == Self::Pages { " pages" } else { self.heading() }
    }
}

/// How quantities are written: the unit and the page size.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The unit of sizes.
    pub unit: Unit,
    /// The base page size, for conversions.
    pub page_size: PageSize,
}

impl Scale {
    /// Appends a size in bytes.
    pub fn size(&self, bytes: u64, out: &mut Vec<u8>) {
        match self.unit {
            Unit::Human => human(bytes, out),
            Unit::Bytes => grouped(bytes, out),
            Unit::Kib => grouped(bytes / 1024, out),
            Unit::Mib => tenths(bytes, 1 << 20, out),
            Unit::Pages => grouped(self.page_size.pages_in(bytes), out),
        }
    }

    /// A size, including its unit.
    pub fn sized(&self, bytes: u64) -> String {
        text(|out| self.size(bytes, out)) + self.unit.behind()
    }

    /// Appends a number of pages: a count, unless a unit of size was requested.
    pub fn pages(&self, pages: u64, out: &mut Vec<u8>) {
        match self.unit {
            Unit::Human | Unit::Pages => grouped(pages, out),
            Unit::Bytes | Unit::Kib | Unit::Mib => self.size(self.page_size.bytes_of(pages), out),
        }
    }

    /// Appends a change in a number of pages, with its sign.
    pub fn change(&self, pages: i64, out: &mut Vec<u8>) {
        // A true minus sign: a hyphen alone means "not known".
        out.extend_from_slice(if pages < 0 { "−" } else { "+" }.as_bytes());
        self.pages(pages.unsigned_abs(), out);
    }
}

/// A number with what it counts: `1 process`, `2 processes`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped_string(number), if number == 1 { one } else { many })
}

/// A size as `1.2 MiB`.
pub(crate) fn human_string(bytes: u64) -> String {
    text(|out| human(bytes, out))
}

/// A count as `1,234,567`.
pub(crate) fn grouped_string(number: u64) -> String {
    text(|out| grouped(number, out))
}

/// What `write` appends, as text.
pub(crate) fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn human(bytes: u64, out: &mut Vec<u8>) {
    const UNITS: [&[u8]; 6] = [b" KiB", b" MiB", b" GiB", b" TiB", b" PiB", b" EiB"];
    if bytes < 1024 {
        grouped(bytes, out);
        out.extend_from_slice(b" B");
        return;
    }
    let mut power = (bytes.ilog2() / 10 - 1) as usize;
    // 1,023.95 KiB would be rounded to 1,024.0 KiB, so the next unit begins where rounding reaches it.
    if power + 1 < UNITS.len() && tenths_of(bytes, 1024 << (10 * power)) >= 10_240 {
        power += 1;
    }
    tenths(bytes, 1024 << (10 * power), out);
    out.extend_from_slice(UNITS[power]);
}

/// `value / unit` with one decimal, rounded half up.
fn tenths(value: u64, unit: u64, out: &mut Vec<u8>) {
    let tenths = tenths_of(value, unit);
    if tenths == 0 && value > 0 {
        // It is small, but not zero.
        out.extend_from_slice(b"<0.1");
        return;
    }
    grouped(tenths / 10, out);
    out.extend_from_slice(&[b'.', b'0' + (tenths % 10) as u8]);
}

/// Tenths of `unit`, a power of two, in `value`, rounded half up.
fn tenths_of(value: u64, unit: u64) -> u64 {
    let (whole, rest) = (value / unit, value % unit);
    // The remainder times twenty overflows only for the largest units.
    let tenths = match rest.checked_mul(20) {
        Some(twenty) => (twenty + unit) / (2 * unit),
        None => (u128::from(rest) * 20 / u128::from(unit)).div_ceil(2) as u64,
    };
    whole * 10 + tenths
}

/// Appends a number with commas between thousands.
pub(crate) fn grouped(number: u64, out: &mut Vec<u8>) {
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
        assert_eq!(shown(Unit::Human), ["32.0 KiB", "100", "−1"]);
        assert_eq!(shown(Unit::Bytes), ["32,768", "1,638,400", "−16,384"]);
        assert_eq!(shown(Unit::Kib), ["32", "1,600", "−16"]);
        assert_eq!(shown(Unit::Mib), ["<0.1", "1.6", "−<0.1"]);
        assert_eq!(shown(Unit::Pages), ["2", "100", "−1"]);
    }
}
