//! All JSON that pmem writes in a test is checked against `pmem schema`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::run::Finished;

/// What `pmem schema` prints.
pub(crate) fn schema<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Value {
    // Not with `finish`, which would call this again.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
    let run = command.arg("schema").args(arguments).output().unwrap();
    assert!(run.status.success(), "pmem schema: {}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).expect("pmem schema prints JSON")
}

/// Requires that the lines that a run wrote match the schema, if JSON lines were requested.
#[track_caller]
pub(crate) fn check_lines<'a>(arguments: impl Iterator<Item = &'a OsStr>, run: &Finished) {
    let arguments: Vec<&str> = arguments.filter_map(OsStr::to_str).collect();
    let has = |wanted: &[&str]| arguments.iter().any(|argument| wanted.contains(argument));
    let asks = has(&["--format=jsonl"]) || arguments.windows(2).any(|two| two == ["--format", "jsonl"]);
    if !asks || has(&["--help", "-h", "help", "schema"]) || run.stdout.is_empty() {
        return;
    }
    let name = command(&arguments).unwrap_or_else(|| panic!("{arguments:?}: which command is it?"));
    let lines = serde_json::Deserializer::from_slice(&run.stdout).into_iter::<Value>();
    lines.for_each(|line| demand(&format!("{name}.line"), &line.expect("lines of JSON")));
}

/// Requires that the documents that a run wrote, if any, match the schema.
#[track_caller]
pub(crate) fn check_documents(run: &Finished) {
    if !run.stdout.starts_with(b"{\n  \"schema\": \"pmem.") {
        return;
    }
    for document in serde_json::Deserializer::from_slice(&run.stdout).into_iter::<Value>() {
        match document {
            Ok(document) => check_document(&document),
            // A run that fails midway has written only part of it.
            Err(error) => assert!(error.is_eof() && run.status != 0, "{error}"),
        }
    }
}

/// Requires that a document matches its schema.
#[track_caller]
fn check_document(document: &Value) {
    let id = document["schema"].as_str().unwrap_or_else(|| panic!("a document without a schema: {document}"));
    demand(id.split('/').next().unwrap(), document);
}

/// The name of the documents of the command with these arguments.
fn command(arguments: &[&str]) -> Option<String> {
    let validators = validators();
    arguments.windows(2).chain(arguments.last_chunk::<1>().map(|last| &last[..])).find_map(|words| {
        let names = [words.join("-"), words[0].to_owned()].map(|name| format!("pmem.{name}"));
        let is_known = |name: &String| validators.contains_key(name);
        names.into_iter().find(is_known)
    })
}

/// Why a value does not match the schema with this name; `None` if it does.
pub(crate) fn wrong(name: &str, value: &Value) -> Option<String> {
    let validator = &validators().get(name).unwrap_or_else(|| panic!("{name}: 'pmem schema' does not have it"));
    let errors = validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path()));
    let errors: Vec<String> = errors.take(5).collect();
    (!errors.is_empty()).then(|| errors.join("\n"))
}

#[track_caller]
fn demand(name: &str, value: &Value) {
    if let Some(why) = wrong(name, value) {
        panic!("not as 'pmem schema' says of {name}:\n{why:.2000}");
    }
}

/// The validators of documents and lines, by name.
fn validators() -> &'static BTreeMap<String, Validator> {
    static VALIDATORS: OnceLock<BTreeMap<String, Validator>> = OnceLock::new();
    VALIDATORS.get_or_init(|| {
        let mut validators = BTreeMap::new();
        for whole in [schema::<&str>([]), schema(["--lines"])] {
            for name in whole["anyOf"].as_array().expect("all of them").iter().map(|to| to["$ref"].as_str().unwrap()) {
                let one = json!({ "$schema": whole["$schema"], "$ref": name, "$defs": whole["$defs"] });
                let validator = jsonschema::options().should_validate_formats(true).build(&one);
                let name = name.trim_start_matches("#/$defs/").to_owned();
                let before = validators.insert(name.clone(), validator.expect("it is a schema"));
                assert!(before.is_none(), "{name} is there twice");
            }
        }
        validators
    })
}
