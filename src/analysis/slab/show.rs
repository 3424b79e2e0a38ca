//! One slab cache in detail: its sizes, how full its slabs are, what its names mean.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::note::Note;
use crate::analysis::slab::names::meaning;
use crate::analysis::slab::{Reader, Row, Wanted, unknown};
use crate::error::{Error, Result};
use crate::kernel::root::{Root, text};
use crate::model::slab_sysfs::{self, Count, DentryState};
use crate::model::slabinfo::STATISTICS;
use crate::name::Name;
use crate::unit::{PageSize, decimal};

/// One cache.
#[derive(Debug)]
pub struct Story {
    /// Its row of the table.
    pub row: Row,
    /// The meaning of its well-known names.
    pub meanings: Vec<Meaning>,
    /// What a slab has room for, from slabinfo or else from sysfs; `None` if neither can be read.
    pub slab: Option<SlabSizes>,
    /// The properties of its objects, for those who use them.
    pub traits: Traits,
    /// How full its slabs are.
    pub fullness: Fullness,
    /// SLAB's tunables; `None` with SLUB, and without slabinfo.
    pub tunables: Option<Tunables>,
    /// What SLAB with CONFIG_DEBUG_SLAB counts.
    pub statistics: Option<Vec<Statistic>>,
    /// The kernel's counts of dentries; `None` for other caches.
    pub dentries: Option<Dentries>,
}

/// What an object of a cache is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Meaning {
    /// The cache's name.
    pub name: String,
    /// What an object of it is.
    pub what: &'static str,
    /// The kernel source file that creates it.
    pub source: &'static str,
}

/// The capacity of a slab of the preferred order.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SlabSizes {
    /// Object size including metadata, in bytes.
    pub object_bytes: u64,
    /// Objects per slab.
    pub objects: u64,
    /// Base pages per slab.
    pub pages: u64,
    /// Slab size, in bytes.
    pub slab_bytes: u64,
    /// Unused bytes per slab.
    pub waste_bytes: u64,
}

impl SlabSizes {
    /// The sizes of slabs with this many pages, objects, and bytes per object.
    pub fn new(object_bytes: u64, objects: u64, pages: u64, page_size: PageSize) -> Self {
        let slab_bytes = page_size.bytes_of(pages);
        let waste_bytes = slab_bytes.saturating_sub(objects.saturating_mul(object_bytes));
        Self { object_bytes, objects, pages, slab_bytes, waste_bytes }
    }
}

/// How the cache was created; `None` means not known: the files are readable only by root.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Traits {
    /// Object size requested by the cache's creator, in bytes; the rest of the object size is padding and the
    /// allocator's metadata.
    pub requested_bytes: Option<u64>,
    /// How much of an object may be copied to and from user space, in bytes (CONFIG_HARDENED_USERCOPY).
    pub user_copy_bytes: Option<u64>,
    /// Alignment of objects, in bytes.
    pub align_bytes: Option<u64>,
    /// Whether all its objects are charged to memory cgroups (SLAB_ACCOUNT); known only for mergeable caches. If not,
    /// single allocations may still be (`__GFP_ACCOUNT`).
    pub accounted: Option<bool>,
    /// Whether its slabs come from ZONE_DMA.
    pub dma: Option<bool>,
    /// Whether objects are aligned to cache lines.
    pub hwcache_aligned: Option<bool>,
    /// Whether its slabs are freed only after an RCU grace period.
    pub freed_by_rcu: Option<bool>,
    /// The function that initialises the objects of a new slab; empty if there is none.
    pub constructor: Option<String>,
    /// Free objects that a CPU's sheaf holds; 0 without sheaves (since Linux 6.18).
    pub sheaf_capacity: Option<u64>,
}

/// How full the slabs are. The numbers were read at different times.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fullness {
    /// Slabs neither on a node's list nor known to be per-CPU; at most this many are full (an object in a sheaf counts
    /// as in use).
    pub full_slabs: Option<u64>,
    /// Slabs on the nodes' partial lists. Empty ones may be among them: see `kept_empty_slabs`.
    pub partial_slabs: Option<u64>,
    /// Objects in use in those.
    pub partial_objects: Option<u64>,
    /// Free objects in those: the only ones that slabinfo counts as free.
    pub partial_free_objects: Option<u64>,
    /// Per-CPU slabs, a lower bound: the list of a CPU that is not allocating from a slab at the moment is left out
    /// (`show_slab_objects` in mm/slub.c). How full they are is not reported.
    pub cpu_slabs: Option<u64>,
    /// Of these, slabs on per-CPU partial lists.
    pub cpu_partial_slabs: Option<u64>,
    /// How many slabs a node keeps on its partial list even if they are empty.
    pub kept_empty_slabs: Option<u64>,
    /// By NUMA node.
    pub nodes: Option<Vec<NodeSlabs>>,
}

/// The slabs of a node.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeSlabs {
    /// The node.
    pub node: u32,
    /// Its slabs.
    pub slabs: u64,
    /// Slabs on its partial list.
    pub partial_slabs: Option<u64>,
    /// Objects in use (upper bound).
    pub objects: Option<u64>,
}

/// How many free objects SLAB keeps.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tunables {
    /// The maximum that a CPU keeps.
    pub limit: u64,
    /// How many it takes or returns at a time.
    pub batchcount: u64,
    /// Capacity of the shared list, in batches.
    pub sharedfactor: u64,
    /// Free objects on that list.
    pub shared_available: u64,
}

/// A counter of SLAB.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Statistic {
    /// Its name in the header of slabinfo.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
}

/// The kernel's dentry counters.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Dentries {
    /// `/proc/sys/fs/dentry-state`.
    #[serde(flatten)]
    pub state: DentryState,
    /// Size of the unused dentries: what reclaim could free if their slabs became empty.
    pub unused_bytes: Option<u64>,
}

/// The answer to what was asked for.
#[derive(Debug)]
pub struct Found {
    /// The caches that exist, each once.
    pub stories: Vec<Story>,
    /// The names without a cache, each with the most similar name of one, if any.
    pub missing: Vec<(String, Option<String>)>,
    /// Why the names of merged caches are not known, if they are not.
    pub names_unknown: Option<String>,
    /// Why the counts of slabinfo are not known, if they are not.
    pub counts_unknown: Option<String>,
    /// Why slabinfo could not be read, or not completely.
    pub trouble: Option<Error>,
}

impl Found {
    /// What the reader must know; all of it is also reported as an error or in words.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = unknown(&self.counts_unknown, &self.names_unknown);
        if let (Some(error), None) = (&self.trouble, &self.counts_unknown) {
            notes.push(Note::general("slabinfo-torn", error.to_string()));
        }
        let missing = |(name, _): &(String, _)| Note::general("no-such-cache", format!("{name}: no such cache"));
        notes.extend(self.missing.iter().map(missing));
        notes.into_iter().map(|note| Note { in_json_only: true, ..note }).collect()
    }
}

/// Everything from a cache's directory that its row shows.
const DETAILS: Wanted =
    Wanted { reclaimable: true, partial_slabs: true, cpu_slabs: true, cpu_partial_slabs: true, nodes: true };

/// Describes the caches with these names: any of their own, or that of their directory.
///
/// # Errors
/// If neither slabinfo nor `/sys/kernel/slab` can be read.
pub fn stories(root: &Root, asked: &[String]) -> Result<Found> {
    let mut reader = Reader::new(root, Wanted::default());
    let reading = reader.read()?;
    let is_called = |row: &Row, name: &Name| row.names().any(|of| of == name) || reader.directory(&row.name) == name;
    let (mut chosen, mut missing) = (Vec::new(), Vec::new());
    for text in asked {
        let name = Name::new(text.as_bytes());
        match reading.caches.iter().position(|row| is_called(row, &name)) {
            Some(place) if chosen.contains(&place) => {}
            Some(place) => chosen.push(place),
            None => missing.push((text.clone(), nearest(text, reading.caches.iter().flat_map(Row::names)))),
        }
    }
    let story = |place: usize| story(root, &reader, reading.caches[place].clone());
    let stories = chosen.into_iter().map(story).collect();
    let (names_unknown, counts_unknown) = (reading.names_unknown, reading.counts_unknown);
    Ok(Found { stories, missing, names_unknown, counts_unknown, trouble: reading.trouble })
}

/// The name most similar to `text`, if any is similar at all.
fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n Name>) -> Option<String> {
    let likeness = |name: &Name| strsim::jaro_winkler(text, &name.escaped());
    let likely = names.map(|name| (likeness(name), name)).filter(|(like, _)| *like > 0.8);
    likely.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name.escaped().into_owned())
}

fn story(root: &Root, reader: &Reader<'_>, mut row: Row) -> Story {
    let name = row.name.clone();
    let read = |attribute: &str| reader.attribute(&name, attribute);
    let number = |attribute: &str| decimal(&read(attribute)?);
    let yes = |attribute: &str| read(attribute).map(|value| value == "1");
    let count = |attribute: &str| slab_sysfs::count(&read(attribute)?);
    let cache = row.counts.as_ref().map(|counts| counts.cache.clone());

    let slabs = count("slabs");
    let (partial, objects) = (count("partial"), count("objects"));
    row.details = reader.details(&name, DETAILS);
    let details = &row.details;

    let all = cache.as_ref().map(|cache| cache.slabs);
    let full = |all: u64| Some(all.saturating_sub(details.partial_slabs?).saturating_sub(details.cpu_slabs?));
    let fullness = Fullness {
        full_slabs: all.and_then(full),
        partial_slabs: details.partial_slabs,
        partial_objects: count("objects_partial").map(|count| count.total),
        partial_free_objects: cache.as_ref().map(|cache| cache.objects.saturating_sub(cache.active_objects)),
        cpu_slabs: details.cpu_slabs,
        cpu_partial_slabs: details.cpu_partial_slabs,
        kept_empty_slabs: number("min_partial"),
        nodes: slabs.map(|slabs| by_node(&slabs, partial.as_ref(), objects.as_ref())),
    };
    let traits = Traits {
        requested_bytes: number("object_size"),
        user_copy_bytes: number("usersize"),
        align_bytes: number("align"),
        accounted: is_accounted(reader.directory(&name)),
        dma: yes("cache_dma"),
        hwcache_aligned: yes("hwcache_align"),
        freed_by_rcu: yes("destroy_by_rcu"),
        constructor: read("ctor"),
        sheaf_capacity: number("sheaf_capacity"),
    };
    let page_size = root.page_size();
    let by_sysfs = || {
        let pages = 1_u64.checked_shl(u32::try_from(number("order")?).ok()?)?;
        Some([number("slab_size")?, number("objs_per_slab")?, pages])
    };
    let by_slabinfo = cache.as_ref().map(|cache| [cache.object_size, cache.objects_per_slab, cache.pages_per_slab]);
    let slab = by_slabinfo
        .or_else(by_sysfs)
        .map(|[object_bytes, objects, pages]| SlabSizes::new(object_bytes, objects, pages, page_size));
    let tunables = cache.as_ref().filter(|cache| cache.tunables.limit > 0).map(|cache| Tunables {
        limit: cache.tunables.limit,
        batchcount: cache.tunables.batch_count,
        sharedfactor: cache.tunables.shared_factor,
        shared_available: cache.shared_available,
    });
    let numbers = cache.as_ref().and_then(|cache| cache.statistics.as_deref());
    let statistic = |(name, &value): (&'static str, &u64)| Statistic { name, value };
    let statistics = numbers.map(|numbers| STATISTICS.into_iter().zip(numbers).map(statistic).collect());
    let is_dentry = row.names().any(|name| name.bytes() == b"dentry");
    let dentries = is_dentry.then(|| dentries(root, cache.as_ref().map(|cache| cache.object_size))).flatten();
    let meaning = |name: &Name| {
        let name = name.escaped().into_owned();
        meaning(&name).map(|(what, source)| Meaning { name, what, source })
    };
    let meanings = row.names().filter_map(meaning).collect();
    Story { meanings, slab, traits, fullness, tunables, statistics, dentries, row }
}

fn by_node(slabs: &Count, partial: Option<&Count>, objects: Option<&Count>) -> Vec<NodeSlabs> {
    // A node that is not listed has none.
    let by_number = |count: Option<&Count>| Some(count?.nodes.iter().copied().collect::<BTreeMap<u32, u64>>());
    let (partial, objects) = (by_number(partial), by_number(objects));
    let of = |count: &Option<BTreeMap<u32, u64>>, node| Some(count.as_ref()?.get(&node).copied().unwrap_or(0));
    let node = |&(node, slabs): &(u32, u64)| NodeSlabs {
        node,
        slabs,
        partial_slabs: of(&partial, node),
        objects: of(&objects, node),
    };
    slabs.nodes.iter().map(node).collect()
}

/// Whether a cache's objects are charged to cgroups: SLUB names the directory of a mergeable cache after its flags and
/// size, such as `:aA-0000192`. (`create_unique_id` in mm/slub.c)
fn is_accounted(directory: &Name) -> Option<bool> {
    let id = directory.bytes().strip_prefix(b":")?;
    let flags = id.iter().position(|&byte| byte == b'-').map_or(&[][..], |end| &id[..end]);
    Some(flags.contains(&b'A'))
}

fn dentries(root: &Root, object_size: Option<u64>) -> Option<Dentries> {
    let state = slab_sysfs::dentry_state(&text(root.dir(), "proc/sys/fs/dentry-state")?)?;
    let unused_bytes = object_size.zip(state.unused).and_then(|(size, unused)| size.checked_mul(unused));
    Some(Dentries { state, unused_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_merged_cache_says_whether_it_is_charged() {
        for (directory, accounted) in [
            (":A-0000192", Some(true)),
            (":aA-0000032", Some(true)),
            (":a-0000104", Some(false)),
            (":0000048", Some(false)),
            ("dentry", None),
        ] {
            assert_eq!(is_accounted(&Name::new(directory.as_bytes())), accounted, "{directory}");
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["dentry", "inode_cache", "ext4_inode_cache"].map(|name| Name::new(name.as_bytes()));
        let nearest = |text| nearest(text, names.iter());
        assert_eq!(nearest("dentri").as_deref(), Some("dentry"));
        assert_eq!(nearest("inode-cache").as_deref(), Some("inode_cache"));
        assert_eq!(nearest("zzz"), None);
    }
}
