//! How `pmem decode` looks: a word and its bits, a line each; the whole table, two lines or three a flag.

use crate::view::field::Field;
use std::io::{self, Write};

use super::cell::{Cell, NONE};
use super::style::Emphasis;
use super::table::{Layout, wrapped};
use crate::analysis::decode::{Bit, Kind, Word};
use crate::analysis::physical::class::Class;

/// The columns of words.
pub(crate) fn word_columns() -> Vec<Field<Word>> {
    let number = |name: &'static str, heading: &'static str, help: &'static str, field: fn(&Word) -> Option<u64>| {
        Field::old_number(name, heading, help, move |word: &Word| field(word).map_or(Cell::Text(""), Cell::Id))
    };
    vec![
        Field::old_text("input", "INPUT", "the word as it was given", |word: &Word| Cell::Text(&word.input)),
        Field::old_text("kind", "KIND", "frame_flags, flag, pagemap or swap", |word: &Word| {
            Cell::Text(word.kind.name())
        }),
        Field::old_text("raw", "RAW", "the word in hexadecimal", |word: &Word| Cell::Text(&word.raw)),
        Field::old_text("class", "CLASS", "what a frame with these flags is used for", |word: &Word| {
            Cell::Text(word.class.map_or("", |class| class.name()))
        }),
        Field::old_text("state", "STATE", "what a page-table entry is", |word: &Word| {
            Cell::Text(word.state.unwrap_or(""))
        }),
        number("pfn", "PFN", "the frame it maps", |word| word.pfn),
        Field::old_text("physical_address", "PHYSICAL", "the address of that frame", |word: &Word| {
            Cell::Text(word.physical_address.as_deref().unwrap_or(""))
        }),
        number("swap_type", "TYPE", "the swap area, or the special kind", |word| word.swap.map(|swap| swap.area)),
        number("swap_offset", "OFFSET", "where in it, in pages", |word| word.swap.map(|swap| swap.offset)),
        Field::old_text("names", "NAMES", "the names of its bits", |word: &Word| Cell::Text(&word.names_text)),
    ]
}

/// The columns of the whole table.
pub(crate) fn legend_columns() -> Vec<Field<Bit>> {
    let text = |name: &'static str, heading: &'static str, help: &'static str, field: fn(&Bit) -> Option<&str>| {
        Field::old_text(name, heading, help, move |bit: &Bit| Cell::Text(field(bit).unwrap_or("")))
    };
    vec![
        Field::old_number("bit", "BIT", "its place in the word", |bit: &Bit| Cell::Id(u64::from(bit.bit))),
        text("name", "NAME", "the name that pmem shows", |bit| Some(bit.name)),
        text("pg_name", "KERNEL", "the kernel's own name", |bit| bit.pg_name),
        text("page_types", "PAGE-TYPES", "the name in page-types of Linux 6.12", |bit| bit.page_types),
        text("when", "WHEN", "on which frames the bit means this; empty for all", |bit| bit.when.as_deref()),
        text("set_by", "SET BY", "the kernel, or page-types only", |bit| Some(bit.set_by)),
        text("since", "SINCE", "the first release that has it; empty where that is before 4.19", |bit| bit.since),
        text("until", "UNTIL", "the last release that has it", |bit| bit.until),
        text("meaning", "MEANING", "what it says of a frame", |bit| Some(bit.meaning)),
        text("note", "NOTE", "what a reader can get wrong", |bit| bit.note),
    ]
}

/// Lines are no longer than this where there is no terminal.
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

/// The digits of a hexadecimal number that say something.
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

/// Writes a flag: its names on a line, and its meaning and its trap below.
fn write_flag(out: &mut dyn Write, flag: &Bit, layout: &Layout) -> io::Result<()> {
    const INDENT: usize = 5;
    let page_types = match (flag.letter, flag.page_types) {
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

/// The first lines of a flag, one below the other.
fn columns([bit, name, kernel, page_types, releases]: [&str; 5]) -> String {
    format!("{bit:>3}  {name:14}  {kernel:17}  {page_types:16}  {releases}").trim_end().to_owned()
}

/// Text in lines of at most `width` columns, behind `first` on the first and below its end on others.
fn hanging(first: &str, text: &str, width: usize) -> String {
    first.to_owned() + &wrapped(text, width, first.len())[first.len()..]
}
