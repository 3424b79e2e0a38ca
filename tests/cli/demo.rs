//! `pmem demo` without running a demo: its list, and what it refuses.

use pmem::internal::DEMOS;
use serde_json::Value;

use crate::support::run::pmem;

/// The elements of an array.
fn rows(array: &Value) -> &Vec<Value> {
    array.as_array().unwrap()
}

#[test]
fn without_a_name_demos_are_listed() {
    let list = pmem(["demo"]).with_status(0);
    for demo in DEMOS {
        assert!(list.text().lines().any(|line| line.starts_with(&format!("{} ", demo.name))), "{}", demo.name);
        assert!(list.text().contains(demo.question), "{}", demo.name);
    }
    assert!(list.stderr.contains("pmem demo all"), "{}", list.stderr);
    assert_eq!(pmem(["demo", "-q"]).with_status(0).stderr, "");
    let document = pmem(["demo", "--list", "--json"]).with_status(0).json();
    assert_eq!(document["schema"], "pmem.demo-list/1");
    let names: Vec<&str> = rows(&document["data"]["demos"]).iter().map(|demo| demo["name"].as_str().unwrap()).collect();
    assert_eq!(names, DEMOS.iter().map(|demo| demo.name).collect::<Vec<_>>());
    let csv = pmem(["demo", "--format", "csv", "-o", "name", "--no-headings", "-s", "-name"]).with_status(0);
    let mut sorted = names.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(csv.text().lines().collect::<Vec<_>>(), sorted);
}

#[test]
fn explained_demos_are_not_run() {
    let text = pmem(["demo", "--list", "--explain", "lazy-alloc"]).with_status(0);
    for words in ["lazy-alloc — ", "gives them back", "do_anonymous_page", "mm/memory.c"] {
        assert!(text.text().contains(words), "{words}: {}", text.text());
    }
    assert!(!text.text().contains("as expected"), "{}", text.text());
    let all = pmem(["demo", "--list", "--explain"]).with_status(0);
    assert!(DEMOS.iter().all(|demo| all.text().contains(demo.question)));
}

#[test]
fn lines_fit_on_a_terminal_of_80_columns() {
    let all = pmem(["demo", "--list", "--explain"]).with_status(0);
    for line in all.text().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (options, words) in [
        (&["lazi-alloc"][..], "did you mean 'lazy-alloc'?"),
        (&["nothing like it"], "--list"),
        (&["--root", "/proc", "lazy-alloc"], "--root"),
        (&["--step"], "--step needs the name of a demo"),
        (&["--list", "lazy-alloc", "--hold"], "--hold needs the name of a demo"),
        (&["all", "--hold"], "--hold works with one demo only"),
        (&["all", "--until", "1"], "--until works with one demo only"),
        (&["lazy-alloc", "zero-page", "--spoil", "leave-out:1"], "--spoil works with one demo only"),
        (&["lazy-alloc", "--interval", "1"], "--interval applies to reclim-me only"),
        (&["lazy-alloc", "--pages", "4"], "--pages applies to reclim-me only"),
        (&["reclim-me", "--pages", "0"], "from 1 to"),
        (&["reclim-me", "--pages", "5000"], "from 1 to"),
        (&["lazy-alloc", "--until", "0"], "1 or greater"),
        (&["lazy-alloc", "--until", "99"], "no step 99; lazy-alloc has only"),
        (&["lazy-alloc", "--spoil", "leave-out:99"], "no step 99; lazy-alloc has only"),
        (&["lazy-alloc", "--spoil", "leave-out"], "leave-out:STEP"),
        (&["lazy-alloc", "--spoil", "forget:1"], "leave-out:STEP"),
        (&["lazy-alloc", "--slow", "0"], "seconds"),
        (&["lazy-alloc", "-o", "value"], "--format csv"),
        (&["lazy-alloc", "-s", "value"], "--format csv"),
        (&["lazy-alloc", "--format", "csv", "-o", "no-such"], "no such column"),
    ] {
        let run = pmem([&["demo"], options].concat()).with_status(2);
        assert!(run.stderr.contains(words), "{options:?}: {}", run.stderr);
        assert_eq!(run.text(), "", "{options:?}");
    }
}

#[test]
fn the_columns_of_rows_are_listed_without_a_run() {
    let help = pmem(["demo", "lazy-alloc", "-o", "help"]).with_status(0);
    assert!(help.text().lines().any(|line| line.trim_start().starts_with("quantity ")), "{}", help.text());
}
