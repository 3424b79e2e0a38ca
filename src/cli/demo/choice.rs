//! Which demos are meant, and which options go together.

use anyhow::Result;

use super::Args;
use crate::cli::status::UsageError;
use crate::demo::{DEMOS, Demo};

/// The demos that are named; all if none is.
///
/// # Errors
/// [`UsageError::Invalid`] for an unknown name, and for options that do not go together.
pub(super) fn demos(args: &Args) -> Result<Vec<&'static Demo>> {
    let wrong = |text: String| Err(UsageError::Invalid(text).into());
    let all = args.names.iter().any(|name| name == "all");
    let demos: Vec<&'static Demo> = match args.names.is_empty() || all {
        true => DEMOS.to_vec(),
        false => args.names.iter().map(|name| named(name)).collect::<Result<_>>()?,
    };
    let runs = !args.list && !args.names.is_empty();
    let (single, paced) = (demos.len() == 1, demos.iter().all(|demo| demo.paced));
    for (option, given, fits, with) in [
        ("--step", args.step, true, ""),
        ("--predict", args.predict, true, ""),
        ("--slow", args.slow.is_some(), true, ""),
        ("--until", args.until.is_some(), single, "one demo"),
        ("--hold", args.hold, single, "one demo"),
        ("--spoil", args.spoil.is_some(), single, "one demo"),
        ("--interval", args.interval.is_some(), paced, "reclim-me alone: --slow is for all"),
        ("--pages", args.asked_pages().is_some(), paced, "reclim-me alone"),
    ] {
        if given && !runs {
            return wrong(format!("demo: {option} goes with the name of a demo that is run"));
        }
        if given && !fits {
            return wrong(format!("demo: {option} goes with {with}"));
        }
    }
    Ok(demos)
}

fn named(name: &str) -> Result<&'static Demo> {
    let found = DEMOS.iter().find(|demo| demo.name == name);
    let unknown = || {
        let like = |demo: &&&Demo| strsim::jaro_winkler(name, demo.name);
        let nearest = DEMOS.iter().max_by(|a, b| like(a).total_cmp(&like(b))).filter(|demo| like(demo) > 0.8);
        let hint = nearest.map_or("'pmem demo --list' lists them".to_owned(), |demo| format!("there is {}", demo.name));
        UsageError::Invalid(format!("{name}: no such demo; {hint}"))
    };
    Ok(found.copied().ok_or_else(unknown)?)
}
