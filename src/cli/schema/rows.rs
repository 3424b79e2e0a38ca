//! The schema of rows, generated from their fields.

use serde_json::{Map, Value, json};

use crate::view::field::{Described, Kind, Role};

/// A field, and its place in an object.
#[derive(Clone, Copy)]
pub(super) struct Member<'f> {
    /// Its name, or the rest of it below an object.
    pub(super) name: &'f str,
    /// The field.
    pub(super) field: &'f Described,
    /// Whether every row has it, known or not.
    pub(super) is_always: bool,
}

/// The schemas of fields of [`Kind::Nested`], by name.
pub(super) type Nested<'n> = dyn Fn(&str) -> Option<Value> + 'n;

/// The object of a row: its properties, and the names of those that are always there.
#[derive(Default)]
pub(super) struct Object {
    pub(super) properties: Map<String, Value>,
    pub(super) required: Vec<Value>,
    /// Properties whose names match a pattern.
    pub(super) patterns: Map<String, Value>,
}

impl Object {
    /// The object of these fields.
    pub(super) fn of(members: &[Member<'_>], nested: &Nested<'_>) -> Self {
        let (mut object, mut seen) = (Self::default(), Vec::new());
        for member in members {
            let Some((first, rest)) = member.name.split_once('.') else {
                object.add_value(member, nested);
                continue;
            };
            if seen.contains(&first) {
                continue;
            }
            seen.push(first);
            let below = members.iter().filter_map(|other| {
                let name = other.name.strip_prefix(first)?.strip_prefix('.')?;
                Some(Member { name, ..*other })
            });
            let below: Vec<Member<'_>> = below.collect();
            let is_list = rest.bytes().all(|byte| byte.is_ascii_digit());
            let mut schema = if is_list { list(&below, nested) } else { Self::of(&below, nested).schema() };
            // If nothing in it is known, it is null.
            if is_unknown_at_times(&below) {
                or_null(&mut schema);
            }
            object.add_member(first, schema, below.iter().any(|member| member.is_always));
        }
        object
    }

    /// The same as a schema that allows nothing else.
    pub(super) fn schema(self) -> Value {
        let Self { properties, required, patterns } = self;
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        if !patterns.is_empty() {
            schema["patternProperties"] = patterns.into();
        }
        schema
    }

    /// Adds everything from another object.
    pub(super) fn add(&mut self, other: Self) {
        self.properties.extend(other.properties);
        self.required.extend(other.required);
        self.patterns.extend(other.patterns);
    }

    /// Adds a member.
    pub(super) fn add_member(&mut self, name: &str, schema: Value, is_always: bool) {
        self.properties.insert(name.to_owned(), schema);
        self.required.extend(is_always.then(|| name.into()));
    }

    fn add_value(&mut self, member: &Member<'_>, nested: &Nested<'_>) {
        let Member { name, field, is_always } = *member;
        self.add_member(name, property(field, nested), is_always);
        if matches!(field.kind, Kind::Name | Kind::NameOrNumber) {
            self.properties.insert(format!("{name}_hex"), hex_of(name));
        }
    }
}

/// A name in hexadecimal, for names that are not UTF-8.
fn hex_of(name: &str) -> Value {
    json!({
        "type": "string",
        "pattern": "^([0-9a-f]{2})+$",
        "description": format!("The bytes of {name} in hexadecimal, if it is not UTF-8"),
    })
}

/// Whether an object with these members can be null, if nothing in it is known.
fn is_unknown_at_times(members: &[Member<'_>]) -> bool {
    // Members that exist only on request do not prevent that, unless there are no others.
    let always = || members.iter().filter(|member| member.is_always);
    match always().next() {
        Some(_) => always().all(|member| member.field.nullable),
        None => members.iter().any(|member| member.field.nullable),
    }
}

fn list(members: &[Member<'_>], nested: &Nested<'_>) -> Value {
    let items: Vec<Value> = members.iter().map(|member| property(member.field, nested)).collect();
    let mut further = items.first().cloned().unwrap_or_default();
    if let Some(further) = further.as_object_mut() {
        further.remove("description");
    }
    json!({ "type": "array", "prefixItems": items, "items": further })
}

/// The schema of a field.
fn property(field: &Described, nested: &Nested<'_>) -> Value {
    let strings = || json!({ "type": "array", "items": { "type": "string" } });
    let mut schema = match field.kind {
        Kind::Text | Kind::Name => json!({ "type": "string" }),
        Kind::List => strings(),
        Kind::Unsigned => json!({ "type": "integer", "minimum": 0 }),
        Kind::Signed => json!({ "type": "integer" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Hex => json!({ "type": "string", "pattern": "^0x[0-9a-f]+$" }),
        Kind::Flags => json!({ "$ref": "#/$defs/FrameFlags" }),
        Kind::NameOrNumber => json!({ "type": ["string", "integer"] }),
        Kind::VmFlags => json!({
            "type": "object",
            "properties": { "raw": { "type": "string" }, "names": strings() },
            "required": ["raw", "names"],
            "additionalProperties": false,
        }),
        Kind::Nodes => by_node("slabs", "count"),
        Kind::NodePages => by_node("pages", "pages"),
        Kind::Nested | Kind::Counted => nested(&field.name).unwrap_or_else(|| json!({})),
    };
    if field.nullable {
        or_null(&mut schema);
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), (*field.help).into());
        schema.extend(field.unit.name().map(|unit| ("x-unit".to_owned(), unit.into())));
        let role = match field.role {
            Role::Label => "label",
            Role::Gauge => "gauge",
        };
        schema.insert("x-role".to_owned(), role.into());
    }
    schema
}

/// A list of numbers, one for each NUMA node.
fn by_node(name: &str, unit: &str) -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "node": { "type": "integer", "minimum": 0 },
                name: { "type": "integer", "minimum": 0, "x-unit": unit },
            },
            "required": ["node", name],
            "additionalProperties": false,
        },
    })
}

/// Allows a value to be null, too.
fn or_null(schema: &mut Value) {
    let is_plain = schema.get("enum").is_none() && schema.get("const").is_none();
    match schema.get_mut("type").filter(|_| is_plain) {
        Some(Value::Array(types)) => types.push("null".into()),
        Some(kind) => *kind = json!([kind.take(), "null"]),
        None => *schema = json!({ "anyOf": [schema.take(), { "type": "null" }] }),
    }
}
