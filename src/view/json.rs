//! JSON: the same envelope for every report, and objects made of fields.

use std::io::{self, Write};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

use super::cell::{Cell, vm_flag_names};
use super::field::{Field, Rows};
use crate::analysis::note::Note;
use crate::analysis::physical::page::Cgroup;
use crate::kernel::manifest::Host;
use crate::name::{Name, is_unsafe};

/// The envelope of every report.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a, D: Serialize, N: Serialize = Vec<Note>> {
    /// The report's name and version.
    pub schema: &'static str,
    /// When it was made, in UTC, in the form of RFC 3339.
    pub time: &'a str,
    /// The machine it describes.
    pub host: &'a Host,
    /// `live` or `recorded`.
    pub source: &'static str,
    /// The report.
    pub data: D,
    /// What the reader must know. Serialized after the data, because reading the data can add to it.
    pub notes: N,
}

/// Writes a value as indented JSON and a newline.
pub(crate) fn pretty(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    // The serializer writes a few bytes at a time: each through a trait object would cost a third more.
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Safe(PrettyFormatter::new())))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a value as one line of JSON.
pub(crate) fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::with_capacity(1 << 10);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Safe(CompactFormatter)))?;
    line.push(b'\n');
    out.write_all(&line)
}

/// How the fields of a row make an object. The cells of a row are given in the order of the fields.
pub(crate) struct Plan {
    members: Vec<Member>,
}

/// A member of an object.
enum Member {
    /// The value of a cell, with its key, and the key of its full name in hexadecimal.
    Value(String, String, usize),
    /// An object with the fields whose names begin with this and a dot.
    Object(String, Plan),
    /// A list of the fields whose names are this, a dot and a number.
    List(String, Vec<usize>),
}

impl Plan {
    /// The object of fields with these names, in this order.
    pub(crate) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut plan = Self { members: Vec::new() };
        names.into_iter().enumerate().for_each(|(cell, name)| plan.add(name, cell));
        plan
    }

    fn add(&mut self, name: &str, cell: usize) {
        let Some((first, rest)) = name.split_once('.') else {
            return self.members.push(Member::Value(name.to_owned(), format!("{name}_hex"), cell));
        };
        let is_list = rest.bytes().all(|byte| byte.is_ascii_digit());
        for member in &mut self.members {
            match member {
                Member::List(key, cells) if is_list && key == first => return cells.push(cell),
                Member::Object(key, plan) if !is_list && key == first => return plan.add(rest, cell),
                _ => {}
            }
        }
        self.members.push(match is_list {
            true => Member::List(first.to_owned(), vec![cell]),
            false => {
                let mut plan = Self { members: Vec::new() };
                plan.add(rest, cell);
                Member::Object(first.to_owned(), plan)
            }
        });
    }

    /// Whether nothing in it is known.
    fn is_unknown(&self, cells: &[Cell<'_>]) -> bool {
        self.members.iter().all(|member| match member {
            Member::Value(.., cell) => cells[*cell].is_unknown(),
            Member::Object(_, plan) => plan.is_unknown(cells),
            Member::List(_, list) => list.iter().all(|&cell| cells[cell].is_unknown()),
        })
    }
}

/// A row as an object.
pub(crate) struct Record<'r> {
    /// How to write it.
    pub(crate) plan: &'r Plan,
    /// Its cells.
    pub(crate) cells: &'r [Cell<'r>],
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.members(&mut map)?;
        map.end()
    }
}

impl Record<'_> {
    fn members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { plan, cells } = *self;
        for member in &plan.members {
            match member {
                Member::Value(key, hex, cell) => member_of(map, key, hex, cells[*cell])?,
                // If nothing in it is known, it is null.
                Member::Object(key, plan) if plan.is_unknown(cells) => map.serialize_entry(key, &())?,
                Member::Object(key, plan) => map.serialize_entry(key, &Record { plan, cells })?,
                Member::List(key, list) if list.iter().all(|&cell| cells[cell].is_unknown()) => {
                    map.serialize_entry(key, &())?;
                }
                Member::List(key, list) => map.serialize_entry(key, &Values(list, cells))?,
            }
        }
        Ok(())
    }
}

/// Writes a cell as a member of an object; a name that is not UTF-8 is in a second member in full.
fn member_of<M: SerializeMap>(map: &mut M, key: &str, hex: &str, cell: Cell<'_>) -> Result<(), M::Error> {
    map.serialize_entry(key, &Value(cell))?;
    match cell {
        Cell::Name(name) | Cell::Cgroup(Cgroup::Path(name)) if std::str::from_utf8(name.bytes()).is_err() => {
            map.serialize_entry(hex, &name.to_hex())
        }
        _ => Ok(()),
    }
}

/// Cells, each with its name, as an object.
pub(crate) struct Members<'r>(pub(crate) &'r [(&'static str, Cell<'r>)]);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.iter().try_for_each(|(key, cell)| member_of(&mut map, key, &format!("{key}_hex"), *cell))?;
        map.end()
    }
}

/// Some of the cells of a row as a list.
struct Values<'r>(&'r [usize], &'r [Cell<'r>]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|&cell| Value(self.1[cell])))
    }
}

/// A row as a line: the cells in front of it, each with its name, and its members.
pub(crate) struct Line<'r> {
    /// The cells in front of it.
    pub(crate) before: &'r [(&'static str, Cell<'r>)],
    /// The row.
    pub(crate) record: Record<'r>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.before.iter().try_for_each(|(key, cell)| member_of(&mut map, key, &format!("{key}_hex"), *cell))?;
        self.record.members(&mut map)?;
        map.end()
    }
}

/// Rows as a list of objects, which are created while the list is written.
pub(crate) struct Records<'r> {
    /// How to write each.
    pub(crate) plan: &'r Plan,
    /// Where they come from.
    pub(crate) rows: &'r dyn Rows,
}

impl Serialize for Records<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut failed = None;
        let done = self.rows.each(&mut |cells| {
            list.serialize_element(&Record { plan: self.plan, cells }).map_err(|error| {
                failed = Some(error);
                io::Error::other("the list cannot be written")
            })
        });
        match (failed, done) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(serde::ser::Error::custom(error)),
            (None, Ok(())) => list.end(),
        }
    }
}

/// Rows of a report as a list of objects with these fields, except those that are present only on request.
pub(crate) struct Objects<'r, R>(pub(crate) &'r [Field<R>], pub(crate) Vec<&'r R>);

impl<R> Serialize for Objects<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(fields, rows) = self;
        serializer.collect_seq(rows.iter().map(|&row| Object(fields, row)))
    }
}

/// One such row.
pub(crate) struct Object<'r, R>(pub(crate) &'r [Field<R>], pub(crate) &'r R);

impl<R> Serialize for Object<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(fields, row) = *self;
        let fields = || fields.iter().filter(|field| !field.on_request);
        let plan = Plan::of(fields().map(|field| &*field.name));
        let cells: Vec<Cell<'_>> = fields().map(|field| (field.column.cell)(row)).collect();
        Record { plan: &plan, cells: &cells }.serialize(serializer)
    }
}

/// A cell as a value.
struct Value<'r>(Cell<'r>);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct VmFlags<'r> {
            raw: &'r str,
            names: Vec<&'r str>,
        }
        #[derive(Serialize)]
        struct NodeSlabs {
            node: u32,
            slabs: u64,
        }
        match self.0 {
            Cell::Text(text) | Cell::Word { name: text, .. } => serializer.serialize_str(text),
            Cell::Unnamed(_) => serializer.serialize_str(""),
            Cell::Name(name) => serializer.serialize_str(&name.shown_in_json()),
            Cell::Address(address) => serializer.collect_str(&format_args!("{address:#x}")),
            Cell::Number(number)
            | Cell::Id(number)
            | Cell::Offset(number)
            | Cell::Pages(number)
            | Cell::PagesAsSize(number)
            | Cell::Bytes(number)
            | Cell::Percent(number) => serializer.serialize_u64(number),
            Cell::Pfn(pfn) => serializer.serialize_u64(pfn.0),
            Cell::Change(change) | Cell::CountChange(change) | Cell::SizeChange(change) => {
                serializer.serialize_i64(change)
            }
            Cell::Dev(dev) => dev.serialize(serializer),
            Cell::Flags(raw) => VmFlags { raw, names: vm_flag_names(raw).collect() }.serialize(serializer),
            Cell::FrameFlags(flags) => flags.serialize(serializer),
            Cell::FrameLetters(flags) => serializer.serialize_str(&flags.letters()),
            Cell::Class(class) => class.serialize(serializer),
            Cell::Cgroup(cgroup) => cgroup.serialize(serializer),
            Cell::Names(first, others) => {
                let mut list = serializer.serialize_seq(Some(1 + others.len()))?;
                let mut names = std::iter::once(first).chain(others).map(Name::shown_in_json);
                names.try_for_each(|name| list.serialize_element(&name))?;
                list.end()
            }
            Cell::List(names) => serializer.collect_seq(names.iter().map(Name::shown_in_json)),
            Cell::Words(words) => serializer.collect_seq(words),
            Cell::Nodes(counts) => {
                serializer.collect_seq(counts.iter().map(|&(node, slabs)| NodeSlabs { node, slabs }))
            }
            Cell::NodePages(counts) => counts.serialize(serializer),
            Cell::Bool(yes) => serializer.serialize_bool(yes),
            Cell::Ratio(number) | Cell::Decimal(number) => serializer.serialize_f64(number),
            Cell::Nested(nested) | Cell::Counted(nested, _) => erased_serde::serialize(nested.0, serializer),
            Cell::Unknown | Cell::Absent | Cell::None => serializer.serialize_unit(),
        }
    }
}

/// A formatter that also escapes what JSON allows but is not safe on a terminal: DEL, C1 and bidirectional controls,
/// line separators.
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
}
