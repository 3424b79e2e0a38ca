//! Long answers on a terminal: the first line stays on the screen, and what does not fit is counted. In a pipe nothing is cut.

use crate::support::run::pmem;
use crate::support::terminal::Terminal;
use crate::support::tree::fixtures;

/// What a terminal of this height shows after a command over a recorded tree has ended.
fn shown(tree: &str, arguments: &[&str], height: u16) -> String {
    let tree = fixtures().join(tree);
    let program = [&[env!("CARGO_BIN_EXE_pmem"), "--root", tree.to_str().unwrap()], arguments].concat();
    // A waiting shell keeps the screen as it is.
    let words: Vec<String> = program.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("{}; printf 'the end'", words.join(" "));
    let terminal = Terminal::start((80, height), &["sh", "-c", &line]);
    terminal.wait_for("the end");
    let text = terminal.text();
    assert_eq!(terminal.end().code(), Some(0));
    text
}

#[test]
fn the_answer_stays_on_the_screen() {
    for height in [18, 24, 40] {
        let text = shown("6.12/machine", &["where"], height);
        let first = text.lines().next().unwrap();
        assert!(first.contains("pressure"), "{height}: the first line is there: {text}");
        assert!(text.contains("unaccounted") && text.contains("MemTotal"), "{height}: {text}");
    }
    for height in [18, 24] {
        let text = shown("6.12/memory", &["slab"], height);
        assert!(text.starts_with("objects "), "{height}: {text}");
        let more = text.lines().find(|line| line.ends_with(" more (--all)")).unwrap_or_else(|| panic!("{text}"));
        let more: usize = more.split(' ').next().unwrap().replace(',', "").parse().unwrap();
        // Those that are shown and those that are counted add up to all.
        let rows = text.lines().skip_while(|line| !line.contains("OBJECTS")).skip(1);
        let rows = rows.take_while(|line| !line.ends_with("(--all)")).count();
        let all = pmem(["--root", fixtures().join("6.12/memory").to_str().unwrap(), "slab"]).with_status(0);
        let all = all.text().lines().skip_while(|line| !line.contains("OBJECTS")).skip(1);
        assert_eq!(rows + more, all.take_while(|line| !line.is_empty()).count(), "{height}: {text}");
    }
}

/// The sum of the rows that happen to fit would be mistaken for that of all rows.
#[test]
fn a_part_of_the_rows_has_no_total() {
    for areas in [&[][..], &["--areas"]] {
        let arguments = [&["vmalloc", "--filter", "."], areas].concat();
        let text = shown("6.18/memory", &arguments, 18);
        assert!(text.contains(" more (--all)") && !text.contains("\ntotal"), "{text}");
        let all = shown("6.18/memory", &[&arguments[..], &["--all"]].concat(), 18);
        assert!(!all.contains("(--all)") && all.contains("\ntotal"), "{all}");
    }
}

#[test]
fn all_is_all() {
    let text = shown("6.12/memory", &["slab", "--all"], 24);
    assert!(!text.contains("more (--all)"), "{text}");
    let piped = pmem(["--root", fixtures().join("6.12/memory").to_str().unwrap(), "slab"]).with_status(0);
    assert!(!piped.text().contains("more (--all)"), "{}", piped.text());
}
