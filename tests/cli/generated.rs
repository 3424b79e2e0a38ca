//! The man pages and completions in the repository are those that this binary makes.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::run::pmem;

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

fn assert_up_to_date(what: &str) {
    let made = tempfile::tempdir().unwrap();
    pmem(["generate", what, made.path().to_str().unwrap()]).with_status(0);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(what);
    let (made, kept) = (files(made.path()), files(&kept));
    assert_eq!(made.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "files in {what}/");
    for (name, text) in &made {
        assert!(kept[name] == *text, "{what}/{name} is not what 'cargo run -- generate {what} {what}' makes");
    }
}

#[test]
fn the_man_pages_are_up_to_date() {
    assert_up_to_date("man");
}

#[test]
fn the_completions_are_up_to_date() {
    assert_up_to_date("completions");
}

#[test]
fn every_command_has_help_with_examples() {
    let commands = [
        "frames",
        "pages",
        "page",
        "rmap",
        "translate",
        "phys",
        "lru",
        "where",
        "buddy",
        "vmalloc",
        "file",
        "decode",
        "doctor",
        "capture",
        "slab",
        "demo",
    ];
    for command in commands {
        let long = pmem([command, "--help"]).with_status(0);
        assert!(long.text().contains("Examples:"), "{command} --help has no examples");
        let short = pmem([command, "-h"]).with_status(0);
        assert!(short.text().lines().count() < long.text().lines().count(), "{command} -h is the short help");
    }
    assert!(pmem(["--help"]).with_status(0).text().contains("Exit status"));
}
