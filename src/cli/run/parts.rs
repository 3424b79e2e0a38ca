//! Commands with rows in parts, one per process, which are written as they are read, and not kept.

use std::cell::{Cell as Flag, RefCell};
use std::io::{self, Write};

use anyhow::Result;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::columns::Choice;
use super::context::Context;
use super::rounds::{Flow, Rounds};
use super::sink::Sink;
use super::trouble::Troubles;
use crate::analysis::note::Note;
use crate::cli::output::Output;
use crate::cli::status::Status;
use crate::view::cell::Cell;
use crate::view::field::{Field, Rows, Table};
use crate::view::json::{Plan, Records};

/// A command with rows in parts.
pub(in crate::cli) trait Parts {
    /// The name and version of its JSON document.
    const SCHEMA: &'static str;
    /// The document's name for the parts; `None` if there is a single part, which is the document itself.
    const PARTS: Option<&'static str>;
    /// The name of the rows in a part.
    const ROWS: &'static str;
    /// A row.
    type Row: Sync + 'static;

    /// Reads a round and passes its parts to `to`, one by one.
    ///
    /// # Errors
    /// Why nothing can be shown, and those of `to`.
    fn round(
        &mut self,
        cx: &Context<'_>,
        round: Option<u32>,
        choice: &Choice<Self::Row>,
        to: &mut Receiver<'_, Self::Row>,
    ) -> Result<Flow>;
}

/// The beginning of a part, for programs.
pub(in crate::cli) struct Head<'h> {
    /// The fields in front of each row in formats that are only rows.
    pub(in crate::cli) before: &'h [(&'static str, Cell<'h>)],
    /// The members of the part in the document, without its rows.
    pub(in crate::cli) object: &'h dyn erased_serde::Serialize,
    /// Whether the document includes its rows.
    pub(in crate::cli) has_rows: bool,
}

/// Passes rows on, a batch at a time.
pub(in crate::cli) type Source<'s, R> = dyn FnMut(&mut dyn FnMut(&[R]) -> io::Result<()>) -> Result<()> + 's;

/// Takes the parts of a round, in the requested format.
pub(in crate::cli) struct Receiver<'r, R> {
    /// What the output lacks.
    pub(in crate::cli) troubles: &'r mut Troubles,
    /// The notes of the document.
    notes: &'r RefCell<Vec<Note>>,
    to: To<'r, R>,
}

/// Where parts go.
enum To<'r, R> {
    People(&'r mut dyn Write),
    Programs(&'r mut dyn FnMut(&Head<'_>, &mut Source<'_, R>) -> Result<()>),
}

impl<R> Receiver<'_, R> {
    /// The writer, if the output is for people: then the command writes its parts itself.
    pub(in crate::cli) fn people(&mut self) -> Option<&mut (dyn Write + '_)> {
        match &mut self.to {
            To::People(out) => Some(*out),
            To::Programs(_) => None,
        }
    }

    /// Takes a part, for programs.
    ///
    /// # Errors
    /// Those of `rows`, and of the output.
    pub(in crate::cli) fn part(&mut self, head: &Head<'_>, rows: &mut Source<'_, R>) -> Result<()> {
        match &mut self.to {
            To::People(_) => Ok(()),
            To::Programs(take) => take(head, rows),
        }
    }

    /// Adds notes for programs: members of the document, or lines on standard error.
    pub(in crate::cli) fn notes(&mut self, notes: impl IntoIterator<Item = Note>) {
        self.notes.borrow_mut().extend(notes);
    }
}

/// Runs a command with rows in parts.
///
/// # Errors
/// Those of the command, and of the output.
pub(in crate::cli) fn run<C: Parts>(
    command: &mut C,
    choice: &Choice<C::Row>,
    rounds: Rounds,
    cx: &Context<'_>,
    output: &mut Output,
) -> Result<Status> {
    let mut troubles = Troubles::new(cx.is_quiet());
    let mut sink = Sink::new(cx, output, rounds.is_repeated());
    rounds.each(|number| {
        sink.begin_round();
        let round = rounds.is_repeated().then_some(number);
        let notes = RefCell::new(Vec::new());
        let flow = if cx.is_for_people() {
            let mut to = Receiver { troubles: &mut troubles, notes: &notes, to: To::People(sink.people()?) };
            command.round(cx, round, choice, &mut to)?
        } else if cx.is_document() {
            let names: Vec<&str> = choice.for_documents().iter().map(|field| &*field.name).collect();
            let (flow, began, failed) = (RefCell::new(Ok(Flow::GoOn)), Flag::new(false), Flag::new(false));
            let mut read = |take: &mut Take<'_, C::Row>| {
                let mut to = Receiver { troubles: &mut troubles, notes: &notes, to: To::Programs(take) };
                let done = command.round(cx, round, choice, &mut to);
                failed.set(done.is_err());
                *flow.borrow_mut() = done;
            };
            let data = Data {
                parts: C::PARTS,
                rows: C::ROWS,
                plan: &Plan::of(names),
                fields: &choice.for_documents(),
                read: RefCell::new(&mut read),
                began: &began,
                reading_failed: &failed,
                stopped: Flag::new(false),
                failed: RefCell::new(None),
            };
            let written = sink.held_document(C::SCHEMA, &data, &notes, &began);
            let stopped = data.stopped.get();
            match flow.into_inner() {
                Err(error) if !stopped => return Err(error),
                Err(_) => return written.map(|()| Flow::Last),
                Ok(flow) => written.map(|()| flow)?,
            }
        } else {
            let fields = cx.for_programs(choice);
            let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
            let mut take = |head: &Head<'_>, source: &mut Source<'_, C::Row>| {
                let mut rows_of = |rows: &[C::Row]| sink.part(head.before, &names, &Table { fields: &fields, rows });
                rows_of(&[])?;
                source(&mut rows_of)
            };
            let mut to = Receiver { troubles: &mut troubles, notes: &notes, to: To::Programs(&mut take) };
            let flow = command.round(cx, round, choice, &mut to)?;
            sink.say(&notes.borrow());
            flow
        };
        sink.end_round()?;
        Ok(flow)
    })?;
    Ok(troubles.status)
}

/// What takes the parts of a round.
type Take<'t, R> = dyn FnMut(&Head<'_>, &mut Source<'_, R>) -> Result<()> + 't;

/// Reads a round, and passes on each part.
type Read<'d, R> = dyn FnMut(&mut Take<'_, R>) + 'd;

/// The data of a document, which is read while it is written.
struct Data<'d, R> {
    parts: Option<&'static str>,
    rows: &'static str,
    plan: &'d Plan,
    fields: &'d [&'d Field<R>],
    read: RefCell<&'d mut Read<'d, R>>,
    /// Whether there was a part.
    began: &'d Flag<bool>,
    /// Whether the reading failed.
    reading_failed: &'d Flag<bool>,
    /// Whether the reading was stopped because nothing more can be written.
    stopped: Flag<bool>,
    /// What went wrong with reading the rows of a part.
    failed: RefCell<Option<anyhow::Error>>,
}

impl<R> Serialize for Data<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(parts) = self.parts {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(parts, &List(self))?;
            return map.end();
        }
        let (mut serializer, mut done) = (Some(serializer), None);
        self.each(&mut |part| {
            done = serializer.take().map(|serializer| part.serialize(serializer));
            done.as_ref().is_none_or(Result::is_ok)
        });
        match (done, serializer) {
            // A reader that has had enough is not a failure to read.
            (Some(Err(error)), _) => Err(error),
            _ if self.reading_failed.get() => Err(serde::ser::Error::custom("the part could not be read")),
            (Some(done), _) => done,
            (None, Some(serializer)) => serializer.serialize_map(Some(0))?.end(),
            (None, None) => Err(serde::ser::Error::custom("nothing was read")),
        }
    }
}

impl<R> Data<'_, R> {
    /// Reads, and passes on each part; `take` says whether it could be written.
    fn each(&self, take: &mut dyn FnMut(&Part<'_, '_, R>) -> bool) {
        let mut read = self.read.borrow_mut();
        read(&mut |head, source| {
            self.began.set(true);
            let part = Part { data: self, head, source: RefCell::new(source) };
            let is_written = take(&part);
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if !is_written {
                self.stopped.set(true);
                anyhow::bail!("the document cannot be written");
            }
            Ok(())
        });
    }
}

/// All parts.
struct List<'d, 'r, R>(&'d Data<'r, R>);

impl<R> Serialize for List<'_, '_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut failed = None;
        self.0.each(&mut |part| match list.serialize_element(part) {
            Ok(()) => true,
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        match failed {
            Some(error) => Err(error),
            None if self.0.reading_failed.get() => Err(serde::ser::Error::custom("not all parts could be read")),
            None => list.end(),
        }
    }
}

/// A part: its members, and its rows as one of them.
struct Part<'p, 'd, R> {
    data: &'p Data<'d, R>,
    head: &'p Head<'p>,
    source: RefCell<&'p mut Source<'p, R>>,
}

impl<R> Serialize for Part<'_, '_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Members<'p> {
            #[serde(flatten)]
            object: &'p dyn erased_serde::Serialize,
            #[serde(flatten)]
            rows: Option<std::collections::BTreeMap<&'static str, Records<'p>>>,
        }
        let records = Records { plan: self.data.plan, rows: self };
        let rows = self.head.has_rows.then(|| [(self.data.rows, records)].into());
        Members { object: self.head.object, rows }.serialize(serializer)
    }
}

impl<R> Rows for Part<'_, '_, R> {
    fn each(&self, take: &mut dyn FnMut(&[Cell<'_>]) -> io::Result<()>) -> io::Result<()> {
        let fields = self.data.fields;
        let mut source = self.source.borrow_mut();
        source(&mut |rows| Table { fields, rows }.each(take)).map_err(|error| match error.downcast::<io::Error>() {
            Ok(error) => error,
            Err(error) => {
                self.data.failed.replace(Some(error));
                io::Error::other("what is written could not be read")
            }
        })
    }
}
