//! The output of `pmem decode`: a word and its bits, with a line for each; or the whole table, with two or three lines
//! for each flag.

use std::io::{self, Write};

use super::cell::{Cell, NONE};
use super::field::{Field, Kind as As};
use super::style::Emphasis;
use super::table::{Layout, wrapped};
use crate::analysis::decode::{Bit, Kind, Word};
use crate::analysis::physical::class::Class;

/// The default columns of words, to which others can be added.
pub(crate) const WORD_DEFAULT: &[&str] =
    &["input", "kind", "raw", "class", "state", "pfn", "physical_address", "swap.type", "swap.offset", "names"];

/// The fields of a word.
pub(crate) fn word_fields() -> Vec<Field<Word>> {
    let number = |name, heading, help, of: fn(&Word) -> Option<u64>| {
        Field::label(name, heading, help, As::Unsigned, move |word: &Word| of(word).map_or(Cell::None, Cell::Id))
            .aligned_right()
    };
    let text = |name, heading, help, kind, of: for<'w> fn(&'w Word) -> Option<&'w str>| {
        Field::label(name, heading, help, kind, move |word: &Word| of(word).map_or(Cell::None, Cell::Text))
    };
    vec![
        Field::text("input", "INPUT", "The word as given", |word: &Word| &word.input),
        Field::text("kind", "KIND", "How it was interpreted: frame_flags, flag, pagemap or swap", |word: &Word| {
            word.kind.name()
        }),
        text("raw", "RAW", "The word in hexadecimal", As::Hex, |word| Some(&word.raw)).always(),
        text("class", "CLASS", "Use of a frame with these flags", As::Text, |word| word.class.map(Class::name)),
        text("state", "STATE", "State of the page-table entry", As::Text, |word| word.state),
        number("pfn", "PFN", "Frame it maps", |word| word.pfn),
        text("physical_address", "PHYSICAL", "Address of that frame", As::Hex, |word| word.physical_address.as_deref()),
        number("swap.type", "TYPE", "Number of the swap area or special type", |word| word.swap.map(|swap| swap.area))
            .alias("swap_type"),
        number("swap.offset", "OFFSET", "Offset in the swap area, in pages", |word| word.swap.map(|swap| swap.offset))
            .alias("swap_offset"),
        Field::label("names", "NAMES", "Names of its bits", As::List, |word: &Word| Cell::Words(&word.names)).always(),
        Field::nested("bits", "Its bits and their meanings", |word: &Word| &word.bits).always(),
        Field::nested("notes", "Remarks, as sentences", |word: &Word| &word.notes).always(),
    ]
}

/// The default columns of flags, to which others can be added.
pub(crate) const LEGEND_DEFAULT: &[&str] =
    &["bit", "name", "pg_name", "page_types", "when", "set_by", "since", "until", "meaning", "note"];

/// The fields of a flag.
pub(crate) fn legend_fields() -> Vec<Field<Bit>> {
    let text = |name, heading, help, of: for<'b> fn(&'b Bit) -> Option<&'b str>| {
        Field::label(name, heading, help, As::Text, move |bit: &Bit| of(bit).map_or(Cell::None, Cell::Text))
    };
    vec![
        Field::id("bit", "BIT", "Bit number in the word", |bit: &Bit| u64::from(bit.bit)),
        text("name", "NAME", "Name that pmem shows", |bit| Some(bit.name)).always(),
        text("pg_name", "KERNEL", "Name in the kernel", |bit| bit.pg_name),
        text("page_types", "PAGE-TYPES", "Name in page-types of Linux 6.12", |bit| bit.page_types),
        text("letter", "LETTER", "Letter in page-types", |bit| bit.letter.as_deref()),
        text("when", "WHEN", "On which frames the bit means this; empty for all", |bit| bit.when.as_deref()),
        text("set_by", "SET BY", "The kernel, or page-types only", |bit| Some(bit.set_by)).always(),
        text("since", "SINCE", "First release that has it; empty if before 4.19", |bit| bit.since),
        text("until", "UNTIL", "Last release that has it", |bit| bit.until),
        text("meaning", "MEANING", "Meaning", |bit| Some(bit.meaning)).always(),
        text("note", "NOTE", "Pitfalls", |bit| bit.note),
        Field::bool("left_over", "LEFT OVER", "Whether it is left over from another use of the field", |bit: &Bit| {
            bit.left_over
        }),
    ]
}

/// The maximum length of lines if there is no terminal.
const WIDTH: usize = 80;

fn width(layout: &Layout) -> usize {
    layout.width.unwrap_or(WIDTH).clamp(40, 120)
}

/// Writes words, each with its bits.
pub(crate) fn write_words(out: &mut dyn Write, words: &[Word], layout: &Layout) -> io::Result<()> {
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        write_word(out, word, layout)?;
    }
    Ok(())
}

fn write_word(out: &mut dyn Write, word: &Word, layout: &Layout) -> io::Result<()> {
    if word.kind == Kind::Flag {
        return word.bits.iter().try_for_each(|bit| write_flag(out, bit, layout));
    }
    let paint = |emphasis, text: &str| layout.palette.paint(emphasis, text);
    let is = word.class.map(Class::title).or(word.state).unwrap_or("hidden");
    if digits(&word.input) != digits(&word.raw) {
        write!(out, "{} = ", word.input)?;
    }
    write!(out, "{}  {}", paint(Emphasis::Heading, &word.raw), paint(Emphasis::Accent, is))?;
    if let (Some(pfn), Some(address)) = (word.pfn, &word.physical_address) {
        write!(out, "  frame {pfn:#x} = physical {address}")?;
    }
    if let Some(swap) = word.swap {
        write!(out, "  type {}, offset {:#x}", swap.area, swap.offset)?;
    }
    writeln!(out)?;
    let widest = word.bits.iter().map(|bit| bit.name.len()).max().unwrap_or(0);
    for Bit { bit, name, meaning, left_over, .. } in &word.bits {
        let line = hanging(&format!("{bit:>4}  {name:widest$}  "), meaning, width(layout));
        let line = if *left_over { paint(Emphasis::Faint, line.trim_end()) + "\n" } else { line };
        out.write_all(line.as_bytes())?;
    }
    word.notes.iter().try_for_each(|note| out.write_all(wrapped(note, width(layout), 2).as_bytes()))
}

/// The significant digits of a hexadecimal number.
fn digits(number: &str) -> String {
    number.to_ascii_lowercase().trim_start_matches("0x").trim_start_matches('0').to_owned()
}

/// Writes the whole table.
pub(crate) fn write_legend(out: &mut dyn Write, flags: &[Bit], layout: &Layout) -> io::Result<()> {
    if layout.headings {
        let heading = columns(["BIT", "NAME", "KERNEL", "PAGE-TYPES", "RELEASES"]);
        writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, &heading))?;
    }
    flags.iter().try_for_each(|flag| write_flag(out, flag, layout))
}

/// Writes a flag: its names on a line, and below it its meaning and how it can mislead.
fn write_flag(out: &mut dyn Write, flag: &Bit, layout: &Layout) -> io::Result<()> {
    const INDENT: usize = 5;
    let page_types = match (&flag.letter, flag.page_types) {
        (Some(letter), Some(name)) => format!("{letter} {name}"),
        _ => NONE.to_owned(),
    };
    let releases = match (flag.set_by, flag.since, flag.until) {
        ("page-types", ..) => "none".to_owned(),
        (_, None, None) => "all".to_owned(),
        (_, since, until) => format!("{}-{}", since.unwrap_or(""), until.unwrap_or("")),
    };
    let bit = flag.bit.to_string();
    let when = flag.when.as_ref().map(|when| format!(", {when}")).unwrap_or_default();
    let line = columns([&bit, flag.name, flag.pg_name.unwrap_or(NONE), &page_types, &(releases + &when)]);
    writeln!(out, "{}", layout.palette.paint(Emphasis::Accent, &line))?;
    out.write_all(wrapped(flag.meaning, width(layout), INDENT).as_bytes())?;
    match flag.note {
        Some(trap) => {
            let text = hanging(&format!("{:INDENT$}! ", ""), trap, width(layout));
            writeln!(out, "{}", layout.palette.paint(Emphasis::Faint, text.trim_end()))
        }
        None => Ok(()),
    }
}

/// The first line of a flag, in aligned columns.
fn columns([bit, name, kernel, page_types, releases]: [&str; 5]) -> String {
    format!("{bit:>3}  {name:14}  {kernel:17}  {page_types:16}  {releases}").trim_end().to_owned()
}

/// Text in lines of at most `width` columns, after `first` on the first line and indented by its width on the others.
fn hanging(first: &str, text: &str, width: usize) -> String {
    first.to_owned() + &wrapped(text, width, first.len())[first.len()..]
}
