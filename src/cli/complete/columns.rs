//! The names of columns, for `--columns` and `--sort`.

use clap_complete::engine::CompletionCandidate;

use super::Context;
use super::names::{candidate, matching};
use crate::cli::fields;
use crate::kernel::process::smaps_keys;
use crate::kernel::root::Root;

/// For `--columns`: completes the last name of a list, with or without the `+` of names added to the default.
pub(super) fn shown(context: &Context, typed: &str) -> Vec<CompletionCandidate> {
    let begin = typed.rfind([',', '+']).map_or(0, |at| at + 1);
    let (before, typed) = typed.split_at(begin);
    let chosen: Vec<&str> = before.split([',', '+']).collect();
    let help = before.is_empty().then(|| candidate("help".to_owned(), "list the columns"));
    let names = columns_of(&context.command, context).into_iter().filter(|name| !chosen.contains(&name.as_str()));
    let found = matching(names.map(|name| candidate(name, "")).chain(help), typed);
    found.into_iter().map(|candidate| candidate.add_prefix(before)).collect()
}

/// For `--sort`: one name, after the `-` of a descending order if there is one.
pub(super) fn sorted(context: &Context, typed: &str) -> Vec<CompletionCandidate> {
    let (before, typed) = typed.split_at(usize::from(typed.starts_with('-')));
    let names = columns_of(&context.command, context).into_iter();
    let found = matching(names.map(|name| candidate(name, "")), typed);
    found.into_iter().map(|candidate| candidate.add_prefix(before)).collect()
}

/// The columns of the table that a command shows with the given options. Empty for a command without a table.
fn columns_of(command: &str, context: &Context) -> Vec<String> {
    // It has rows, but not in a table.
    if command == "slab show" {
        return Vec::new();
    }
    let smaps_keys = match (command, context.has("--summary")) {
        ("frames", false) => Root::open(&context.root).map(|root| smaps_keys(&root)).unwrap_or_default(),
        _ => Vec::new(),
    };
    let fields = fields::of(command, &|option| context.has(option)).unwrap_or_default();
    fields.into_iter().map(|field| field.name.into_owned()).chain(smaps_keys).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn context(command: &str) -> Context {
        Context { root: PathBuf::from("/"), command: command.to_owned(), before: Vec::new() }
    }

    fn texts(found: &[CompletionCandidate]) -> Vec<&str> {
        found.iter().filter_map(|candidate| candidate.get_value().to_str()).collect()
    }

    #[test]
    fn the_last_of_a_list_is_completed() {
        let lru = context("lru");
        let all = columns_of("lru", &lru);
        let [first, second, ..] = &all[..] else { panic!("lru has columns") };
        assert_eq!(texts(&shown(&lru, first)), [first]);
        assert_eq!(texts(&shown(&lru, &format!("{first},{second}"))), [&format!("{first},{second}")]);
        assert_eq!(texts(&shown(&lru, &format!("+{second}"))), [&format!("+{second}")]);
        assert!(!texts(&shown(&lru, &format!("{first},"))).contains(&format!("{first},{first}").as_str()));
        assert_eq!(texts(&sorted(&lru, &format!("-{second}"))), [&format!("-{second}")]);
        assert_eq!(texts(&shown(&lru, "hel")), ["help"]);
        assert!(shown(&context("doctor"), "n").is_empty());
    }

    #[test]
    fn no_name_of_a_column_means_anything_to_a_shell() {
        for command in [
            "frames",
            "pages",
            "translate",
            "page",
            "rmap",
            "phys",
            "lru",
            "where",
            "where diff",
            "decode",
            "buddy",
            "slab",
        ] {
            let names = columns_of(command, &context(command));
            assert!(!names.is_empty(), "{command}");
            assert!(names.iter().all(|name| name.chars().all(super::super::is_plain)), "{command}: {names:?}");
        }
    }
}
