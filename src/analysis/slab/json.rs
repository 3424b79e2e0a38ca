//! A slab cache in JSON: one flat object, null for what is not known.

use serde::{Serialize, Serializer};

use crate::analysis::slab::Row;
use crate::model::slabinfo::Cache;
use crate::name::{Name, as_name};

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'r> {
            #[serde(flatten, serialize_with = "as_name")]
            name: &'r Name,
            aliases: Option<Vec<std::borrow::Cow<'r, str>>>,
            active_objects: Option<u64>,
            objects: Option<u64>,
            object_size_bytes: Option<u64>,
            objects_per_slab: Option<u64>,
            pages_per_slab: Option<u64>,
            active_slabs: Option<u64>,
            slabs: Option<u64>,
            size_bytes: Option<u64>,
            held_bytes: Option<u64>,
            small_slabs: Option<u64>,
            use_percent: Option<u64>,
            reclaimable: Option<bool>,
            partial_slabs: Option<u64>,
            cpu_slabs: Option<u64>,
            cpu_partial_slabs: Option<u64>,
            nodes: Option<Vec<NodeSlabs>>,
            objects_change: Option<i64>,
            size_change_bytes: Option<i64>,
        }
        #[derive(Serialize)]
        struct NodeSlabs {
            node: u32,
            slabs: u64,
        }
        let counts = self.counts.as_ref();
        let cache = |of: fn(&Cache) -> u64| counts.map(|counts| of(&counts.cache));
        let details = &self.details;
        let node = |&(node, slabs): &(u32, u64)| NodeSlabs { node, slabs };
        Fields {
            name: &self.name,
            aliases: self.aliases.as_ref().map(|names| names.iter().map(Name::shown_in_json).collect()),
            active_objects: cache(|cache| cache.active_objects),
            objects: cache(|cache| cache.objects),
            object_size_bytes: cache(|cache| cache.object_size),
            objects_per_slab: cache(|cache| cache.objects_per_slab),
            pages_per_slab: cache(|cache| cache.pages_per_slab),
            active_slabs: cache(|cache| cache.active_slabs),
            slabs: cache(|cache| cache.slabs),
            size_bytes: counts.map(|counts| counts.size_bytes),
            held_bytes: counts.map(|counts| counts.held_bytes),
            small_slabs: counts.map(|counts| counts.small_slabs),
            use_percent: cache(Cache::use_percent),
            reclaimable: details.reclaimable,
            partial_slabs: details.partial_slabs,
            cpu_slabs: details.cpu_slabs,
            cpu_partial_slabs: details.cpu_partial_slabs,
            nodes: details.nodes.as_ref().map(|nodes| nodes.iter().map(node).collect()),
            objects_change: self.change.map(|change| change.objects),
            size_change_bytes: self.change.map(|change| change.size_bytes),
        }
        .serialize(serializer)
    }
}
