use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::path::PathBuf;

use super::*;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn no_file_is_listed_twice() {
    let paths: BTreeSet<&str> = CATALOGUE.iter().map(|file| file.path).collect();
    assert_eq!(paths.len(), CATALOGUE.len());
}

#[test]
fn files_are_found_below_any_root_and_of_any_process() {
    for (path, expected) in [
        ("/proc/kpageflags", Some("proc/kpageflags")),
        ("/tmp/tree/proc/slabinfo", Some("proc/slabinfo")),
        ("/proc/stat", Some("proc/stat")),
        ("/proc/12/stat", Some("stat")),
        ("/proc/12/task/13/pagemap", Some("pagemap")),
        ("/proc/self/smaps_rollup", Some("smaps_rollup")),
        ("/home/somebody/data", None),
    ] {
        assert_eq!(find(Path::new(path)).map(|file| file.path), expected, "{path}");
    }
}

#[test]
fn readers_are_commands() {
    for reader in CATALOGUE.iter().flat_map(|file| file.readers) {
        let command = reader.command.split(' ').next().unwrap_or_default();
        let page = here(&format!("man/pmem-{command}.1"));
        assert!(page.exists() || reader.command == "every command", "{} is no command", reader.command);
    }
}

#[test]
fn patterns_have_a_star_and_others_have_none() {
    // Files found by a pattern and read one by one need the function that finds them; files recorded in another form, or not at
    // all, have their own readers.
    for file in CATALOGUE {
        let pattern = file.path.contains('*');
        assert!(file.each.is_none() || pattern, "{}", file.path);
        assert!(!pattern || file.each.is_some() || file.recorded != Recorded::Bytes, "{}", file.path);
    }
}

/// The string literals of a source file, without its tests, that begin like a kernel path.
fn literals(source: &str) -> impl Iterator<Item = &str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    let quoted = quoted.map(|text| text.strip_prefix('/').unwrap_or(text));
    quoted.filter(|text| ["proc/", "sys/", "dev/kmsg"].iter().any(|start| text.starts_with(start)))
}

/// Whether the catalogue has a path as written in the source: with `{}` for variable parts, or a directory.
fn is_listed(path: &str) -> bool {
    let below = path.strip_prefix("proc/").and_then(|rest| rest.split_once('/'));
    let of_process = below.filter(|(whose, _)| *whose == "self" || *whose == "PID" || whose.starts_with('{'));
    let (file, of): (&str, fn(Of) -> bool) = match of_process {
        Some((_, file)) => (file, |of| of != Of::Machine),
        None => (path, |of| of == Of::Machine),
    };
    // After the first variable part anything matches.
    let file = file.split('{').next().unwrap_or_default().trim_end_matches('/');
    let is = |listed: &str| listed.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    file.is_empty() || CATALOGUE.iter().any(|listed| of(listed.of) && is(listed.path))
}

#[test]
fn every_file_in_the_source_is_listed() {
    let (mut files, mut seen) = (vec![here("src")], BTreeMap::new());
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".rs") && !name.contains("tests") && name != "catalogue.rs" {
            let text = read_to_string(&path).unwrap();
            literals(&text).for_each(|literal| drop(seen.insert(literal.to_owned(), path.clone())));
        }
    }
    assert!(seen.len() > 40, "only {} paths were found", seen.len());
    // Sentences that begin with a path, and files of recorded trees.
    let path = |literal: &str| literal.split([' ', ':']).next().unwrap_or_default().to_owned();
    let missing: Vec<_> = seen.iter().filter(|(literal, _)| !is_listed(&path(literal))).collect();
    assert!(missing.is_empty(), "not in the catalogue: {missing:#?}");
}

/// The table of ARCHITECTURE.md.
fn table() -> String {
    let mut table = "| file | access and configuration | required by | also read by | captured |\n".to_owned();
    table += "| --- | --- | --- | --- | --- |\n";
    for file in CATALOGUE {
        let whose = if file.of == Of::Machine { "/" } else { "/proc/PID/" };
        let needs = match (file.access.needs(), file.built) {
            (access, "") => access.to_owned(),
            ("", built) => built.to_owned(),
            (access, built) => format!("{access}; {built}"),
        };
        let captured = match file.recorded {
            Recorded::Bytes => "verbatim".to_owned(),
            Recorded::Words => "as words".to_owned(),
            Recorded::As(name) => format!("in `{name}`"),
            Recorded::No => "no".to_owned(),
        };
        let is_needed = |reader: &&Reader| reader.without == Without::All;
        let needed: Vec<&str> = file.readers.iter().filter(is_needed).map(|reader| reader.command).collect();
        let mut used: Vec<&str> =
            file.readers.iter().filter(|reader| !is_needed(reader)).map(|reader| reader.command).collect();
        if file.shown != Shown::No && !used.contains(&"doctor") {
            used.push("doctor");
        }
        let (needed, used) = (needed.join(", "), used.join(", "));
        table += &format!("| `{whose}{}` | {needs} | {needed} | {used} | {captured} |\n", file.path);
    }
    table
}

#[test]
fn the_table_in_the_architecture_is_this() {
    let text = read_to_string(here("ARCHITECTURE.md")).unwrap();
    let marked = text.split_once("<!-- kernel files -->\n").and_then(|(_, rest)| rest.split_once("<!-- end -->"));
    let shown = marked.map(|(table, _)| table.trim()).unwrap_or_default();
    assert!(
        shown == table().trim(),
        "between '<!-- kernel files -->' and '<!-- end -->' there should be:\n\n{}",
        table()
    );
}
