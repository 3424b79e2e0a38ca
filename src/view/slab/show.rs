//! The output of `pmem slab show`: the description of a cache in lines, each beginning with its subject.

use std::io::{self, Write};

use crate::analysis::slab::show::{Dentries, Fullness, Story};
use crate::name::{Name, escaped};
use crate::view::field::Field;
use crate::view::size::grouped_string;
use crate::view::slab::{percent, some, told};
use crate::view::style::Emphasis;
use crate::view::table::Layout;

/// The partial slabs of a node whose free objects are counted. (`MAX_PARTIAL_TO_SCAN` in mm/slub.c)
const COUNTED_PARTIAL: u64 = 10_000;

/// What programs get: the row of the table with everything that is known about its slabs, and further structured
/// values.
pub(crate) fn fields() -> Vec<Field<Story>> {
    const OF_SLABS: [&str; 4] = ["partial_slabs", "cpu_slabs", "cpu_partial_slabs", "nodes"];
    let all = super::fields(false).into_iter().filter(|field| !field.people_only).map(|field| {
        let is_of_slabs = OF_SLABS.iter().any(|name| field.name == *name);
        let is_shown = is_of_slabs || !field.on_request;
        field.only_if(is_shown).within(|story: &Story| &story.row)
    });
    let mut all: Vec<Field<Story>> = all.collect();
    all.extend([
        Field::nested("meanings", "What its names mean, where known", |of: &Story| &of.meanings).always(),
        Field::nested("slab", "Capacity of a slab", |of: &Story| &of.slab),
        Field::nested("traits", "How the cache was created", |of: &Story| &of.traits).always(),
        Field::nested("fullness", "How full its slabs are", |of: &Story| &of.fullness).always(),
        Field::nested("tunables", "SLAB: objects kept per CPU", |of: &Story| &of.tunables),
        Field::nested("statistics", "SLAB statistics (CONFIG_DEBUG_SLAB)", |of: &Story| &of.statistics),
        Field::nested("dentries", "The kernel's dentry counters", |of: &Story| &of.dentries),
    ]);
    all
}

/// Writes the description of a cache.
pub(crate) fn write(out: &mut dyn Write, story: &Story, layout: &Layout) -> io::Result<()> {
    let names: Vec<_> = story.row.names().map(Name::escaped).collect();
    writeln!(out, "{}", layout.palette.paint(Emphasis::Heading, &names.join(" = ")))?;
    let mut line = |about: &str, text: &str| -> io::Result<()> {
        told(out, &format!("  {about:<9}"), text, layout.width.or(Some(80)))
    };
    let several = story.meanings.len() > 1;
    for meaning in &story.meanings {
        let name = if several { format!("{}: ", meaning.name) } else { String::new() };
        line("is", &format!("{name}{} ({})", meaning.what, meaning.source))?;
    }
    line("object", &object(story))?;
    match &story.slab {
        None => line("a slab", "-")?,
        Some(slab) => {
            let waste = match slab.waste_bytes {
                0 => "nothing unused".to_owned(),
                waste => format!("{} unused ({})", layout.scale.sized(waste), percent(waste, slab.slab_bytes)),
            };
            let (objects, pages) = (some(slab.objects, "object"), some(slab.pages, "page"));
            line("a slab", &format!("{objects} in {pages} = {}; {waste}", layout.scale.sized(slab.slab_bytes)))?;
        }
    }
    if story.row.counts.is_none() {
        line("holds", "-")?;
        line("in use", "-")?;
    }
    if let Some(counts) = &story.row.counts {
        let small = match counts.small_slabs {
            0 => String::new(),
            1 => ", one of them smaller than the cache prefers".to_owned(),
            number => format!(", {} of them smaller than the cache prefers", grouped_string(number)),
        };
        let slabs = some(counts.cache.slabs, "slab");
        let empty = match counts.cache.slabs.saturating_sub(counts.cache.active_slabs) {
            0 => String::new(),
            number => format!(", {} of them empty", grouped_string(number)),
        };
        line("holds", &format!("{} in {slabs}{small}{empty}", layout.scale.sized(counts.held_bytes)))?;
        let [active, all] = [counts.cache.active_objects, counts.cache.objects].map(grouped_string);
        // Since Linux 6.10 the kernel estimates the free objects of more partial slabs on a node.
        let is_estimate = story.fullness.partial_slabs.is_some_and(|partial| partial > COUNTED_PARTIAL);
        let most = if is_estimate { "about" } else { "at most" };
        line("in use", &format!("{most} {active} of {all} objects ({} %)", counts.cache.use_percent()))?;
    }
    if let Some(text) = fullness(&story.fullness) {
        line("slabs", &text)?;
    }
    let nodes = story.fullness.nodes.as_deref().unwrap_or_default();
    for of in nodes.iter().filter(|_| nodes.len() > 1) {
        let also = |number: Option<u64>, what: &str| {
            number.map_or_else(String::new, |number| format!(", {} {what}", grouped_string(number)))
        };
        let (partial, objects) = (also(of.partial_slabs, "partial"), also(of.objects, "objects in use at most"));
        line(&format!("node {}", of.node), &format!("{}{partial}{objects}", some(of.slabs, "slab")))?;
    }
    if let Some(dentries) = &story.dentries {
        line("dentries", &of_dentries(dentries, layout))?;
    }
    let made = made(story);
    if !made.is_empty() {
        line("made", &made.join("; "))?;
    }
    if let Some(of) = &story.tunables {
        let text = format!(
            "a CPU keeps up to {} objects, and takes or returns {} at a time; all CPUs share a list of up to {} times \
             that, with {} free objects on it",
            of.limit, of.batchcount, of.sharedfactor, of.shared_available
        );
        line("tunables", &text)?;
    }
    if let Some(statistics) = &story.statistics {
        let each = statistics.iter().map(|of| format!("{} {}", of.name, grouped_string(of.value)));
        line("counted", &each.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

fn object(story: &Story) -> String {
    let Some(size) = story.slab.as_ref().map(|slab| slab.object_bytes) else {
        let requested = story
            .traits
            .requested_bytes
            .map(|bytes| format!("{} B and what the allocator adds", grouped_string(bytes)));
        return requested.unwrap_or_else(|| "-".to_owned());
    };
    let mut text = format!("{} B", grouped_string(size));
    match story.traits.requested_bytes {
        Some(requested) if requested < size => {
            text += &format!(
                ": {} B and {} B added by the allocator",
                grouped_string(requested),
                grouped_string(size - requested)
            );
        }
        _ => {}
    }
    match story.traits.user_copy_bytes {
        Some(copied @ 1..) if copied == size => text += "; all of it may be copied to and from user space",
        Some(copied @ 1..) => {
            text += &format!("; {} B of it may be copied to and from user space", grouped_string(copied));
        }
        _ => {}
    }
    text
}

/// What is known about how full slabs are.
fn fullness(of: &Fullness) -> Option<String> {
    let (full, partial, cpu) = (of.full_slabs?, of.partial_slabs?, of.cpu_slabs?);
    let [full_text, partial_text, cpu_text] = [full, partial, cpu].map(grouped_string);
    let objects = match of.partial_objects.zip(of.partial_free_objects) {
        Some((used, free)) if partial > 0 => {
            format!(" (with {} objects in use and {} free)", grouped_string(used), grouped_string(free))
        }
        _ => String::new(),
    };
    let waiting = match of.cpu_partial_slabs {
        Some(waiting @ 1..) => format!(" ({} on partial lists)", grouped_string(waiting)),
        _ => String::new(),
    };
    // A per-CPU list may be hidden, or a sheaf may hold objects of a slab that counts as full.
    let kept = of.kept_empty_slabs.filter(|_| partial > 0);
    let kept =
        kept.map(|kept| format!("; up to {kept} of the partial slabs per node may be empty ones kept in reserve"));
    Some(format!(
        "at most {full_text} full, {partial_text} partial{objects}, at least {cpu_text} per-CPU{waiting}{}",
        kept.unwrap_or_default()
    ))
}

fn of_dentries(of: &Dentries, layout: &Layout) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped_string);
    let negative = of.state.negative.map(|negative| format!("; {} negative", grouped_string(negative)));
    let bytes = of.unused_bytes.map(|bytes| format!(" = at most {} to reclaim", layout.scale.sized(bytes)));
    format!(
        "{}, {} of them unused{}{}",
        number(of.state.total),
        number(of.state.unused),
        bytes.unwrap_or_default(),
        negative.unwrap_or_default()
    )
}

/// How the cache was created, in words.
fn made(story: &Story) -> Vec<String> {
    let traits = &story.traits;
    let of = |is: Option<bool>, yes: &str, no: &str| is.map(|is| if is { yes } else { no }.to_owned());
    let said = [
        of(story.row.details.reclaimable, "reclaimable", "not reclaimable"),
        of(traits.accounted.filter(|always| *always), "always charged to cgroups", ""),
        of(traits.dma.filter(|dma| *dma), "for DMA", ""),
        of(traits.hwcache_aligned.filter(|aligned| *aligned), "aligned to cache lines", ""),
        of(traits.freed_by_rcu.filter(|rcu| *rcu), "slabs freed after an RCU grace period", ""),
        traits
            .constructor
            .as_ref()
            .filter(|name| !name.is_empty())
            .map(|name| format!("objects made by {}", escaped(name.as_bytes()))),
        traits
            .sheaf_capacity
            .filter(|&objects| objects > 0)
            .map(|objects| format!("CPUs keep free objects in sheaves of {objects}")),
    ];
    said.into_iter().flatten().collect()
}
