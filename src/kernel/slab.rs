//! The kernel's files about slab caches: `/proc/slabinfo` and `/sys/kernel/slab`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::dir::Dir;
use super::root::{Root, SMALL};
use crate::error::{Error, Result};
use crate::model::slabinfo::{self, Slabinfo};
use crate::name::Name;

/// The file in a recorded tree with the content of `/sys/kernel/slab`: one entry per line, with fields separated by tabs.
/// `NAME`, `->`, `TARGET` is a link; `NAME`, `ATTRIBUTE`, `VALUE` is a file; `NAME` alone is a directory.
pub const RECORDED: &str = "slab_sysfs";

/// The attributes recorded for each cache: those that are safe to read. (`objects_partial` and `objects` walk lists of slabs.)
const ATTRIBUTES: &[&str] = &[
    "align",
    "aliases",
    "cache_dma",
    "cpu_partial",
    "cpu_slabs",
    "ctor",
    "destroy_by_rcu",
    "hwcache_align",
    "min_partial",
    "object_size",
    "objects",
    "objects_partial",
    "objs_per_slab",
    "order",
    "partial",
    "reclaim_account",
    "sheaf_capacity",
    "slab_size",
    "slabs",
    "slabs_cpu_partial",
    "total_objects",
    "usersize",
];

/// Reads `/proc/slabinfo`.
///
/// # Errors
/// [`Error::Denied`] for users other than root (mode 0400); [`Error::Unsupported`] if the file does not exist or is not a
/// slabinfo.
pub fn slabinfo(root: &Root) -> Result<Slabinfo> {
    let text = root.dir().read("proc/slabinfo", SMALL).map_err(|error| match error {
        Error::Missing { path } => Error::Unsupported { what: format!("{}: {}", path.display(), absent(root)) },
        other => other,
    })?;
    parse(&text, &root.dir().path().join("proc/slabinfo"))
}

/// Why there is no slabinfo. (mm/slab_common.c: with SLUB it requires CONFIG_SLUB_DEBUG)
fn absent(root: &Root) -> &'static str {
    match root.is_recorded() {
        false => {
            "this kernel was built without it (CONFIG_SLUB_DEBUG), or this /proc shows only processes (subset=pid)"
        }
        true => "not in this tree: only root can record it",
    }
}

/// Parses a slabinfo read from `path`.
///
/// # Errors
/// [`Error::Unsupported`] if it is not a slabinfo.
pub fn parse(text: &[u8], path: &Path) -> Result<Slabinfo> {
    slabinfo::parse(text)
        .ok_or_else(|| Error::Unsupported { what: format!("{}: not a slabinfo of version 2.0 or 2.1", path.display()) })
}

/// `/sys/kernel/slab`, of the live machine or of a recorded tree.
#[derive(Debug)]
pub struct SlabSysfs {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Live(Dir),
    Recorded { links: Vec<(Name, Name)>, files: BTreeMap<(Name, String), String> },
}

/// The names of caches: one directory each, and the links to it from its aliases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheNames {
    /// The directory each link points to.
    directories: BTreeMap<Name, Name>,
    /// The links to a directory, sorted.
    names: BTreeMap<Name, Vec<Name>>,
    /// The directories that exist, on the live machine or in the tree: a link may point to one that is gone.
    there: BTreeSet<Name>,
}

impl SlabSysfs {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`Error::Missing`] if this kernel does not have it: SLAB, or SLUB without CONFIG_SYSFS.
    pub fn open(root: &Root) -> Result<Self> {
        let source = match root.is_recorded() {
            false => Source::Live(root.dir().open_dir("sys/kernel/slab")?),
            true => recorded(&root.dir().read(RECORDED, SMALL)?),
        };
        Ok(Self { source })
    }

    /// The names of all caches.
    pub fn names(&self) -> Result<CacheNames> {
        let mut found = CacheNames::default();
        match &self.source {
            Source::Live(dir) => {
                let (directories, links) = dir.directories_and_links()?;
                for name in directories {
                    found.names.entry(Name::new(&name)).or_default();
                    found.there.insert(Name::new(&name));
                }
                links.iter().for_each(|(link, target)| found.link(Name::new(link), Name::new(target)));
            }
            Source::Recorded { links, files } => {
                for (name, attribute) in files.keys() {
                    found.names.entry(name.clone()).or_default();
                    if !attribute.is_empty() {
                        found.there.insert(name.clone());
                    }
                }
                links.iter().for_each(|(link, target)| found.link(link.clone(), target.clone()));
            }
        }
        found.names.values_mut().for_each(|names| names.sort_unstable());
        Ok(found)
    }

    /// The trimmed content of one attribute of a cache; `None` if it does not exist or this user may not read it.
    pub fn attribute(&self, directory: &Name, attribute: &str) -> Option<String> {
        match &self.source {
            Source::Live(dir) => {
                let path = Path::new(OsStr::from_bytes(directory.bytes())).join(attribute);
                let text = dir.read(path, SMALL).ok()?;
                Some(std::str::from_utf8(&text).ok()?.trim().to_owned())
            }
            Source::Recorded { files, .. } => files.get(&(directory.clone(), attribute.to_owned())).cloned(),
        }
    }

    /// The directory in the format of a recorded tree. Names that the format cannot represent are omitted.
    pub fn record(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut line = |fields: [&[u8]; 3]| {
            if !fields.concat().iter().any(|byte| b"\t\n".contains(byte)) {
                text.extend([&fields.join(&b'\t')[..], b"\n"].concat());
            }
        };
        let names = self.names()?;
        for (directory, links) in &names.names {
            line([directory.bytes(), b"", b""]);
            for attribute in ATTRIBUTES {
                if let Some(value) = self.attribute(directory, attribute) {
                    line([directory.bytes(), attribute.as_bytes(), value.replace('\n', " ").as_bytes()]);
                }
            }
            links.iter().for_each(|link| line([link.bytes(), b"->", directory.bytes()]));
        }
        Ok(text)
    }
}

impl CacheNames {
    fn link(&mut self, link: Name, target: Name) {
        self.names.entry(target.clone()).or_default().push(link.clone());
        self.directories.insert(link, target);
    }

    /// The directory of the cache with this name: the link target, or the name itself.
    pub fn directory<'n>(&'n self, name: &'n Name) -> &'n Name {
        self.directories.get(name).unwrap_or(name)
    }

    /// Whether there is a cache of this name.
    pub fn has(&self, name: &Name) -> bool {
        self.directories.contains_key(name) || self.names.contains_key(name)
    }

    /// The aliases of each cache in `listed`, the names in slabinfo, in the same order. A listed name is never an alias of
    /// another; if two share a directory, the first gets the aliases.
    pub fn aliases(&self, listed: &[Name]) -> Vec<Vec<Name>> {
        let known: BTreeSet<&Name> = listed.iter().collect();
        let mut told = BTreeSet::new();
        let further = |name| {
            let directory = self.directory(name);
            let links = self.names.get(directory).filter(|_| told.insert(directory));
            links.into_iter().flatten().filter(|link| !known.contains(link)).cloned().collect()
        };
        listed.iter().map(further).collect()
    }

    /// The caches missing from a slabinfo with rows for `listed`, each by one of its names.
    pub fn lacking(&self, listed: &BTreeSet<&Name>) -> Vec<Name> {
        let lacks = |(directory, links): &(&Name, &Vec<Name>)| {
            self.there.contains(directory)
                && !std::iter::once(*directory).chain(*links).any(|name| listed.contains(name))
        };
        let name = |(directory, links): (&Name, &Vec<Name>)| links.first().unwrap_or(directory).clone();
        self.names.iter().filter(lacks).map(name).collect()
    }

    /// Each cache with all of its names, for users who may not read slabinfo. Which of them slabinfo would show is unknown; a
    /// directory's own name, which is meaningless for merged caches, comes first only if it has no links.
    pub fn groups(&self) -> impl Iterator<Item = Vec<Name>> {
        self.names.iter().map(|(directory, links)| match links[..] {
            [] => vec![directory.clone()],
            _ => links.clone(),
        })
    }
}

fn recorded(text: &[u8]) -> Source {
    let (mut links, mut files) = (Vec::new(), BTreeMap::new());
    for line in text.split(|&b| b == b'\n') {
        let mut fields = line.splitn(3, |&b| b == b'\t');
        let (Some(name), Some(attribute), Some(value)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if name.is_empty() {
            continue;
        }
        match (attribute, std::str::from_utf8(attribute), std::str::from_utf8(value)) {
            (b"->", ..) => links.push((Name::new(name), Name::new(value))),
            (_, Ok(attribute), Ok(value)) => {
                files.insert((Name::new(name), attribute.to_owned()), value.to_owned());
            }
            _ => {}
        }
    }
    Source::Recorded { links, files }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> SlabSysfs {
        let text = b":A-0001280\treclaim_account\t0\nUNIX\t->\t:A-0001280\nsignal_cache\t->\t:A-0001280\ndentry\tobjects\t5 N0=5\n\
                     half a line\n\t\t\n";
        SlabSysfs { source: recorded(text) }
    }

    #[test]
    fn links_are_further_names() {
        let names = tree().names().unwrap();
        let name = |text: &str| Name::new(text.as_bytes());
        let (signal, dentry, unix) = (name("signal_cache"), name("dentry"), name("UNIX"));
        assert_eq!(names.directory(&signal), &name(":A-0001280"));
        assert_eq!(names.directory(&dentry), &dentry);
        let aliases = |listed: &[&Name]| names.aliases(&listed.iter().map(|&name| name.clone()).collect::<Vec<_>>());
        assert_eq!(aliases(&[&dentry, &signal]), [vec![], vec![unix.clone()]]);
        assert_eq!(aliases(&[&signal, &signal]), [vec![unix.clone()], vec![]]);
        assert_eq!(aliases(&[&signal, &unix]), [vec![], vec![]]);
        assert_eq!(names.lacking(&BTreeSet::from([&unix, &dentry])), []);
        assert_eq!(names.lacking(&BTreeSet::from([&dentry])), std::slice::from_ref(&unix));
        assert!(names.has(&unix) && names.has(&dentry) && !names.has(&name("nothing")));
        assert_eq!(names.groups().filter(|group| group.contains(&unix)).collect::<Vec<_>>(), [[unix, signal]]);
    }

    #[test]
    fn attributes_are_those_of_directories() {
        let tree = tree();
        assert_eq!(tree.attribute(&Name::new(b"dentry"), "objects").as_deref(), Some("5 N0=5"));
        assert_eq!(tree.attribute(&Name::new(b"dentry"), "order"), None);
    }

    #[test]
    fn what_is_recorded_comes_back() {
        let tree = tree();
        let again = SlabSysfs { source: recorded(&tree.record().unwrap()) };
        assert_eq!(again.names().unwrap().groups().count(), tree.names().unwrap().groups().count());
        assert_eq!(again.record().unwrap(), tree.record().unwrap());
    }
}
