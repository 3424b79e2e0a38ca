//! What the documents of every command contain: rows, which consist of fields, and everything else, which comes from
//! types.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::rows::{Member, Object};
use crate::cli::fields::{self, Always};
use crate::model::smaps::KNOWN_KEYS;
use crate::view::field::{Described, Kind, Role, Unit};

/// The schemas of what is not a field, generated from the types: see `types.rs`.
const TYPES: &str = include_str!("types.json");

/// A document of a command. A command with options that change its document has several, all with the same `id`.
pub(super) struct Document {
    /// The command; a subcommand follows its command after a blank.
    pub(super) command: &'static str,
    /// The value of its member `schema`.
    pub(super) id: &'static str,
    /// The parts of its data.
    data: &'static [Part],
    lines: Lines,
}

/// What JSON lines contain.
enum Lines {
    /// Rows of these kinds, each with its parts.
    Rows(&'static [&'static [Part]]),
    /// The whole document.
    Document,
}

/// Part of an object.
enum Part {
    /// The members of a type: its name in `types.json`.
    Type(&'static str),
    /// The fields of a row: the command, and the options with which it has these rows.
    Row(&'static str, &'static [&'static str]),
    /// The same without this field, which is outside the rows.
    RowWithout(&'static str, &'static str, &'static [&'static str]),
    /// The process that the rows belong to.
    Process,
    /// A list of objects of these parts.
    List(&'static str, &'static [Part]),
    /// The same, or null.
    ListOrNull(&'static str, &'static [Part]),
    /// A list that some options leave out.
    ListAtTimes(&'static str, &'static [Part]),
    /// An object of these parts.
    Object(&'static str, &'static [Part]),
}

use Lines::Rows;
use Part::{List, ListAtTimes, ListOrNull, Object as Below, Process, Row, RowWithout, Type};

/// All documents.
pub(super) static DOCUMENTS: &[Document] = &[
    Document {
        command: "buddy",
        id: "pmem.buddy/1",
        data: &[Type("buddy"), List("zones", &[Row("buddy", &[])])],
        lines: Rows(&[&[Row("buddy", &[])]]),
    },
    Document { command: "capture", id: "pmem.capture/1", data: &[Type("capture")], lines: Lines::Document },
    Document {
        command: "decode",
        id: "pmem.decode/1",
        data: &[List("words", &[Row("decode", &[])])],
        lines: Rows(&[&[Row("decode", &[])]]),
    },
    Document {
        command: "decode",
        id: "pmem.decode/1",
        data: &[List("flags", &[Row("decode", &["--legend"])])],
        lines: Rows(&[&[Row("decode", &["--legend"])]]),
    },
    Document { command: "demo", id: "pmem.demo/1", data: &[Type("demo")], lines: Rows(&[&[Row("demo", &[])]]) },
    Document { command: "demo", id: "pmem.demo-all/1", data: &[Type("demo all")], lines: Rows(&[]) },
    Document {
        command: "demo",
        id: "pmem.demo-list/1",
        data: &[List("demos", &[Row("demo", &["--list"])])],
        lines: Rows(&[&[Row("demo", &["--list"])]]),
    },
    Document { command: "doctor", id: "pmem.doctor/1", data: &[Type("doctor")], lines: Lines::Document },
    Document {
        command: "file",
        id: "pmem.file/1",
        data: &[Type("file"), List("files", &[Row("file", &[])])],
        lines: Rows(&[&[Row("file", &[])], &[Row("file runs", &[])]]),
    },
    Document {
        command: "frames",
        id: "pmem.frames/1",
        data: &[List("processes", &[Row("frames", &["--summary"]), ListAtTimes("vmas", &[Row("frames", &[])])])],
        lines: Rows(&[&[Process, Row("frames", &[])], &[Row("frames", &["--summary"])]]),
    },
    Document {
        command: "lru",
        id: "pmem.lru/1",
        data: &[Type("lru"), List("states", &[Row("lru", &[])])],
        lines: Rows(&[&[Row("lru", &[])]]),
    },
    Document { command: "numa", id: "pmem.numa/1", data: &[Type("numa")], lines: Rows(&[&[Row("numa", &[])]]) },
    Document {
        command: "numa",
        id: "pmem.numa/1",
        data: &[List("processes", &[Type("numa process"), List("mappings", &[Row("numa", &["--all"])])])],
        lines: Rows(&[&[Process, Row("numa", &["--all"])]]),
    },
    Document {
        command: "page",
        id: "pmem.page/1",
        data: &[List("frames", &[Row("page", &[])])],
        lines: Rows(&[&[Row("page", &[])]]),
    },
    Document {
        command: "pages",
        id: "pmem.pages/1",
        data: &[Process, List("runs", &[Row("pages", &[])])],
        lines: Rows(&[&[Process, Row("pages", &[])]]),
    },
    Document {
        command: "phys",
        id: "pmem.phys/1",
        data: &[Type("phys"), List("classes", &[Row("phys", &[])])],
        lines: Rows(&[&[Row("phys", &[])]]),
    },
    Document {
        command: "rmap",
        id: "pmem.rmap/1",
        data: &[
            List("frames", &[Type("rmap frame"), List("mappers", &[RowWithout("pfn", "rmap", &[])])]),
            Type("rmap"),
        ],
        lines: Rows(&[&[Row("rmap", &[])]]),
    },
    Document {
        command: "rmap",
        id: "pmem.rmap/1",
        data: &[Below("shared", &[Type("rmap shared"), List("sharers", &[Row("rmap", &["--shared-with"])])])],
        lines: Rows(&[&[Row("rmap", &["--shared-with"])]]),
    },
    Document {
        command: "rmap",
        id: "pmem.rmap/1",
        data: &[Below("matrix", &[Type("rmap matrix"), List("processes", &[Row("rmap", &["--shared-with"])])])],
        lines: Rows(&[]),
    },
    Document {
        command: "slab",
        id: "pmem.slab/1",
        data: &[Type("slab"), List("caches", &[Row("slab", &[])])],
        lines: Rows(&[&[Row("slab", &[])]]),
    },
    Document {
        command: "slab diff",
        id: "pmem.slab-diff/1",
        data: &[Type("slab diff"), List("caches", &[Row("slab diff", &[])])],
        lines: Rows(&[&[Row("slab diff", &[])]]),
    },
    Document {
        command: "slab show",
        id: "pmem.slab-show/1",
        data: &[List("caches", &[Row("slab show", &[])])],
        lines: Rows(&[&[Row("slab show", &[])]]),
    },
    Document {
        command: "translate",
        id: "pmem.translate/1",
        data: &[Row("translate", &[])],
        lines: Rows(&[&[Row("translate", &[])]]),
    },
    Document {
        command: "vmalloc",
        id: "pmem.vmalloc/1",
        data: &[Type("vmalloc"), ListOrNull("callers", &[Row("vmalloc", &[])])],
        lines: Rows(&[&[Row("vmalloc", &[])]]),
    },
    Document {
        command: "vmalloc",
        id: "pmem.vmalloc/1",
        data: &[
            Type("vmalloc"),
            ListOrNull("callers", &[Row("vmalloc", &[])]),
            List("areas", &[Row("vmalloc", &["--areas"])]),
        ],
        lines: Rows(&[&[Row("vmalloc", &["--areas"])]]),
    },
    Document {
        command: "where",
        id: "pmem.where/1",
        data: &[Type("where"), List("lines", &[Row("where", &[])])],
        lines: Rows(&[&[Row("where", &[])]]),
    },
    Document {
        command: "where diff",
        id: "pmem.where-diff/1",
        data: &[Type("where diff"), List("lines", &[Row("where diff", &[])])],
        lines: Rows(&[&[Row("where diff", &[])]]),
    },
];

/// The description of the member `schema`.
const ID: &str = "Name and version of this format";

/// A schema with the name of its command, and the purpose of that.
fn described(mut schema: Value, document: &Document, about: &str) -> Value {
    schema["title"] = format!("pmem {}", document.command).into();
    schema["description"] = about.into();
    schema
}

impl Document {
    /// Whether it is only data, without anything around it: the content of a file that pmem writes.
    fn is_bare(&self) -> bool {
        self.command == "capture"
    }

    /// Its name among the definitions.
    pub(super) fn name(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }
}

/// The schemas generated from types.
pub(super) struct Types(Value);

impl Types {
    /// Reads all of them.
    pub(super) fn read() -> serde_json::Result<Self> {
        serde_json::from_str(TYPES).map(Self)
    }

    /// The definitions that documents refer to.
    pub(super) fn definitions(&self) -> Map<String, Value> {
        self.0["$defs"].as_object().cloned().unwrap_or_default()
    }

    /// The schema of the documents with one name, including everything around their data.
    pub(super) fn document(&self, documents: &[&Document], about: &str) -> Option<Value> {
        let document = documents.first()?;
        if document.is_bare() {
            let mut whole = self.object(document.data).schema();
            whole["properties"]["schema"] = json!({ "const": document.id, "description": ID });
            return Some(described(whole, document, about));
        }
        let data: Vec<Value> = documents.iter().map(|document| self.object(document.data).schema()).collect();
        let data = any(data)?;
        let text = |text: &str| json!({ "type": "string", "description": text });
        let mut time = text("When it was made, UTC");
        time["format"] = "date-time".into();
        let whole = json!({
            "type": "object",
            "properties": {
                "schema": { "const": document.id, "description": ID },
                "time": time,
                "host": { "$ref": "#/$defs/Host" },
                "source": { "enum": ["live", "recorded"], "description": "The live machine, or a recorded tree" },
                "data": data,
                "notes": {
                    "type": "array",
                    "items": { "$ref": "#/$defs/Note" },
                    "description": "What to know when reading the numbers",
                },
            },
            "required": ["schema", "time", "host", "source", "data", "notes"],
            "additionalProperties": false,
        });
        Some(described(whole, document, about))
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
                ListOrNull(key, parts) => {
                    let list = json!({ "type": ["array", "null"], "items": self.object(parts).schema() });
                    object.add_member(key, list, true);
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

    /// The lines of the documents with one name: a row with any of its fields, after its time and the process it
    /// belongs to.
    pub(super) fn lines(&self, documents: &[&Document], about: &str) -> Option<Value> {
        let rows = documents.iter().map(|document| match document.lines {
            Rows(kinds) => Some(kinds),
            Lines::Document => None,
        });
        match rows.collect::<Option<Vec<_>>>() {
            Some(kinds) => any(kinds.into_iter().flatten().map(|parts| self.line(parts).schema()).collect()),
            None => self.document(documents, about),
        }
    }

    fn line(&self, parts: &[Part]) -> Object {
        let mut object = Object::default();
        for part in parts {
            object.add(match part {
                // Any of the fields can be left out; an object with only some of its members is null if those are not
                // known.
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
        for unit in ["bytes", "pages"] {
            let first = format!("node0_{unit}");
            if let Some(mut schema) = object.properties.remove(&first) {
                object.required.retain(|name| *name != *first);
                schema["description"] = "Memory on this node".into();
                object.patterns.insert(format!("^node[0-9]+_{unit}$"), schema);
            }
        }
        object
    }
}

/// A schema for any of these; `None` if there are none.
fn any(mut schemas: Vec<Value>) -> Option<Value> {
    match schemas.len() {
        0 | 1 => schemas.pop(),
        _ => Some(json!({ "anyOf": schemas })),
    }
}

/// The fields of a row, with everything that a command line may request.
fn fields_of(command: &str, has: &dyn Fn(&str) -> bool) -> Vec<Described> {
    let keys: Vec<String> = KNOWN_KEYS.iter().map(|&key| key.to_owned()).collect();
    fields::with(command, has, Always::No, &keys).unwrap_or_default()
}

/// What comes before the rows of a process.
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

/// Adds the definitions that a schema refers to, and those that they refer to in turn.
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
