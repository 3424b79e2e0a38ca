//! Rounds of every command that repeats: the rows of a round share a time that no other round has, in every format with
//! rows, and both formats have the same fields.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::run::pmem;
use crate::support::tree::fixtures;

/// Commands that repeat, each with a tree.
const COMMANDS: [(&str, &[&str]); 6] = [
    ("6.12/machine", &["where"]),
    ("6.12/machine", &["buddy"]),
    ("6.12/memory", &["slab"]),
    ("6.12/numa-2", &["numa"]),
    ("6.12/kinds", &["frames"]),
    ("6.12/kinds", &["frames", "--all", "--summary"]),
];

const ROUNDS: usize = 3;

/// How many rows each time has, and the names of all fields.
type Rows = (BTreeMap<String, usize>, BTreeSet<String>);

fn run(tree: &str, command: &[&str], format: &str) -> Vec<u8> {
    let tree = fixtures().join(tree);
    let rounds = ["-n", "3", "-d", "0.02", "--format", format];
    pmem([&["--root", tree.to_str().unwrap()], command, &rounds].concat()).with_status(0).stdout
}

fn records(csv: &[u8]) -> Rows {
    let mut reader = csv::Reader::from_reader(csv);
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names[0], "time");
    let mut times = BTreeMap::new();
    reader.records().for_each(|record| *times.entry(record.unwrap()[0].to_owned()).or_default() += 1);
    (times, names.into_iter().collect())
}

/// The names of the members of an object, those of objects in it and of numbered lists with a dot.
fn flat(object: &Value, before: &str, names: &mut BTreeSet<String>) {
    for (name, value) in object.as_object().unwrap() {
        let name = format!("{before}{name}");
        match value {
            Value::Object(members) if !members.contains_key("raw") => flat(value, &format!("{name}."), names),
            Value::Array(list) if list.iter().all(Value::is_number) && !list.is_empty() => {
                names.extend((0..list.len()).map(|place| format!("{name}.{place}")));
            }
            _ => drop(names.insert(name)),
        }
    }
}

fn lines(text: &[u8]) -> Rows {
    let (mut times, mut names) = (BTreeMap::new(), BTreeSet::new());
    for line in std::str::from_utf8(text).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        *times.entry(row["time"].as_str().unwrap().to_owned()).or_default() += 1;
        flat(&row, "", &mut names);
    }
    (times, names)
}

#[test]
fn rounds_are_told_apart_by_their_time() {
    for (tree, command) in COMMANDS {
        let [csv, jsonl] = [records(&run(tree, command, "csv")), lines(&run(tree, command, "jsonl"))];
        for (times, _) in [&csv, &jsonl] {
            assert_eq!(times.len(), ROUNDS, "{command:?}: {times:?}");
            assert!(
                times.values().all(|rows| *rows > 0 && Some(rows) == times.values().next()),
                "{command:?}: {times:?}"
            );
        }
        // A name is the same in both. JSON has null for an object in which nothing is known, and lists of objects.
        let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
            let is_in = |name: &&String| {
                let whole = name.split('.').next().unwrap_or_default();
                those.contains(*name)
                    || those.contains(whole)
                    || those.iter().any(|other| other.starts_with(&format!("{name}.")))
            };
            these.iter().filter(|name| !is_in(name)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(only(&csv.1, &jsonl.1), [""; 0], "{command:?}: in CSV only");
        // What only JSON has room for: lists of objects, and names that are not UTF-8.
        let nested = ["parts", "blockers", "_hex"];
        let mut in_lines = only(&jsonl.1, &csv.1);
        in_lines.retain(|name| !nested.iter().any(|end| name.ends_with(end)));
        assert_eq!(in_lines, [""; 0], "{command:?}: in JSON lines only");
    }
}

#[test]
fn one_round_has_no_time_in_csv() {
    let tree = fixtures().join("6.12/machine");
    let run = pmem(["--root", tree.to_str().unwrap(), "where", "--format", "csv"]).with_status(0);
    assert!(run.text().starts_with("name,bytes,"), "{}", run.text());
}
