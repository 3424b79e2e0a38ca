//! `/proc/slabinfo`: the caches of the slab allocator. (mm/slab_common.c)

use std::path::Path;

use crate::error::{Error, Result};

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Its name; of caches that were merged, one of their names.
    pub name: String,
    /// Objects in use. SLUB counts as free only those in partial slabs of a node, so this is the most there can be.
    pub active_objects: u64,
    /// Objects there is room for.
    pub objects: u64,
    /// The size of an object, in bytes.
    pub object_size: u64,
    /// Objects in a slab.
    pub objects_per_slab: u64,
    /// Base pages in a slab, of the order the cache prefers.
    pub pages_per_slab: u64,
    /// Slabs with objects in use; with SLUB all of them.
    pub active_slabs: u64,
    /// Slabs.
    pub slabs: u64,
}

impl Cache {
    /// The pages of its slabs; fewer where some had to be taken of a lower order.
    pub fn pages(&self) -> u64 {
        self.slabs.saturating_mul(self.pages_per_slab)
    }
}

/// Parses the file: version 2.1, in the kernel since 2.6.10, with or without statistics.
///
/// # Errors
/// [`Error::Malformed`].
pub fn parse(text: &[u8], path: &Path) -> Result<Vec<Cache>> {
    let mut lines = text.split(|&b| b == b'\n').zip(1..);
    if !lines.next().is_some_and(|(line, _)| line.starts_with(b"slabinfo - version: 2.1")) {
        return Err(Error::malformed(path, 1, "expected 'slabinfo - version: 2.1'"));
    }
    let rows = lines.filter(|(line, _)| !line.is_empty() && line[0] != b'#');
    rows.map(|(line, number)| cache(line).ok_or_else(|| Error::malformed(path, number, "not a line of slabinfo")))
        .collect()
}

/// `name active num objsize objperslab pagesperslab : tunables a b c : slabdata active num shared`
fn cache(line: &[u8]) -> Option<Cache> {
    let line = std::str::from_utf8(line).ok()?;
    let (counts, rest) = line.split_once(" : tunables")?;
    let (_, slabs) = rest.split_once(": slabdata")?;
    let mut counts = counts.split_ascii_whitespace();
    let name = counts.next()?.to_owned();
    let mut number = || counts.next()?.parse().ok();
    let (active_objects, objects, object_size) = (number()?, number()?, number()?);
    let (objects_per_slab, pages_per_slab) = (number()?, number()?);
    let mut slabs = slabs.split_ascii_whitespace();
    let mut number = || slabs.next()?.parse().ok();
    let (active_slabs, slabs) = (number()?, number()?);
    Some(Cache { name, active_objects, objects, object_size, objects_per_slab, pages_per_slab, active_slabs, slabs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "slabinfo - version: 2.1\n\
        # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables …\n";

    #[test]
    fn lines_of_the_kernel_are_understood() {
        let text = format!(
            "{HEAD}ext4_inode_cache   81102  81102   1128   14    4 : tunables    0    0    0 : slabdata   5793   5793      0\n"
        );
        let caches = parse(text.as_bytes(), Path::new("slabinfo")).unwrap();
        let expected = Cache {
            name: "ext4_inode_cache".to_owned(),
            active_objects: 81102,
            objects: 81102,
            object_size: 1128,
            objects_per_slab: 14,
            pages_per_slab: 4,
            active_slabs: 5793,
            slabs: 5793,
        };
        assert_eq!(caches, [expected]);
        assert_eq!(caches[0].pages(), 23172);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for bad in
            ["a 1 2 3\n", "a 1 2 3 4 5 : tunables 0 0 0 : slabdata 1\n", "a 1 2 3 4 x : tunables : slabdata 1 2 3\n"]
        {
            let error = parse(format!("{HEAD}{bad}").as_bytes(), Path::new("s")).unwrap_err();
            assert!(matches!(error, Error::Malformed { line: 3, .. }), "{bad:?}");
        }
        assert!(parse(b"slabinfo - version: 1.1\n", Path::new("s")).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(line in "[a-z0-9 :]{0,60}") {
            let _ = parse(format!("{HEAD}{line} : tunables {line}: slabdata {line}\n").as_bytes(), Path::new("s"));
        }
    }
}
