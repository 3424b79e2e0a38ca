//! A process and mapped files with harmful names.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::frames::{frame_at, visible};
use crate::support::json::{hex_address, name_bytes, number, row_at, rows, unhex};
use crate::support::kernel;
use crate::support::run::{Finished, pmem, workload};
use crate::support::scene::Scene;
use crate::support::text::assert_no_control;

/// The scene, and the directory its files are in.
fn scene() -> (Scene, TempDir) {
    let directory = TempDir::new().unwrap();
    let scene = Scene::start(&["names", directory.path().to_str().unwrap()]);
    (scene, directory)
}

fn files(scene: &Scene) -> &Vec<Value> {
    scene.report["files"].as_array().unwrap()
}

/// What pmem must show as a file's name: the name itself since Linux 6.11; before that, as in `maps`.
fn expected(file: &Value) -> Vec<u8> {
    let name = unhex(&file["name_hex"]);
    if kernel::version() >= (6, 11) {
        return name;
    }
    name.iter().flat_map(|&byte| if byte == b'\n' { b"\\012".to_vec() } else { vec![byte] }).collect()
}

#[track_caller]
fn clean(arguments: &[&str]) -> Finished {
    let run = pmem(arguments).with_status(0);
    assert_no_control(&run.stdout, "standard output");
    run
}

#[test]
fn json_has_every_name_whole() {
    let (scene, _directory) = scene();
    let process = clean(&["frames", "--json", &scene.target()]).process();
    assert_eq!(name_bytes(&process, "comm"), unhex(&scene.report["comm_hex"]));
    for file in files(&scene) {
        let row = row_at(&process, hex_address(&file["address"]));
        let found = name_bytes(row, "name");
        assert_eq!(found, expected(file), "{}: {row}", file["what"]);
        assert_eq!(row["present_pages"], 1, "{row}");
        // Whatever their names, they are files; only a file system such as tmpfs makes them shared memory.
        let kinds = ["file", "shmem"];
        assert!(kinds.contains(&row["kind"].as_str().unwrap()), "{}: {row}", file["what"]);
    }
    assert_eq!(process["ledger"]["unexplained_pages"], 0);
}

#[test]
fn one_line_of_json_a_row_has_every_name_whole() {
    let (scene, _directory) = scene();
    let lines = clean(&["frames", "--format", "jsonl", &scene.target()]);
    let lines: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for file in files(&scene) {
        let line = lines.iter().find(|line| line["start"] == file["address"]).unwrap();
        assert_eq!(name_bytes(line, "name"), expected(file), "{}: {line}", file["what"]);
        assert_eq!(name_bytes(line, "comm"), unhex(&scene.report["comm_hex"]));
    }
}

#[test]
fn tables_and_csv_show_every_name_escaped_on_its_line() {
    let (scene, _directory) = scene();
    let mappings = rows(&clean(&["frames", "--json", &scene.target()]).process()).len();
    let table = clean(&["frames", "-o", "address,mapping", &scene.target()]);
    let address = |word: &str| word.len() >= 8 && u64::from_str_radix(word, 16).is_ok();
    let shown = |line: &&str| line.split(' ').next().is_some_and(address);
    assert_eq!(table.text().lines().filter(shown).count(), mappings, "{}", table.text());
    for (what, shown) in [
        ("escape sequence", r"/esc\x1b[2J\x1b]0;owned\x07"),
        ("invalid UTF-8", r"/bad\xff\xfe\xc3("),
        ("C1 control", r"/c1\x9b31m"),
        ("bidirectional control", r"/bidi\u{202e}gpj.exe"),
        ("line separator", r"/sep\u{2028}x"),
        ("parenthesis", "/a) S 1 1"),
        ("really called deleted", "/kept (deleted)"),
        ("tab and spaces", r"/tab\x09 two  spaces"),
        ("the process", r"\x1b[2J\x0ax) R 1\xff"),
    ] {
        assert!(table.text().contains(shown), "{what}: {}", table.text());
    }

    let csv = clean(&["frames", "--format", "csv", "-o", "address,mapping", &scene.target()]);
    let records: Vec<csv::StringRecord> =
        csv::Reader::from_reader(&csv.stdout[..]).records().map(Result::unwrap).collect();
    assert_eq!(records.len(), mappings);
    // Also in the summary of several processes.
    clean(&["frames", "--summary", "-o", "+command", &scene.target(), &scene.target()]);
    clean(&["frames", "--summary", "--format", "csv", &scene.target()]);
    clean(&["frames", "--summary", "--format", "jsonl", &scene.target()]);
}

#[test]
fn who_maps_a_frame_has_every_name_whole_and_tables_escape_it() {
    if !visible("who_maps_a_frame_has_every_name_whole_and_tables_escape_it") {
        return;
    }
    let (scene, _directory) = scene();
    let pid = u64::from(scene.pid());
    for file in files(&scene) {
        let address = hex_address(&file["address"]);
        let pfn = frame_at(pid, address).to_string();
        let frames = clean(&["rmap", "--json", &pfn]).json()["data"]["frames"].take();
        let mapper = &frames[0]["mappers"][0];
        assert_eq!((number(&mapper["pid"]), hex_address(&mapper["address"])), (pid, address), "{frames}");
        assert_eq!(name_bytes(mapper, "name"), expected(file), "{}: {mapper}", file["what"]);
        assert_eq!(name_bytes(mapper, "comm"), unhex(&scene.report["comm_hex"]), "{mapper}");
        for format in ["table", "jsonl", "csv"] {
            clean(&["rmap", "--format", format, &pfn]);
        }
    }
    let pages = clean(&["pages", "--json", &scene.target()]).json();
    assert_eq!(name_bytes(&pages["data"], "comm"), unhex(&scene.report["comm_hex"]));
    for format in ["table", "jsonl", "csv"] {
        clean(&["pages", "--format", format, &scene.target()]);
    }
}

#[test]
fn a_name_on_the_command_line_is_told_escaped() {
    let run = pmem(["frames", "no\x1b[2Jsuch\nprocess"]).with_status(42);
    assert!(run.stderr.contains(r"no\x1b[2Jsuch\x0aprocess"), "{}", run.stderr);
}

#[test]
fn a_process_is_found_by_a_name_with_control_characters() {
    let directory = TempDir::new().unwrap();
    // A process has the name of the file that it was started from, up to 15 bytes.
    let comm = format!("\x1b[2J\n{}", std::process::id());
    let link = directory.path().join(&comm);
    symlink(workload(), &link).unwrap();
    let scene = Scene::from_command(Command::new(link).arg("sparse"));
    let process = clean(&["frames", "--json", &comm]).process();
    assert_eq!((&process["pid"], &process["comm"]), (&Value::from(scene.pid()), &Value::from(comm)));
}
