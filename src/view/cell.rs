//! One cell of a row: shown to people, written as CSV, and as JSON.

use std::cmp::Ordering;

use super::size::Scale;
use crate::analysis::physical::class::Class;
use crate::analysis::physical::page::Cgroup;
use crate::analysis::vmalloc::NodePages;
use crate::model::frame_flags::FrameFlags;
use crate::name::Name;
use crate::unit::Pfn;

/// What a table shows for a counted zero.
pub(crate) const NONE: &str = "·";

/// One cell of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'r> {
    /// Text from pmem or the kernel: safe to show.
    Text(&'r str),
    /// A name chosen by a user.
    Name(&'r Name),
    /// What a table shows if there is no name.
    Unnamed(&'r str),
    /// An address; shown as hexadecimal without prefix, as in `maps`.
    Address(u64),
    /// A count.
    Number(u64),
    /// A number that names something (a PID, an inode): written without separators, so that it can be pasted.
    Id(u64),
    /// An offset in a file; hexadecimal for people, as in `maps`.
    Offset(u64),
    /// A number of base pages.
    Pages(u64),
    /// A number of base pages, which people see as a size.
    PagesAsSize(u64),
    /// A change in a number of base pages.
    Change(i64),
    /// A change in a count.
    CountChange(i64),
    /// A size in bytes.
    Bytes(u64),
    /// A change in a size, or a difference of two, in bytes.
    SizeChange(i64),
    /// A device number.
    Dev(crate::model::vma::Dev),
    /// Codes of VmFlags, shown in words.
    Flags(&'r str),
    /// A page frame number: hexadecimal for people, decimal for programs.
    Pfn(Pfn),
    /// Flags of a frame, shown in words.
    FrameFlags(FrameFlags),
    /// Likewise, as the letters of page-types.
    FrameLetters(FrameFlags),
    /// What a frame is used for: its title for people, its name for programs.
    Class(Class),
    /// A memory cgroup.
    Cgroup(&'r Cgroup),
    /// Names of one thing, joined with ` = `.
    Names(&'r Name, &'r [Name]),
    /// Names, possibly none.
    List(&'r [Name]),
    /// A percentage.
    Percent(u64),
    /// Counts by NUMA node.
    Nodes(&'r [(u32, u64)]),
    /// Pages by NUMA node.
    NodePages(&'r [NodePages]),
    /// A word of pmem: as shown to people, and its name for programs.
    Word {
        /// For people.
        shown: &'static str,
        /// For programs.
        name: &'static str,
    },
    /// Yes or no.
    Bool(bool),
    /// A share, from 0 to 1; shown in percent.
    Ratio(f64),
    /// A number, shown with one decimal.
    Decimal(f64),
    /// Words of pmem, possibly none, separated by blanks.
    Words(&'r [&'static str]),
    /// A value that only JSON has room for.
    Nested(Nested<'r>),
    /// Likewise, a list; formats without room show its length.
    Counted(Nested<'r>, u64),
    /// Not applicable: `·`.
    Absent,
    /// Likewise, but shown as nothing.
    None,
    /// Not known: `-`.
    Unknown,
}

/// A value with an inner structure.
#[derive(Clone, Copy)]
pub(crate) struct Nested<'r>(pub &'r (dyn erased_serde::Serialize + Sync));

impl std::fmt::Debug for Nested<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nested")
    }
}

/// How the width of a cell depends on its content, so that a long table need not format most of its cells twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// The larger this number, the wider.
    WithNumber(u64),
    /// The width depends only on this number, but does not grow with it: a size, which changes its unit, or flags.
    By(u64),
    /// At most as wide as this many bytes.
    AtMost(usize),
}

impl Cell<'_> {
    /// How its width depends on its content.
    pub(crate) fn growth(&self) -> Growth {
        match self {
            Cell::Address(n)
            | Cell::Number(n)
            | Cell::Id(n)
            | Cell::Pages(n)
            | Cell::Offset(n)
            | Cell::Percent(n)
            | Cell::Counted(_, n)
            | Cell::Pfn(Pfn(n)) => Growth::WithNumber(*n),
            Cell::Bytes(n) | Cell::PagesAsSize(n) | Cell::FrameFlags(FrameFlags(n)) => Growth::By(*n),
            Cell::Text(text) | Cell::Unnamed(text) | Cell::Word { shown: text, .. } => Growth::AtMost(text.len()),
            // Each byte may be escaped to four, a character to eight.
            Cell::Name(name) => Growth::AtMost(name.bytes().len().saturating_mul(8)),
            Cell::Change(_)
            | Cell::CountChange(_)
            | Cell::SizeChange(_)
            | Cell::Dev(_)
            | Cell::Flags(_)
            | Cell::Cgroup(_)
            | Cell::Names(..)
            | Cell::List(_)
            | Cell::Words(_)
            | Cell::Decimal(_)
            | Cell::Nodes(_)
            | Cell::NodePages(_) => Growth::AtMost(usize::MAX),
            Cell::FrameLetters(_) | Cell::Class(_) => Growth::AtMost(64),
            Cell::Bool(_) | Cell::Ratio(_) => Growth::AtMost(4),
            Cell::Unknown | Cell::Absent | Cell::None | Cell::Nested(_) => Growth::AtMost(NONE.len()),
        }
    }

    /// Whether it is a count that is zero.
    pub(crate) fn is_zero(&self) -> bool {
        matches!(
            self,
            Cell::Number(0)
                | Cell::Pages(0)
                | Cell::PagesAsSize(0)
                | Cell::Change(0)
                | Cell::CountChange(0)
                | Cell::Bytes(0)
                | Cell::SizeChange(0)
                | Cell::Percent(0)
                | Cell::Counted(_, 0)
        )
    }

    /// Whether it has no value: not known, or not applicable.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Cell::Unknown | Cell::Absent | Cell::None)
    }

    /// Appends the cell as people read it: `·` for none, `-` for not known.
    pub(crate) fn write(&self, scale: &Scale, out: &mut Vec<u8>) {
        match self {
            Cell::Unnamed(text) | Cell::Word { shown: text, .. } => out.extend_from_slice(text.as_bytes()),
            // At least eight digits, as in `maps`.
            Cell::Address(address) | Cell::Offset(address) => hex(*address, 8, out),
            cell if cell.is_zero() => out.extend_from_slice(NONE.as_bytes()),
            Cell::Number(number) | Cell::Counted(_, number) => super::size::grouped(*number, out),
            Cell::Pages(pages) => scale.pages(*pages, out),
            Cell::PagesAsSize(pages) => scale.size(scale.page_size.bytes_of(*pages), out),
            Cell::Change(pages) => scale.change(*pages, out),
            Cell::CountChange(count) => {
                out.extend_from_slice(if *count < 0 { "−" } else { "+" }.as_bytes());
                super::size::grouped(count.unsigned_abs(), out);
            }
            Cell::Bytes(bytes) => scale.size(*bytes, out),
            Cell::SizeChange(bytes) => {
                out.extend_from_slice(if *bytes < 0 { "−" } else { "+" }.as_bytes());
                scale.size(bytes.unsigned_abs(), out);
            }
            Cell::Pfn(pfn) => prefixed_hex(pfn.0, out),
            Cell::Class(class) => out.extend(class.title().as_bytes()),
            Cell::Cgroup(cgroup) => out.extend(cgroup.shown().as_bytes()),
            Cell::Percent(percent) => out.extend(format!("{percent}%").as_bytes()),
            Cell::Bool(yes) => out.extend_from_slice(if *yes { b"yes" } else { b"no" }),
            Cell::Ratio(share) => out.extend_from_slice(share_in_percent(*share).as_bytes()),
            Cell::Decimal(number) => out.extend_from_slice(format!("{number:.1}").as_bytes()),
            Cell::Absent => out.extend_from_slice(NONE.as_bytes()),
            Cell::Unknown | Cell::Nested(_) => out.push(b'-'),
            // Words, and numbers that name something, are the same for programs.
            same => same.write_raw(out),
        }
    }

    /// The cell as programs read it: plain numbers in base units, empty for not known.
    pub(crate) fn raw(&self) -> String {
        let mut text = Vec::new();
        self.write_raw(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Appends the cell as programs read it.
    pub(crate) fn write_raw(&self, out: &mut Vec<u8>) {
        match self {
            Cell::Text(text) | Cell::Word { name: text, .. } => out.extend_from_slice(text.as_bytes()),
            Cell::Name(name) => out.extend_from_slice(name.escaped().as_bytes()),
            Cell::Address(address) => prefixed_hex(*address, out),
            Cell::Number(number)
            | Cell::Id(number)
            | Cell::Offset(number)
            | Cell::Pages(number)
            | Cell::PagesAsSize(number)
            | Cell::Bytes(number)
            | Cell::Percent(number)
            | Cell::Counted(_, number)
            | Cell::Pfn(Pfn(number)) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Cell::Change(change) | Cell::CountChange(change) | Cell::SizeChange(change) => {
                out.extend_from_slice(itoa::Buffer::new().format(*change).as_bytes());
            }
            Cell::Cgroup(Cgroup::Path(path)) => out.extend_from_slice(path.escaped().as_bytes()),
            Cell::Cgroup(Cgroup::Gone(inode)) => out.extend_from_slice(itoa::Buffer::new().format(*inode).as_bytes()),
            Cell::Class(class) => out.extend_from_slice(class.name().as_bytes()),
            Cell::Bool(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
            Cell::Ratio(number) | Cell::Decimal(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Cell::Unknown | Cell::Absent | Cell::None | Cell::Nested(_) | Cell::Unnamed(_) => {}
            Cell::Dev(dev) => out.extend_from_slice(dev.to_string().as_bytes()),
            Cell::Flags(codes) => out.extend_from_slice(words(codes).as_bytes()),
            Cell::FrameLetters(flags) => out.extend_from_slice(flags.letters().as_bytes()),
            Cell::FrameFlags(flags) => {
                for (number, name) in flags.each_name().enumerate() {
                    out.extend_from_slice(if number > 0 { b" " } else { b"" });
                    out.extend_from_slice(name.as_bytes());
                }
            }
            Cell::Names(first, others) => {
                out.extend_from_slice(joined(std::iter::once(*first).chain(*others)).as_bytes());
            }
            Cell::List(names) => out.extend_from_slice(joined(*names).as_bytes()),
            Cell::Words(words) => out.extend_from_slice(words.join(" ").as_bytes()),
            Cell::Nodes(counts) => out.extend_from_slice(by_node(counts.iter().copied()).as_bytes()),
            Cell::NodePages(counts) => out.extend_from_slice(by_node(pages(counts)).as_bytes()),
        }
    }

    /// The order of two cells of one column; what is not known comes first.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (a, b) if a.is_unknown() || b.is_unknown() => b.is_unknown().cmp(&a.is_unknown()),
            (Cell::Text(a), Cell::Text(b))
            | (Cell::Flags(a), Cell::Flags(b))
            | (Cell::Word { name: a, .. }, Cell::Word { name: b, .. }) => a.cmp(b),
            (Cell::Name(a), Cell::Name(b)) => a.cmp(b),
            (Cell::Names(a, more), Cell::Names(b, others)) => (a, more).cmp(&(b, others)),
            (Cell::List(a), Cell::List(b)) => a.cmp(b),
            (Cell::Words(a), Cell::Words(b)) => a.cmp(b),
            (Cell::Nodes(a), Cell::Nodes(b)) => a.cmp(b),
            (Cell::NodePages(a), Cell::NodePages(b)) => a.cmp(b),
            (Cell::Dev(a), Cell::Dev(b)) => a.cmp(b),
            (Cell::Cgroup(a), Cell::Cgroup(b)) => a.cmp(b),
            (Cell::FrameFlags(a), Cell::FrameFlags(b)) | (Cell::FrameLetters(a), Cell::FrameLetters(b)) => a.cmp(b),
            (Cell::Class(a), Cell::Class(b)) => a.cmp(b),
            (Cell::Bool(a), Cell::Bool(b)) => a.cmp(b),
            (Cell::Ratio(a), Cell::Ratio(b)) | (Cell::Decimal(a), Cell::Decimal(b)) => a.total_cmp(b),
            (a, b) => a.number().cmp(&b.number()).then(a.rank().cmp(&b.rank())),
        }
    }

    /// The rank by which cells of different kinds that are not numbers are ordered.
    fn rank(&self) -> u8 {
        match self {
            Cell::Unnamed(_) => 0,
            Cell::Text(_) | Cell::Word { .. } => 1,
            _ => 2,
        }
    }

    /// The number it shows; `None` for text and for what is not known.
    pub(crate) fn number(&self) -> Option<i128> {
        match self {
            Cell::Address(n)
            | Cell::Number(n)
            | Cell::Id(n)
            | Cell::Offset(n)
            | Cell::Pages(n)
            | Cell::PagesAsSize(n)
            | Cell::Bytes(n)
            | Cell::Percent(n)
            | Cell::Counted(_, n)
            | Cell::Pfn(Pfn(n)) => Some(i128::from(*n)),
            Cell::Change(n) | Cell::CountChange(n) | Cell::SizeChange(n) => Some(i128::from(*n)),
            _ => None,
        }
    }

    /// The sum of two cells of one column, for a totals row.
    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Cell::Pages(a), Cell::Pages(b)) => Cell::Pages(a.saturating_add(b)),
            (Cell::PagesAsSize(a), Cell::PagesAsSize(b)) => Cell::PagesAsSize(a.saturating_add(b)),
            (Cell::Bytes(a), Cell::Bytes(b)) => Cell::Bytes(a.saturating_add(b)),
            (Cell::Change(a), Cell::Change(b)) => Cell::Change(a.saturating_add(b)),
            // The sum of what is known.
            (known, Cell::Unknown) | (Cell::Unknown, known) => known,
            // Codes and similar values have no sum.
            _ => Cell::Text(""),
        }
    }
}

/// Names of one thing, joined.
fn joined<'n>(names: impl IntoIterator<Item = &'n Name>) -> String {
    names.into_iter().map(Name::escaped).collect::<Vec<_>>().join(" = ")
}

/// A share in whole percent, which is neither 0 nor 100 unless that is exact.
fn share_in_percent(share: f64) -> String {
    match (share * 100.0).round() as u64 {
        _ if share <= 0.0 => NONE.to_owned(),
        0 => "<1".to_owned(),
        100 if share < 1.0 => ">99".to_owned(),
        percent => percent.to_string(),
    }
}

/// Counts by node in the kernel's format.
fn by_node(counts: impl Iterator<Item = (u32, u64)>) -> String {
    counts.map(|(node, count)| format!("N{node}={count}")).collect::<Vec<_>>().join(" ")
}

/// Pages by node as pairs.
fn pages(counts: &[NodePages]) -> impl Iterator<Item = (u32, u64)> {
    counts.iter().map(|of| (of.node, of.pages))
}

/// Codes of VmFlags in words.
fn words(codes: &str) -> String {
    vm_flag_names(codes).collect::<Vec<_>>().join(" ")
}

/// The codes of VmFlags in words, one by one.
pub(super) use crate::analysis::frames::flag_names as vm_flag_names;

/// Appends a number in hexadecimal with `0x`.
fn prefixed_hex(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0x");
    hex(number, 1, out);
}

/// Appends a number in hexadecimal with at least this many digits (at most 16).
fn hex(number: u64, least: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place) & 0xf) as usize];
    }
    let wanted = ((64 - number.leading_zeros()).div_ceil(4) as usize).max(least);
    out.extend_from_slice(&digits[16 - wanted..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_what_is_known() {
        let sum = [Cell::Unknown, Cell::Pages(2), Cell::Unknown, Cell::Pages(3)].into_iter().reduce(Cell::plus);
        assert!(matches!(sum, Some(Cell::Pages(5))));
        assert!(matches!(Cell::Unknown.plus(Cell::Unknown), Cell::Unknown));
    }

    #[test]
    fn what_is_not_known_comes_first_and_then_what_has_no_name() {
        let name = Name::new(b"a");
        let text = [Cell::Text("b"), Cell::Unknown, Cell::Text("a"), Cell::Absent, Cell::Text("c")];
        let named = [Cell::Name(&name), Cell::Unnamed("[anon]"), Cell::None];
        let classes = [Cell::Class(Class::Free), Cell::Text("swapped"), Cell::Unnamed("none"), Cell::Unknown];
        for cells in [&text[..], &named, &classes] {
            let mut cells = cells.to_vec();
            for _ in 0..cells.len() {
                cells.rotate_left(1);
                let mut sorted = cells.clone();
                sorted.sort_by(Cell::compare);
                let shown: Vec<bool> = sorted.iter().map(Cell::is_unknown).collect();
                assert!(shown.is_sorted_by(|a, b| a >= b), "{sorted:?}");
                assert!(sorted.is_sorted_by(|a, b| a.compare(b).is_le()), "{sorted:?}");
                // Not only neighbours must be in order, but all pairs.
                let pairs = sorted.iter().enumerate().flat_map(|(at, a)| sorted[at..].iter().map(move |b| (a, b)));
                pairs.for_each(|(a, b)| assert!(a.compare(b).is_le(), "{a:?} {b:?}"));
            }
        }
    }

    #[test]
    fn addresses_are_written_as_maps_does() {
        for (address, shown) in [(0x40_0000, "00400000"), (0x7f16_6880_0000, "7f1668800000"), (0, "00000000")] {
            assert_eq!(super::super::size::text(|out| hex(address, 8, out)), shown);
        }
    }
}
