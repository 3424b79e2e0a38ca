//! All that is known of the selected cache.

use ratatui::layout::Size;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::line::{bars, joined, style};
use super::{State, within};
use crate::analysis::slab::history::Tracked;
use crate::analysis::slab::names::meaning;
use crate::analysis::slab::show::SlabSizes;
use crate::analysis::slab::{Counts, Details};
use crate::view::size::grouped_string;
use crate::view::style::{Emphasis, Palette};
use crate::view::table::{clipped, wrapped};

/// The width of what stands before each line.
const LABEL: usize = 12;

/// The most lines that the course is high.
const HIGH: usize = 8;

/// The lines of the pane, the most needed first.
pub(super) fn lines(state: &State, size: Size, palette: Palette) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(size.width), usize::from(size.height));
    let Some(cache) = state.selected() else {
        return vec![rule("no cache is selected", width, palette)];
    };
    let mut lines = vec![rule(&cache.row.name.escaped(), width, palette)];
    let mut say = |label: &'static str, words: &str| {
        // Of an endless list of names the beginning.
        let words = wrapped(words, width.saturating_sub(LABEL + 2).max(1), 0);
        for (number, line) in words.lines().take(height / 3).enumerate() {
            let label = if number == 0 { label } else { "" };
            let label = Span::styled(format!("{label:>LABEL$}  "), style(palette, Some(Emphasis::Faint)));
            lines.push(Line::from_iter([label, Span::raw(line.to_owned())]));
        }
    };
    match cache.row.aliases.as_deref() {
        None => say("also called", "not known: /sys/kernel/slab cannot be read"),
        Some([]) => {}
        Some(aliases) => say("also called", &joined(aliases, width * height)),
    }
    let names = cache.row.names().map(|name| name.escaped());
    for (name, what) in names.filter_map(|name| meaning(&name).map(|(what, _)| (name, what))).take(height) {
        let of = if cache.row.aliases.as_deref().unwrap_or_default().is_empty() { "" } else { &format!("{name}: ") };
        say("stands for", &format!("{of}{what}"));
    }
    if let Some(counts) = &cache.row.counts {
        of_slabinfo(state, counts, &mut say);
    }
    say("change", &changes(state, cache));
    if let Some((id, details)) = &state.details
        && *id == cache.id
    {
        of_sysfs(details, &mut say);
    }
    // One at least, if there is nearly room for nothing.
    lines.truncate(height.saturating_sub(1));
    let [least, most] = cache.size.ends();
    let room = (height - lines.len()).min(if most > least { HIGH } else { 1 });
    let course = bars(&cache.size, width.saturating_sub(2 * (LABEL + 2)).min(120), room, state.shown().window());
    for (number, bar) in course.into_iter().enumerate() {
        let end = match number {
            _ if number + 1 == room => state.scale.sized(least),
            0 if most > least => format!("+{}", state.scale.sized(most - least)),
            _ => String::new(),
        };
        lines.push(Line::raw(format!("{end:>LABEL$}  {bar}")));
    }
    lines
}

/// `── dentry ─────`.
fn rule(name: &str, width: usize, palette: Palette) -> Line<'static> {
    let name = clipped(name, width.saturating_sub(6));
    let rest = "─".repeat(width.saturating_sub(4 + name.width()));
    Line::from_iter([
        Span::raw("── "),
        Span::styled(name, style(palette, Some(Emphasis::Accent))),
        Span::raw(format!(" {rest}")),
    ])
}

/// What the line of slabinfo says, in words.
fn of_slabinfo(state: &State, counts: &Counts, say: &mut impl FnMut(&'static str, &str)) {
    let cache = &counts.cache;
    let size = |bytes| state.scale.sized(bytes);
    let percent = cache.use_percent();
    say(
        "objects",
        &format!(
            "{}, at most {} of them in use ({percent}%)",
            grouped_string(cache.objects),
            grouped_string(cache.active_objects)
        ),
    );
    let slab = SlabSizes::new(cache.object_size, cache.objects_per_slab, cache.pages_per_slab, state.scale.page_size);
    let slabs = grouped_string(cache.slabs);
    say("size", &format!("{} in {slabs} slabs of {}", size(counts.size_bytes), size(slab.slab_bytes)));
    if counts.small_slabs > 0 {
        let small = grouped_string(counts.small_slabs);
        say("", &format!("really {}: {small} slabs are smaller", size(counts.held_bytes)));
    }
    let percent = u128::from(slab.waste_bytes) * 100 / u128::from(slab.slab_bytes.max(1));
    let bytes = grouped_string(cache.object_size);
    let many = grouped_string(cache.objects_per_slab);
    say(
        "an object",
        &format!(
            "{bytes} B; {many} in a slab, and {} B of it left over ({percent}%)",
            grouped_string(slab.waste_bytes)
        ),
    );
}

/// What the files of its directory say.
fn of_sysfs(details: &Details, say: &mut impl FnMut(&'static str, &str)) {
    let reclaimable = match details.reclaimable {
        Some(true) => "reclaimable",
        Some(false) => "not reclaimable",
        None => "not known whether reclaimable",
    };
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), grouped_string);
    let (partial, cpu) = (count(details.partial_slabs), count(details.cpu_slabs));
    // They are among those of processors: see `Details`.
    let waiting = match details.cpu_partial_slabs {
        Some(waiting @ 1..) => format!(" ({} of them in their lists)", grouped_string(waiting)),
        _ => String::new(),
    };
    say("slabs", &format!("{reclaimable}; {partial} partial in the lists of nodes, {cpu} of processors{waiting}"));
    if let Some(nodes) = details.nodes.as_deref().filter(|nodes| nodes.len() > 1) {
        let nodes: Vec<String> =
            nodes.iter().map(|(node, slabs)| format!("{} of node {node}", grouped_string(*slabs))).collect();
        say("", &nodes.join(", "));
    }
}

/// How its size and its objects changed.
fn changes(state: &State, cache: &Tracked) -> String {
    let (Some(bytes), Some(objects)) = (cache.size.change_per_minute(), cache.active.change_per_minute()) else {
        return "not known after a single reading".to_owned();
    };
    if (bytes, objects) == (0, 0) {
        return "none".to_owned();
    }
    let sign = |change: i64| if change < 0 { "−" } else { "+" };
    let time = match within(&cache.size).strip_prefix(" in ") {
        Some(time) => format!("in {time}"),
        None => "within a minute".to_owned(),
    };
    let (size, count) = (state.scale.sized(bytes.unsigned_abs()), grouped_string(objects.unsigned_abs()));
    format!("{}{size} and {}{count} objects in use {time}", sign(bytes), sign(objects))
}
