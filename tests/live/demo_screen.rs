//! Demos that are watched: on a terminal (a pseudo-terminal of the test), and through pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::run::{Finished, outcome, pmem};
use crate::support::terminal::{Terminal, wait_for};
use crate::support::text::assert_no_control;

/// High enough for a whole demo.
const SIZE: (u16, u16) = (80, 60);

fn on_terminal(options: &[&str]) -> Terminal {
    Terminal::start(SIZE, &[&[env!("CARGO_BIN_EXE_pmem"), "demo"], options].concat())
}

/// Runs a demo with these lines as its input.
fn answered(options: &[&str], lines: &str) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
    command.arg("demo").args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    outcome(child)
}

/// The elements of an array.
fn rows(array: &Value) -> &Vec<Value> {
    array.as_array().unwrap()
}

fn lines_with(text: &str, words: &str) -> usize {
    text.lines().filter(|line| line.contains(words)).count()
}

#[test]
fn each_step_waits_for_enter_until_the_end_of_input() {
    let mut demo = on_terminal(&["lazy-alloc", "--step"]);
    demo.wait_for("Enter: map 64 pages");
    assert_eq!(lines_with(&demo.text(), "✓"), 0, "{}", demo.text());
    demo.keys("\r");
    demo.wait_for("Enter: write page 0");
    assert_eq!(lines_with(&demo.text(), "✓"), 1, "{}", demo.text());
    demo.keys("\x04");
    demo.wait_for("7 of 7 steps as expected");
    assert_eq!(lines_with(&demo.text(), "Enter:"), 0, "questions are wiped: {}", demo.text());
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn predictions_are_judged_and_counted() {
    let mut demo = on_terminal(&["lazy-alloc", "--predict"]);
    demo.wait_for("map 64 pages: frames?");
    demo.keys("64\r");
    demo.wait_for("map 64 pages: faults?");
    demo.keys("many\r");
    demo.wait_for("a number");
    demo.keys("0\r");
    demo.wait_for("frames: not 64 but 0");
    demo.wait_for("faults: 0 is right");
    demo.wait_for("write page 0: frames?");
    demo.keys("\x04");
    demo.wait_for("your numbers: 1 of 2 right");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn predictions_come_through_a_pipe_too() {
    let run = answered(&["lazy-alloc", "--predict"], "0\n1\n1\n\n").with_status(0);
    for words in ["frames: 0 is right", "faults: not 1 but 0", "frames: 1 is right", "your numbers: 2 of 3 right"] {
        assert!(run.text().contains(words), "{words}: {}", run.text());
    }
    assert!(run.stderr.contains("write the other 63: frames?"), "asked until the input ended: {}", run.stderr);
    assert!(!run.stderr.contains("unmap"), "and not after: {}", run.stderr);
    let document = answered(&["lazy-alloc", "--predict", "--json"], "0\n").with_status(0);
    assert_eq!(document.json()["data"]["verdict"], "ok");
    assert!(document.stderr.contains("your numbers: 1 of 1 right"), "{}", document.stderr);
}

#[test]
fn what_is_held_can_be_looked_at_until_enter() {
    let mut demo = on_terminal(&["lazy-alloc", "--until", "3", "--hold"]);
    demo.wait_for("Enter ends it");
    let text = demo.text();
    assert!(text.contains("3 of 3 steps as expected"), "{text}");
    let (_, behind) = text.split_once("with PID ").unwrap();
    let pid: u32 = behind.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    let process = pmem(["frames", &pid.to_string(), "--json"]).with_status(0).process();
    assert_eq!(process["comm"], "lazy-alloc");
    let arena = |row: &&Value| row["size_pages"] == 64 && row["present_pages"] == 64;
    assert!(rows(&process["vmas"]).iter().any(|row| arena(&row)), "{process:#}");
    demo.keys("\r");
    assert_eq!(demo.end().code(), Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_document_is_whole_before_its_process_is_held() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
    command.args(["demo", "reclim-me", "--hold", "--json", "-q"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut document = String::new();
    // Its last line is only the brace.
    while !document.ends_with("\n}\n") {
        document += &(lines.next().unwrap().unwrap() + "\n");
    }
    let document: Value = serde_json::from_str(&document).unwrap();
    let pid = document["data"]["pid"].as_u64().unwrap();
    let process = pmem(["frames", &pid.to_string(), "--json", "--summary"]).with_status(0).process();
    assert_eq!(process["comm"], "reclim-me");
    let seen = |quantity: &str| {
        let last = rows(&document["data"]["steps"]).last().unwrap();
        let observed = rows(&last["observed"]).iter().find(|observed| observed["quantity"] == quantity).unwrap();
        observed["value"].as_u64().unwrap()
    };
    // Another pmem sees what it reported about itself.
    assert_eq!(process["ledger"]["present_pages"], seen("process_present_pages"));
    assert_eq!(process["ledger"]["zero_pages"], seen("process_zero_pages"));
    drop(input);
    assert!(lines.next().is_none(), "nothing comes after the document");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_bar_fills_up_while_a_step_is_done() {
    let demo = on_terminal(&["reclim-me", "--pages", "3", "--interval", "2"]);
    demo.wait_for("█···");
    demo.wait_for("██··");
    demo.wait_for("3 of 3 steps as expected");
    let text = demo.text();
    assert_eq!(lines_with(&text, "write 3, one by one"), 1, "it was drawn in one place: {text}");
    assert_eq!((lines_with(&text, "█··"), lines_with(&text, "███·")), (0, 1), "{text}");
    assert_eq!(demo.end().code(), Some(0));
}

#[test]
fn a_line_for_each_page_goes_into_a_pipe() {
    let run = pmem(["demo", "reclim-me", "--pages", "4"]).with_status(0);
    let words = run.text().lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The repetition, the process's present entries, zero pages, RSS, what is left over, and the block's frames.
    let lines: Vec<_> = words.filter(|words| words.len() == 6 && words[0] == words[5]).collect();
    assert_eq!(lines.iter().map(|words| words[0]).collect::<Vec<_>>(), ["1", "2", "3"], "{}", run.text());
    assert_no_control(run.stdout.as_slice(), "a demo");
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let pmem = env!("CARGO_BIN_EXE_pmem");
    let text = |program: &[&str], coloured| {
        let demo = Terminal::start(SIZE, program);
        demo.wait_for("as expected");
        wait_for("colour or none", || match demo.is_coloured() == coloured {
            true => Ok(()),
            false => Err(demo.text()),
        });
        let text = demo.text();
        assert_eq!(demo.end().code(), Some(0));
        text
    };
    let with = text(&[pmem, "demo", "lazy-alloc"], true);
    let without = text(&["env", "NO_COLOR=1", pmem, "demo", "lazy-alloc"], false);
    assert_eq!(with, without, "it says the same");
    let pipe = pmem_text();
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(with.trim()), trimmed(pipe.trim()), "and so it does through a pipe");
}

fn pmem_text() -> String {
    pmem(["demo", "lazy-alloc"]).with_status(0).text().to_owned()
}

#[test]
fn whoever_has_read_enough_ends_it_quietly() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pmem"));
    command.args(["demo", "lazy-alloc", "--slow", "0.05"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("lazy-alloc"), "{line}");
    let ended = outcome(child).with_status(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn rows_are_observations() {
    let csv = pmem(["demo", "lazy-alloc", "--format", "csv"]).with_status(0);
    assert!(csv.text().starts_with("demo,step,action,quantity,of,source,value,unit,rule,min,max,held,verdict\n"));
    let row = "lazy-alloc,2,write page 0,resident_pages,,pagemap,1,pages,exact,1,1,true,ok";
    assert!(csv.text().lines().any(|line| line == row), "{}", csv.text());
    let jsonl = pmem(["demo", "lazy-alloc", "zero-page", "--format", "jsonl"]).with_status(0);
    let rows: Vec<Value> = jsonl.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(["lazy-alloc", "zero-page"].iter().all(|demo| rows.iter().any(|row| row["demo"] == *demo)));
    assert!(rows.iter().all(|row| row["held"] != false && row["value"].is_i64() && row["source"].is_string()));
}

#[test]
fn several_demos_have_a_summary_and_one_document() {
    let table = pmem(["demo", "lazy-alloc", "zero-page"]).with_status(0);
    assert!(table.text().ends_with("2 demos: 2 ok, 0 off, 0 skipped\n"), "{}", table.text());
    let document = pmem(["demo", "lazy-alloc", "zero-page", "--json"]).with_status(0).json();
    assert_eq!((&document["schema"], &document["data"]["ok"]), (&"pmem.demo-all/1".into(), &2.into()));
    assert_eq!(document["data"]["demos"][1]["demo"], "zero-page");
}

#[test]
fn what_is_off_is_said_in_words() {
    let run = pmem(["demo", "lazy-alloc", "--spoil", "leave-out:2"]).with_status(1);
    for words in ["off\n", "frames: expected 1, pagemap says 0, smaps says 0", "off: steps 2, 3"] {
        assert!(run.text().contains(words), "{words}: {}", run.text());
    }
    let learnt = "mmap gave addresses only";
    assert!(!run.text().contains(learnt), "nothing is learnt from that");
    assert!(pmem(["demo", "lazy-alloc"]).with_status(0).text().contains(learnt));
}
