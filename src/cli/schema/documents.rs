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

/// A document of a command. A command whose options make another one has several with one `id`.
pub(super) struct Document {
    /// The command, subcommands with a blank before their name.
    pub(super) command: &'static str,
    /// Its member `schema`.
    pub(super) id: &'static str,
    /// What its data is made of.
    data: &'static [Part],
    /// What a line of its rows is made of, for each kind of row.
    lines: &'static [&'static [Part]],
}

/// Part of an object.
enum Part {
    /// The members of a type: its name in `types.json`.
    Type(&'static str),
    /// The fields of a row: the command, and the options with which it has these rows.
    Row(&'static str, &'static [&'static str]),
    /// The same without this field, which stands around the rows.
    RowWithout(&'static str, &'static str, &'static [&'static str]),
    /// Whose the rows are.
    Process,
    /// A list of objects of these parts.
    List(&'static str, &'static [Part]),
    /// The same, which some options leave out.
    ListAtTimes(&'static str, &'static [Part]),
    /// An object of these parts.
    Object(&'static str, &'static [Part]),
}

use Part::{List, ListAtTimes, Object as Below, Process, Row, RowWithout, Type};

/// All documents.
pub(super) static DOCUMENTS: &[Document] = &[
    Document {
        command: "buddy",
        id: "pmem.buddy/1",
        data: &[Type("buddy"), List("zones", &[Row("buddy", &[])])],
        lines: &[&[Row("buddy", &[])]],
    },
    Document {
        command: "decode",
        id: "pmem.decode/1",
        data: &[List("words", &[Row("decode", &[])])],
        lines: &[&[Row("decode", &[])]],
    },
    Document {
        command: "decode",
        id: "pmem.decode/1",
        data: &[List("flags", &[Row("decode", &["--legend"])])],
        lines: &[&[Row("decode", &["--legend"])]],
    },
    Document {
        command: "file",
        id: "pmem.file/1",
        data: &[Type("file"), List("files", &[Row("file", &[])])],
        lines: &[&[Row("file", &[])], &[Row("file runs", &[])]],
    },
    Document {
        command: "frames",
        id: "pmem.frames/1",
        data: &[List("processes", &[Row("frames", &["--summary"]), ListAtTimes("vmas", &[Row("frames", &[])])])],
        lines: &[&[Process, Row("frames", &[])], &[Row("frames", &["--summary"])]],
    },
    Document { command: "numa", id: "pmem.numa/1", data: &[Type("numa")], lines: &[&[Row("numa", &[])]] },
    Document {
        command: "numa",
        id: "pmem.numa/1",
        data: &[List("processes", &[Type("numa process"), List("mappings", &[Row("numa", &["--all"])])])],
        lines: &[&[Process, Row("numa", &["--all"])]],
    },
    Document {
        command: "page",
        id: "pmem.page/1",
        data: &[List("frames", &[Row("page", &[])])],
        lines: &[&[Row("page", &[])]],
    },
    Document {
        command: "pages",
        id: "pmem.pages/1",
        data: &[Process, List("runs", &[Row("pages", &[])])],
        lines: &[&[Process, Row("pages", &[])]],
    },
    Document {
        command: "rmap",
        id: "pmem.rmap/1",
        data: &[
            List("frames", &[Type("rmap frame"), List("mappers", &[RowWithout("pfn", "rmap", &[])])]),
            Type("rmap"),
        ],
        lines: &[&[Row("rmap", &[])]],
    },
    Document {
        command: "rmap",
        id: "pmem.rmap/1",
        data: &[Below("shared", &[Type("rmap shared"), List("sharers", &[Row("rmap", &["--shared-with"])])])],
        lines: &[&[Row("rmap", &["--shared-with"])]],
    },
    Document {
        command: "rmap",
        id: "pmem.rmap/1",
        data: &[Below("matrix", &[Type("rmap matrix"), List("processes", &[Row("rmap", &["--shared-with"])])])],
        lines: &[],
    },
    Document {
        command: "slab",
        id: "pmem.slab/1",
        data: &[Type("slab"), List("caches", &[Row("slab", &[])])],
        lines: &[&[Row("slab", &[])]],
    },
    Document {
        command: "translate",
        id: "pmem.translate/1",
        data: &[Row("translate", &[])],
        lines: &[&[Row("translate", &[])]],
    },
    Document {
        command: "where",
        id: "pmem.where/1",
        data: &[Type("where"), List("lines", &[Row("where", &[])])],
        lines: &[&[Row("where", &[])]],
    },
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
        let data: Vec<Value> = documents.iter().map(|document| self.object(document.data).schema()).collect();
        let data = any(data)?;
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

    /// An object of these parts.
    fn object(&self, parts: &[Part]) -> Object {
        let mut object = Object::default();
        for part in parts {
            match part {
                Type(name) => object.add(self.typed(name)),
                Row(command, options) => object.add(self.row(command, options, |_| true)),
                RowWithout(name, command, options) => {
                    object.add(self.row(command, options, |field| field.name != *name));
                }
                Process => object.add(self.fields("", &process(), &|_| true)),
                List(key, parts) => {
                    object.add_member(key, json!({ "type": "array", "items": self.object(parts).schema() }), true);
                }
                ListAtTimes(key, parts) => {
                    object.add_member(key, json!({ "type": "array", "items": self.object(parts).schema() }), false);
                }
                Below(key, parts) => object.add_member(key, self.object(parts).schema(), true),
            }
        }
        object
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

    /// A row of a document.
    fn row(&self, command: &str, options: &[&str], keeps: impl Fn(&Described) -> bool) -> Object {
        let has = |option: &str| options.contains(&option);
        let mut fields = fields_of(command, &has);
        fields.retain(|field| !field.people_only && keeps(field));
        let always = fields::always(command, &has);
        self.fields(command, &fields, &|field| always.contains(&*field.name))
    }

    /// The lines of documents of one name: a row with any of its fields, after its time and the process it belongs to.
    pub(super) fn lines(&self, documents: &[&Document]) -> Option<Value> {
        let kinds = documents.iter().flat_map(|document| document.lines);
        any(kinds.map(|parts| self.line(parts).schema()).collect())
    }

    fn line(&self, parts: &[Part]) -> Object {
        let mut object = Object::default();
        for part in parts {
            object.add(match part {
                // Any of the fields can be left out; an object with some of its members is not known where these are not.
                Row(command, options) => {
                    let fields = fields_of(command, &|option| options.contains(&option));
                    self.fields(command, &fields, &|_| false)
                }
                other => self.object(std::slice::from_ref(other)),
            });
        }
        let time = json!({ "type": "string", "format": "date-time", "description": "When it was made, UTC" });
        object.add_member("time", time, true);
        object
    }

    fn fields(&self, command: &str, fields: &[Described], is_always: &dyn Fn(&Described) -> bool) -> Object {
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

/// One of these; `None` where there is none.
fn any(mut schemas: Vec<Value>) -> Option<Value> {
    match schemas.len() {
        0 | 1 => schemas.pop(),
        _ => Some(json!({ "anyOf": schemas })),
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
