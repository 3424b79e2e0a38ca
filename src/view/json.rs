//! JSON documents: the same frame around every report.

use std::io::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

use crate::analysis::note::Note;
use crate::kernel::manifest::Host;
use crate::name::is_unsafe;

/// What stands around every report.
#[derive(Debug, Serialize)]
pub struct Document<'a, D: Serialize, N: Serialize = Vec<Note>> {
    /// The report's name and version.
    pub schema: &'static str,
    /// When it was made, UTC, RFC 3339.
    pub time: &'a str,
    /// The machine it is of.
    pub host: &'a Host,
    /// `live` or `recorded`.
    pub source: &'static str,
    /// The report.
    pub data: D,
    /// What a reader must know. Serialized after the data, so that it may come together meanwhile.
    pub notes: N,
}

/// Writes a value as indented JSON and a newline.
pub fn pretty(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    write(out, value, PrettyFormatter::new())
}

/// Writes a value as one line of JSON.
pub fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    write(out, value, CompactFormatter)
}

fn write(mut out: &mut dyn Write, value: &impl Serialize, formatter: impl Formatter) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(formatter)))?;
    out.write_all(b"\n")
}

/// A sequence that is made while it is written.
pub struct Lazy<I>(std::cell::RefCell<Option<I>>);

impl<I: Iterator> Lazy<I> {
    /// A sequence of what the iterator yields; it can be serialized once.
    pub fn new(items: I) -> Self {
        Self(std::cell::RefCell::new(Some(items)))
    }
}

impl<I: Iterator<Item: Serialize>> Serialize for Lazy<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

/// A formatter that also escapes what JSON allows and a terminal does not: DEL, C1 and bidirectional controls, line
/// separators.
struct Safe<F>(F);

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(fn $name<W: ?Sized + Write>(&mut self, writer: &mut W $(, $argument: $type)*) -> io::Result<()> {
            self.0.$name(writer $(, $argument)*)
        })*
    };
}

impl<F: Formatter> Formatter for Safe<F> {
    forward! {
        write_char_escape(escape: CharEscape);
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = 0;
        for (at, character) in fragment.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            write!(writer, "\\u{:04x}", u32::from(character))?;
            plain = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_lossless_and_shows_nothing_unsafe() {
        for text in ["plain", "\x1b[2J\n\x7f", "\u{9b}31m \u{202e}x\u{2028}", "é日"] {
            for write in [pretty, line] {
                let mut out = Vec::new();
                write(&mut out, &[text]).unwrap();
                let shown = String::from_utf8(out).unwrap();
                assert!(shown.chars().all(|c| c == '\n' || !is_unsafe(c)), "{shown:?}");
                assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
            }
        }
    }

    #[test]
    fn a_lazy_sequence_is_an_array() {
        let mut out = Vec::new();
        line(&mut out, &Lazy::new([1, 2].into_iter())).unwrap();
        assert_eq!(out, b"[1,2]\n");
    }
}
