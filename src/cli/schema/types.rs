//! Generates `types.json`: the schemas of what is not a field, from the types that are serialized. Their doc comments
//! become the descriptions. This is a test, so that pmem itself need not contain the generator.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::analysis::decode::Bit;
use crate::analysis::file::{Run, Totals};
use crate::analysis::note::Note;
use crate::analysis::physical::huge_blocks::Blocker;
use crate::analysis::rmap::shared::{Matrix, SharedWith};
use crate::analysis::rmap::{Asked, FrameMappers};
use crate::analysis::slab::show::{Dentries, Fullness, Meaning, SlabSizes, Statistic, Traits, Tunables};
use crate::analysis::translate::tables::LevelTables;
use crate::analysis::translate::translation::{AsPlace, Step};
use crate::analysis::r#where::ledger::Part;
use crate::analysis::{doctor, numa, physical, slab, vmalloc, r#where};
use crate::cli::demo::All;
use crate::demo::report::DemoReport;
use crate::kernel::manifest::{Host, Manifest};
use crate::model::frame_flags::FrameFlags;

/// What a document of files has besides them.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Files {
    /// Sums over all files
    totals: Totals,
}

/// What a document of frames and who maps them has besides them.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Mapped {
    /// Which processes could be searched
    asked: Asked,
}

/// What the data of a document contains besides rows.
fn data(generator: &mut SchemaGenerator) -> Vec<(&'static str, Value)> {
    vec![
        ("buddy", members::<physical::buddy::Buddy>(generator)),
        ("capture", members::<Manifest>(generator)),
        ("demo", members::<DemoReport>(generator)),
        ("demo all", members::<All<'static>>(generator)),
        ("doctor", members::<doctor::Report>(generator)),
        ("file", members::<Files>(generator)),
        ("lru", members::<physical::lru::Report>(generator)),
        ("numa", members::<numa::Report>(generator)),
        ("numa process", members::<numa::process::ProcessNodes>(generator)),
        ("phys", members::<physical::phys::Report>(generator)),
        ("rmap", members::<Mapped>(generator)),
        ("rmap frame", members::<FrameMappers>(generator)),
        ("rmap matrix", members::<Matrix>(generator)),
        ("rmap shared", members::<SharedWith>(generator)),
        ("slab", members::<slab::Report>(generator)),
        ("slab diff", members::<slab::diff::Diff>(generator)),
        ("vmalloc", members::<vmalloc::Report>(generator)),
        ("where", members::<r#where::Report>(generator)),
        ("where diff", members::<r#where::diff::Report>(generator)),
    ]
}

/// The fields with a structure of their own: the command, the field, its schema.
fn nested(generator: &mut SchemaGenerator) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("buddy", "huge_blocks.blockers", of::<Vec<Blocker>>(generator)),
        ("decode", "bits", of::<Vec<Bit>>(generator)),
        ("decode", "notes", of::<Vec<String>>(generator)),
        ("demo", "functions", of::<Vec<(String, String)>>(generator)),
        ("file", "runs", of::<Vec<Run>>(generator)),
        ("slab show", "dentries", of::<Dentries>(generator)),
        ("slab show", "fullness", of::<Fullness>(generator)),
        ("slab show", "meanings", of::<Vec<Meaning>>(generator)),
        ("slab show", "slab", of::<SlabSizes>(generator)),
        ("slab show", "statistics", of::<Vec<Statistic>>(generator)),
        ("slab show", "traits", of::<Traits>(generator)),
        ("slab show", "tunables", of::<Tunables>(generator)),
        ("translate", "above", of::<AsPlace>(generator)),
        ("translate", "below", of::<AsPlace>(generator)),
        ("translate", "levels", of::<Vec<Step>>(generator)),
        ("translate", "tables", of::<Vec<LevelTables>>(generator)),
        ("where", "parts", of::<Vec<Part>>(generator)),
    ]
}

fn members<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).into()
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().into()
}

/// The whole file.
fn made() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let data: Map<String, Value> =
        data(&mut generator).into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut all = json!({ "data": data, "nested": {}, "$defs": {} });
    for (command, field, schema) in nested(&mut generator) {
        all["nested"][command][field] = schema;
    }
    of::<Host>(&mut generator);
    of::<Note>(&mut generator);
    of::<FrameFlags>(&mut generator);
    all["$defs"] = generator.take_definitions(true).into();
    tidy(&mut all, None);
    all
}

/// Units, by the suffix of member names.
const UNITS: [(&str, &str); 9] = [
    ("page_size", "bytes"),
    ("clock_ticks", "ticks per second"),
    ("bytes", "bytes"),
    ("pages", "pages"),
    ("frames", "frames"),
    ("percent", "percent"),
    ("seconds", "seconds"),
    ("us", "microseconds"),
    ("ticks", "ticks"),
];

/// Brings a schema into the form of the others: objects allow no other members, numbers have a unit.
fn tidy(schema: &mut Value, name: Option<&str>) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, name)),
        Value::Object(members) => {
            let is_schema = |value: &Value| value.is_string() || value.is_array();
            if members.get("type").is_some_and(is_schema) {
                // Nobody needs to know the width of a Rust number.
                members.remove("format");
                members.remove("title");
                if let Some(unit) = name.and_then(unit_of) {
                    let text = members["type"].to_string();
                    if text.contains("integer") || text.contains("number") {
                        members.insert("x-unit".to_owned(), unit.into());
                    }
                }
                if members.get("properties").is_some() && members.get("additionalProperties").is_none() {
                    members.insert("additionalProperties".to_owned(), false.into());
                }
            }
            let required = members.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                // What can be left out is left out instead of being null.
                let left_out = properties.iter_mut().filter(|(name, _)| !required.contains(&json!(name)));
                left_out.for_each(|(_, schema)| never_null(schema));
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = plain(text);
            }
            for (key, value) in members.iter_mut() {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        properties.iter_mut().for_each(|(name, value)| tidy(value, Some(name)));
                    }
                    // Each number in a list has the unit.
                    ("items" | "anyOf" | "oneOf" | "allOf" | "prefixItems", value) => tidy(value, name),
                    (_, value) => tidy(value, None),
                }
            }
        }
        _ => {}
    }
}

/// Removes null from what a value can be.
fn never_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|one| one["type"] != "null");
    }
}

/// The unit that a name ends with.
fn unit_of(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches("_per_hour");
    UNITS.into_iter().find(|(end, _)| is_in(name, end)).map(|(_, unit)| unit)
}

/// Whether a name ends with a unit.
fn is_in(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

/// A doc comment as a description: what is `None` in Rust is null in JSON, and there are no links.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, end)) = after.split_once("`]") else { break };
        let end = end.strip_prefix('(').and_then(|link| link.split_once(')')).map_or(end, |(_, end)| end);
        plain.extend([before, name]);
        rest = end;
    }
    plain.push_str(rest);
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").replace("`None`", "null").replace('`', "").trim_end_matches('.').to_owned()
}

#[test]
fn the_types_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/schema/types.json");
    let made = serde_json::to_string(&made()).unwrap() + "\n";
    if std::env::var_os("PMEM_WRITE_TYPES").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(made == kept, "types.json is not what PMEM_WRITE_TYPES=1 cargo test --lib cli::schema::types makes");
}

#[test]
fn each_type_has_a_name_of_its_own() {
    let made = made();
    for name in made["$defs"].as_object().unwrap().keys() {
        assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "two types are called {name}");
    }
}

#[test]
fn doc_comments_become_descriptions() {
    let text = "At most [`ATTEMPTS`](crate::a::ATTEMPTS): see [`X`]; `None` where\nit is not known.";
    assert_eq!(plain(text), "At most ATTEMPTS: see X; null where it is not known");
    assert!(is_in("size_bytes", "bytes") && is_in("bytes", "bytes") && !is_in("megabytes", "bytes"));
}
