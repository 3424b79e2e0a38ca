//! What the documents of every command hold: rows, which are made of fields, and what stands beside them, which is made of
//! types.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::rows::{Member, Object};
use crate::cli::fields::{self, Always};
use crate::model::smaps::KNOWN_KEYS;
use crate::view::field::{Described, Kind, Role, Unit};

/// The schemas of what is no field, made of the types: see `types.rs`.
const TYPES: &str = include_str!("types.json");

/// A document of a command.
pub(super) struct Document {
    /// The command, subcommands with a blank before their name.
    pub(super) command: &'static str,
    /// Its member `schema`.
    pub(super) id: &'static str,
    /// What its data has besides rows: its name among the types. Empty for nothing.
    data: &'static str,
    rows: Option<Rows>,
    parts: Parts,
}

/// The rows of a document.
struct Rows {
    /// What it calls them.
    key: &'static str,
    /// The options with which the command has these rows.
    options: &'static [&'static str],
    /// Whether the document has them.
    there: There,
}

/// Whether a document has its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Always,
    /// With some options.
    AtTimes,
    /// In a shape of its own: as rows they are in lines only.
    InLines,
}

/// What the rows of a document are of.
enum Parts {
    /// All of the machine's, or of whatever it is about.
    One,
    /// Of one process.
    Process,
    /// Of several processes, each a row with these options.
    Rows(&'static [&'static str]),
    /// Of several processes, each with the members of this type.
    Typed(&'static str),
}

/// What a document calls several processes.
const PROCESSES: &str = "processes";

const fn document(command: &'static str, id: &'static str, data: &'static str, key: &'static str) -> Document {
    Document { command, id, data, rows: Some(Rows { key, options: &[], there: There::Always }), parts: Parts::One }
}

/// All documents.
pub(super) static DOCUMENTS: &[Document] = &[
    document("buddy", "pmem.buddy/1", "buddy", "zones"),
    Document {
        // Without --summary.
        rows: Some(Rows { key: "vmas", options: &[], there: There::AtTimes }),
        parts: Parts::Rows(&["--summary"]),
        ..document("frames", "pmem.frames/1", "", "")
    },
    Document {
        rows: Some(Rows { key: "lines", options: &[], there: There::InLines }),
        ..document("numa", "pmem.numa/1", "numa", "")
    },
    Document {
        rows: Some(Rows { key: "mappings", options: &["--all"], there: There::Always }),
        parts: Parts::Typed("numa process"),
        ..document("numa", "pmem.numa/1", "", "")
    },
    Document { parts: Parts::Process, ..document("pages", "pmem.pages/1", "", "runs") },
    document("slab", "pmem.slab/1", "slab", "caches"),
    document("where", "pmem.where/1", "where", "lines"),
];

impl Document {
    /// What it is called among the definitions.
    pub(super) fn name(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }
}

/// What is made of the types.
pub(super) struct Types(Value);

impl Types {
    /// All of it.
    pub(super) fn read() -> serde_json::Result<Self> {
        serde_json::from_str(TYPES).map(Self)
    }

    /// The definitions that documents refer to.
    pub(super) fn definitions(&self) -> Map<String, Value> {
        self.0["$defs"].as_object().cloned().unwrap_or_default()
    }

    /// The schema of documents of one name, and everything that stands around their data.
    pub(super) fn document(&self, documents: &[&Document], about: &str) -> Option<Value> {
        let document = documents.first()?;
        let mut data: Vec<Value> = documents.iter().map(|document| self.data(document)).collect();
        let data = match data.len() {
            1 => data.remove(0),
            _ => json!({ "anyOf": data }),
        };
        let text = |text: &str| json!({ "type": "string", "description": text });
        let mut time = text("When it was made, UTC");
        time["format"] = "date-time".into();
        Some(json!({
            "title": format!("pmem {}", document.command),
            "description": about,
            "type": "object",
            "properties": {
                "schema": { "const": document.id, "description": "Name and version of this form" },
                "time": time,
                "host": { "$ref": "#/$defs/Host" },
                "source": { "enum": ["live", "recorded"], "description": "The live machine, or a recorded tree" },
                "data": data,
                "notes": {
                    "type": "array",
                    "items": { "$ref": "#/$defs/Note" },
                    "description": "What a reader must know to read the numbers right",
                },
            },
            "required": ["schema", "time", "host", "source", "data", "notes"],
            "additionalProperties": false,
        }))
    }

    fn data(&self, document: &Document) -> Value {
        let mut data = self.typed(document.data);
        match document.parts {
            Parts::One => self.add_rows(&mut data, document),
            Parts::Process => {
                let process = process();
                data = self.object(document.command, &process, &|_| true);
                self.add_rows(&mut data, document);
            }
            Parts::Rows(_) | Parts::Typed(_) => {
                let mut part = match document.parts {
                    Parts::Rows(options) => self.row(document.command, options),
                    Parts::Typed(name) => self.typed(name),
                    Parts::One | Parts::Process => Object::default(),
                };
                self.add_rows(&mut part, document);
                data.properties.insert(PROCESSES.to_owned(), json!({ "type": "array", "items": part.schema() }));
                data.required.push(PROCESSES.into());
            }
        }
        data.schema()
    }

    /// The members of a type.
    fn typed(&self, name: &str) -> Object {
        let own = &self.0["data"][name];
        Object {
            properties: own["properties"].as_object().cloned().unwrap_or_default(),
            required: own["required"].as_array().cloned().unwrap_or_default(),
            ..Object::default()
        }
    }

    fn add_rows(&self, to: &mut Object, document: &Document) {
        let Some(rows) = document.rows.as_ref().filter(|rows| rows.there != There::InLines) else { return };
        let row = self.row(document.command, rows.options).schema();
        to.properties.insert(rows.key.to_owned(), json!({ "type": "array", "items": row }));
        if rows.there == There::Always {
            to.required.push(rows.key.into());
        }
    }

    /// A row of a document.
    fn row(&self, command: &str, options: &[&str]) -> Object {
        let has = |option: &str| options.contains(&option);
        let mut fields = fields_of(command, &has);
        fields.retain(|field| !field.people_only);
        let always = fields::always(command, &has);
        self.object(command, &fields, &|field| always.contains(&*field.name))
    }

    /// The lines of a command, of each kind that it has: a row with any of its fields, after its time and the process it
    /// belongs to.
    pub(super) fn lines(&self, document: &Document) -> Vec<Value> {
        let mut kinds = Vec::new();
        if let Parts::Rows(options) = document.parts {
            kinds.push((options, Vec::new()));
        }
        if let Some(rows) = &document.rows {
            kinds.push((rows.options, if matches!(document.parts, Parts::One) { Vec::new() } else { process() }));
        }
        let line = |(options, before): (&[&str], Vec<Described>)| {
            let fields = fields_of(document.command, &|option| options.contains(&option));
            // An object with some of its members is not known where these are not.
            let mut object = self.object(document.command, &fields, &|_| false);
            let before = self.object(document.command, &before, &|_| true);
            object.properties.extend(before.properties);
            object.required = before.required;
            object.required.push("time".into());
            let time = json!({ "type": "string", "format": "date-time", "description": "When it was made, UTC" });
            object.properties.insert("time".to_owned(), time);
            object.schema()
        };
        kinds.into_iter().map(line).collect()
    }

    fn object(&self, command: &str, fields: &[Described], is_always: &dyn Fn(&Described) -> bool) -> Object {
        let nested = |name: &str| self.0["nested"][command].get(name).cloned();
        let members = fields.iter().map(|field| Member { name: &field.name, field, is_always: is_always(field) });
        let mut object = Object::of(&members.collect::<Vec<_>>(), &nested);
        if let Some(smaps) = object.properties.get_mut("smaps") {
            // A later kernel may have more of them.
            smaps["additionalProperties"] = json!({ "type": ["integer", "null"], "minimum": 0 });
        }
        // There is one for each node of the machine.
        if let Some(schema) = object.properties.remove("node0_bytes") {
            object.required.retain(|name| *name != "node0_bytes");
            object.patterns.insert("^node[0-9]+_bytes$".to_owned(), schema);
        }
        object
    }
}

/// The fields of a row, with all that a command line may ask for.
fn fields_of(command: &str, has: &dyn Fn(&str) -> bool) -> Vec<Described> {
    let keys: Vec<String> = KNOWN_KEYS.iter().map(|&key| key.to_owned()).collect();
    fields::with(command, has, Always::No, &keys).unwrap_or_default()
}

/// What stands before the rows of a process.
fn process() -> Vec<Described> {
    let field = |name, help, kind| Described {
        name: Cow::Borrowed(name),
        aliases: Vec::new(),
        help: Cow::Borrowed(help),
        unit: Unit::None,
        role: Role::Label,
        kind,
        nullable: false,
        on_request: false,
        people_only: false,
    };
    vec![field("pid", "Process ID", Kind::Unsigned), field("comm", "Name of the process", Kind::Name)]
}

/// Adds the definitions that a schema refers to, and those that these refer to.
pub(super) fn add_definitions(schema: &mut Value, all: &Map<String, Value>) {
    let (mut found, mut new) = (BTreeSet::new(), names_in(schema));
    while let Some(name) = new.pop() {
        if found.insert(name.clone()) {
            new.extend(all.get(&name).map(names_in).unwrap_or_default());
        }
    }
    let kept = all.iter().filter(|(name, _)| found.contains(*name));
    schema["$defs"] = kept.map(|(name, schema)| (name.clone(), schema.clone())).collect::<Map<_, _>>().into();
}

/// The names of the definitions that a schema refers to.
fn names_in(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
            own.map(str::to_owned).into_iter().chain(members.values().flat_map(names_in)).collect()
        }
        Value::Array(items) => items.iter().flat_map(names_in).collect(),
        _ => Vec::new(),
    }
}
