//! `pmem schema`. Wherever a test runs pmem, its documents are also checked against the schema: see
//! `support/schema.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::run::pmem;
use crate::support::schema::{schema, wrong};
use crate::support::tree::fixtures;

/// The commands that have a schema.
fn commands() -> Vec<Vec<String>> {
    let whole = schema::<&str>([]);
    let titles = whole["anyOf"].as_array().unwrap().iter().map(|to| {
        let name = to["$ref"].as_str().unwrap().trim_start_matches("#/$defs/");
        whole["$defs"][name]["title"].as_str().unwrap().trim_start_matches("pmem ").to_owned()
    });
    titles.collect::<BTreeSet<_>>().iter().map(|title| title.split(' ').map(str::to_owned).collect()).collect()
}

#[test]
fn schemas_are_schemas() {
    for command in std::iter::once(Vec::new()).chain(commands()) {
        for lines in [&[][..], &["--lines".to_owned()]] {
            let arguments = [&command[..], lines].concat();
            let found = schema(&arguments);
            assert_eq!(found["$schema"], "https://json-schema.org/draft/2020-12/schema", "{arguments:?}");
            jsonschema::draft202012::meta::validate(&found).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
            jsonschema::validator_for(&found).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        }
    }
}

/// All schemas of members, each with its name.
fn members<'s>(schema: &'s Value, found: &mut Vec<(&'s str, &'s Value)>) {
    match schema {
        Value::Object(object) => {
            let properties = object.get("properties").and_then(Value::as_object);
            found.extend(properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema)));
            object.values().for_each(|below| members(below, found));
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, found)),
        _ => {}
    }
}

#[test]
fn every_number_whose_name_has_a_unit_says_so() {
    let whole = schema::<&str>([]);
    let mut found = Vec::new();
    members(&whole, &mut found);
    let mut of_bytes = 0;
    for (name, schema) in found {
        let is_number = ["integer", "number"].iter().any(|kind| schema["type"].to_string().contains(kind));
        for unit in ["bytes", "pages", "frames", "percent"] {
            if is_number && (name == unit || name.ends_with(&format!("_{unit}"))) {
                let said = schema["x-unit"].as_str();
                // The last word of a count can be a unit, too.
                assert!(said == Some(unit) || said == Some("count"), "{name}: {schema}");
                of_bytes += usize::from(unit == "bytes");
            }
        }
    }
    assert!(of_bytes > 20, "{of_bytes}");
}

#[test]
fn columns_are_in_the_schema_of_lines() {
    for command in commands() {
        let help = pmem(command.iter().map(String::as_str).chain(["--columns", "help"]));
        if help.status != 0 {
            continue;
        }
        let lines = schema([&command[..], &["--lines".to_owned()]].concat()).to_string();
        // For frames, keys of smaps are between the lists.
        let columns = help.text().lines().filter_map(|line| line.strip_prefix("  "));
        let columns = columns.filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
        for column in columns.map(|line| line.split([' ', ',']).next().unwrap()) {
            let last = column.rsplit('.').next().unwrap();
            let named =
                if last.bytes().all(|byte| byte.is_ascii_digit()) { column.split('.').next().unwrap() } else { last };
            // There is one for each node.
            let pattern = named.replace("node0_", "^node[0-9]+_") + "$";
            let is_there = [named, &pattern].iter().any(|name| lines.contains(&format!("\"{name}\"")));
            assert!(is_there, "{command:?}: {column}");
        }
    }
}

#[test]
fn a_wrong_document_is_refused() {
    let root = fixtures().join("6.12/machine");
    let good = pmem(["--root", root.to_str().unwrap(), "where", "--json"]).with_status(0).json();
    assert_eq!(wrong("pmem.where", &good), None);
    let is_wrong = |path: &str, value: Value| {
        let mut bad = good.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"))[name] = value;
        assert!(wrong("pmem.where", &bad).is_some(), "{path} passes");
    };
    for (path, value) in [
        ("/schema", json!("pmem.where/2")),
        ("/time", json!("yesterday")),
        ("/source", json!("guessed")),
        ("/extra", json!(1)),
        ("/host/kernel", json!(6)),
        ("/notes", json!([{ "code": "a" }])),
        ("/data/extra", json!(null)),
        ("/data/total_bytes", json!("1")),
        ("/data/available/free_bytes", json!(-1)),
        ("/data/verdict", json!("maybe")),
        ("/data/lines/0/extra", json!(0)),
        ("/data/lines/0/bytes", json!(0.5)),
        ("/data/lines/0/name", json!(null)),
    ] {
        is_wrong(path, value);
    }
    let mut bad = good.clone();
    bad["data"]["lines"][0].as_object_mut().unwrap().remove("source");
    assert!(wrong("pmem.where", &bad).is_some(), "a line without its source passes");
    assert!(wrong("pmem.slab", &good).is_some(), "another command's document passes");
}

#[test]
fn commands_without_a_schema_are_told() {
    let run = pmem(["schema", "nothing"]).with_status(2);
    assert!(run.stderr.contains("nothing: no command with a schema; these have one: "), "{}", run.stderr);
    pmem(["schema", "--format", "csv"]).with_status(2);
    pmem(["schema", "--columns", "name"]).with_status(2);
    assert_eq!(pmem(["schema", "--format", "jsonl", "where"]).with_status(0).text().lines().count(), 1);
}
