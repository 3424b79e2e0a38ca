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
    for (option, given, fits, limit) in [
        ("--step", args.step, true, ""),
        ("--predict", args.predict, true, ""),
        ("--slow", args.slow.is_some(), true, ""),
        ("--until", args.until.is_some(), single, "works with one demo only"),
        ("--hold", args.hold, single, "works with one demo only"),
        ("--spoil", args.spoil.is_some(), single, "works with one demo only"),
        ("--interval", args.interval.is_some(), paced, "applies to reclim-me only; use --slow with other demos"),
        ("--pages", args.asked_pages().is_some(), paced, "applies to reclim-me only"),
    ] {
        if given && !runs {
            return wrong(format!("{option} needs the name of a demo to run"));
        }
        if given && !fits {
            return wrong(format!("{option} {limit}"));
        }
    }
    Ok(demos)
}

fn named(name: &str) -> Result<&'static Demo> {
    let found = DEMOS.iter().find(|demo| demo.name == name);
    let unknown = || {
        let like = |demo: &&&Demo| strsim::jaro_winkler(name, demo.name);
        let nearest = DEMOS.iter().max_by(|a, b| like(a).total_cmp(&like(b))).filter(|demo| like(demo) > 0.8);
        let hint =
            nearest.map_or("'pmem demo --list' lists them".to_owned(), |demo| format!("did you mean '{}'?", demo.name));
        UsageError::Invalid(format!("{name}: no such demo; {hint}"))
    };
    Ok(found.copied().ok_or_else(unknown)?)
}
