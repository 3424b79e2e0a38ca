//! The fields of every command, for code that does not run it: completions, the schema, and the tests of names.

use std::collections::BTreeSet;

use crate::view::field::{Described, Field};
use crate::view::{
    buddy, decode, demo, file, frames, lru, numa, page, pages, phys, rmap, slab, translate, vmalloc, r#where,
};

/// The number of orders that free blocks are counted by on most machines (NR_PAGE_ORDERS on x86-64).
const ORDERS: usize = 11;

/// The fields of a command; a subcommand follows its command after a blank. `None` if it has no rows. `has` says which
/// options are given, because some commands have other rows with them.
pub(super) fn of(command: &str, has: &dyn Fn(&str) -> bool) -> Option<Vec<Described>> {
    with(command, has, Always::No, &[])
}

/// The names of the fields that each row of a document has, regardless of options.
pub(super) fn always(command: &str, has: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let fields = with(command, has, Always::Yes, &[]).unwrap_or_default();
    let fields = fields.into_iter().filter(|field| !field.on_request && !field.people_only);
    fields.map(|field| field.name.into_owned()).collect()
}

/// Which fields to include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Always {
    /// Those that are present in a single round without options.
    Yes,
    /// Also those that some rounds or options add.
    No,
}

/// The fields of a command; `smaps_keys` are columns of mappings too.
pub(super) fn with(
    command: &str,
    has: &dyn Fn(&str) -> bool,
    always: Always,
    smaps_keys: &[String],
) -> Option<Vec<Described>> {
    let more = always == Always::No;
    Some(match command {
        "buddy" => described(buddy::fields(ORDERS, more)),
        "decode" if has("--legend") => described(decode::legend_fields()),
        "decode" => described(decode::word_fields()),
        "demo" if has("--list") => described(demo::list_fields(more)),
        "demo" => described(demo::fields()),
        "file" => described(file::fields(more, more)),
        "file runs" => described(file::run_fields()),
        "frames" if has("--summary") => described(frames::process_fields(more, more)),
        "frames" => described(frames::mapping_fields(smaps_keys, more, more)),
        "lru" => described(lru::fields()),
        "numa" if has("--all") => described(numa::mapping_fields(&[0])),
        "numa" => described(numa::fields()),
        "page" => described(page::fields()),
        "pages" => described(pages::fields()),
        "phys" => described(phys::fields()),
        "rmap" if has("--shared-with") => described(rmap::sharer_fields()),
        "rmap" => described(rmap::fields()),
        "slab" => described(slab::fields(more)),
        "slab diff" => described(slab::diff::fields()),
        "slab show" => described(slab::show::fields()),
        "translate" => described(translate::fields(more)),
        "vmalloc" if has("--areas") => described(vmalloc::area_fields(&[0])),
        "vmalloc" => described(vmalloc::fields(&[0])),
        "where" => described(r#where::fields(more, more)),
        "where diff" => described(r#where::diff::fields()),
        _ => return None,
    })
}

fn described<R>(fields: Vec<Field<R>>) -> Vec<Described> {
    fields.into_iter().map(Field::described).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::field::{Kind, Unit};

    /// Commands that have fields.
    const COMMANDS: [&str; 19] = [
        "buddy",
        "decode",
        "demo",
        "file",
        "file runs",
        "frames",
        "lru",
        "numa",
        "page",
        "pages",
        "phys",
        "rmap",
        "slab",
        "slab diff",
        "slab show",
        "translate",
        "vmalloc",
        "where",
        "where diff",
    ];

    /// Options with which commands have other rows.
    const OTHER_ROWS: [&str; 6] = ["--summary", "--all", "--legend", "--shared-with", "--areas", "--list"];

    fn each(mut check: impl FnMut(&str, &Described)) {
        for command in COMMANDS {
            for summary in [false, true] {
                let has = |option: &str| summary && OTHER_ROWS.contains(&option);
                of(command, &has).unwrap().iter().for_each(|field| check(command, field));
            }
        }
    }

    #[test]
    fn the_unit_is_in_the_name() {
        each(|command, field| {
            // A rate is named after its quantity: `bytes_per_hour`.
            let last = field.name.rsplit('.').next().unwrap().trim_end_matches("_per_hour");
            let is_good = match field.unit {
                Unit::Bytes => last.ends_with("bytes"),
                Unit::Pages => last.ends_with("pages"),
                Unit::Frames => last.ends_with("frames"),
                Unit::Percent => last.ends_with("percent"),
                Unit::None | Unit::Count | Unit::Ratio => !last.ends_with("bytes") && !last.ends_with("percent"),
            };
            assert!(is_good, "{command}: {} is in {:?}", field.name, field.unit);
        });
    }

    #[test]
    fn a_word_names_one_field() {
        for command in COMMANDS {
            for summary in [false, true] {
                let fields = of(command, &|option| summary && OTHER_ROWS.contains(&option)).unwrap();
                let words = fields.iter().flat_map(|field| std::iter::once(&field.name).chain(&field.aliases));
                let mut seen = BTreeSet::new();
                words.for_each(|word| assert!(seen.insert(word.clone()), "{command}: {word} names two"));
            }
        }
    }

    #[test]
    fn every_field_says_what_it_is() {
        each(|command, field| {
            let named = |text: &str| format!("{command}: {}: {text}", field.name);
            assert!(field.help.starts_with(|first: char| first.is_uppercase()), "{}", named(&field.help));
            assert!(!field.help.ends_with('.') && field.help.len() > 2, "{}", named(&field.help));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
            assert!(field.name.chars().all(plain), "{}", named("a name is lower case"));
            assert!(field.kind != Kind::Nested || !field.people_only, "{}", named("people do not see it"));
        });
    }
}
