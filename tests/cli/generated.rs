//! The man pages and completions in the repository are those that this binary generates.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::run::pmem;
use crate::support::skipped;

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
fn the_man_pages_are_laid_out_as_man_pages_are() {
    let pages = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("man"));
    let order = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "GLOBAL OPTIONS",
        "COMMANDS",
        "EXIT STATUS",
        "NOTES",
        "EXAMPLES",
        "SEE ALSO",
    ];
    for (name, page) in &pages {
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let headings: Vec<&str> = headings.iter().map(|heading| heading.trim_matches('"')).collect();
        let expected: Vec<&str> = order.into_iter().filter(|heading| headings.contains(heading)).collect();
        assert_eq!(headings, expected, "{name}");
        assert!(headings.contains(&"EXIT STATUS") && headings.contains(&"SEE ALSO"), "{name}: {headings:?}");
        assert!(headings.contains(&"EXAMPLES") || name == "pmem.1", "{name}: {headings:?}");
        for other in
            page.lines().filter_map(|line| line.strip_prefix("\\fB")?.split_once("\\fR(1)").map(|(name, _)| name))
        {
            let file = format!("{}.1", other.replace("\\-", "-"));
            assert!(pages.contains_key(&file) && file != *name, "{name}: SEE ALSO {other}");
        }
        // Text that is not filled must fit as it is.
        for block in page.split(".nf\n").skip(1) {
            for line in block.split(".fi\n").next().unwrap().lines() {
                let text = ["\\fB", "\\fR", "\\*(Aq", "\\"].into_iter().zip(["", "", "'", ""]);
                let text = text.fold(line.to_owned(), |text, (from, to)| text.replace(from, to));
                assert!(text.len() <= 73, "{name}: {text}");
            }
        }
    }
    // A command's own section, if it has one.
    assert!(pages["pmem-slab-diff.1"].contains("no cache changed"));
    assert!(pages["pmem-frames.1"].contains("success, and the output is complete"));
}

#[test]
fn mandoc_finds_nothing_wrong_with_the_man_pages() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages = files(&directory).into_keys().map(|name| directory.join(name));
    let Ok(found) = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(pages).output() else {
        return skipped("man pages by mandoc", "it is not installed");
    };
    let said = String::from_utf8(found.stdout).unwrap();
    // There is no date before a release.
    let wrong: Vec<&str> = said.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
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
        "schema",
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
