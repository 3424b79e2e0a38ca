//! Reads the slab caches repeatedly: slabinfo, the names in `/sys/kernel/slab`, and meminfo.

use std::time::{Duration, Instant};

use crate::analysis::slab::{Counts, Details, Reading, Reconcile, Row, Wanted, totals};
use crate::error::{Error, Result};
use crate::kernel::root::{Root, SMALL};
use crate::kernel::slab::{self, CacheNames, SlabSysfs};
use crate::model::meminfo::Meminfo;
use crate::model::slab_sysfs::{self, Count};
use crate::model::slabinfo::{Cache, Slabinfo};
use crate::name::Name;

/// Reads the caches repeatedly.
#[derive(Debug)]
pub struct Reader<'r> {
    root: &'r Root,
    wanted: Wanted,
    sysfs: Option<SlabSysfs>,
    names: CacheNames,
    /// When the names were read.
    names_of: Option<Instant>,
    /// Why there are no names, if there are none.
    names_unknown: Option<String>,
}

/// How long names are considered current: a cache that is merged later adds a link in sysfs, but nothing to slabinfo.
const NAMES_HOLD: Duration = Duration::from_secs(10);

impl<'r> Reader<'r> {
    /// A reader of the machine or tree.
    pub fn new(root: &'r Root, wanted: Wanted) -> Self {
        Self { root, wanted, sysfs: None, names: CacheNames::default(), names_of: None, names_unknown: None }
    }

    /// Makes the next reading read the names again, however recent they are.
    pub fn forget_names(&mut self) {
        self.names_of = None;
    }

    /// Sets what to read from `/sys/kernel/slab` from now on.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Reads slabinfo, and what is wanted from `/sys/kernel/slab`.
    ///
    /// A user who may not read slabinfo gets the names, and the reason in [`Reading::trouble`].
    ///
    /// # Errors
    /// If neither slabinfo nor `/sys/kernel/slab` can be read: the error for slabinfo.
    pub fn read(&mut self) -> Result<Reading> {
        let slabinfo = slab::slabinfo(self.root);
        let (meminfo, meminfo_unknown) = match self.root.dir().read("proc/meminfo", SMALL) {
            Ok(text) => (Meminfo::parse(&text), None),
            Err(error) => (Meminfo::parse(b""), Some(error.to_string())),
        };
        let is_known = |cache: &Cache| self.names.has(&cache.name);
        let all_known = slabinfo.as_ref().is_ok_and(|slabinfo| slabinfo.caches.iter().all(is_known));
        if !all_known || self.names_of.is_none_or(|of| of.elapsed() >= NAMES_HOLD) {
            self.read_names();
        }
        let mut reading = match slabinfo {
            Ok(slabinfo) => self.counted(slabinfo, &meminfo),
            Err(error) => self.names_only(error, &meminfo)?,
        };
        reading.names_unknown = self.names_unknown.clone();
        reading.meminfo_unknown = meminfo_unknown;
        // FileHugePages came in the same release; a kernel without huge pages has neither key.
        reading.counts_large_kmalloc =
            meminfo.bytes("AnonHugePages").is_none() || meminfo.bytes("FileHugePages").is_some();
        Ok(reading)
    }

    fn counted(&self, slabinfo: Slabinfo, meminfo: &Meminfo) -> Reading {
        let lacking = self.lacking(&slabinfo);
        let trouble = self.torn(&slabinfo, &lacking);
        let is_torn = trouble.is_some();
        let caches = self.rows(slabinfo.caches);
        let totals = Some(totals(&caches));
        let reconcile = Some(Reconcile::new(Some(&caches), meminfo));
        Reading { caches, totals, reconcile, trouble, is_torn, lacking, ..Reading::default() }
    }

    /// The caches of `/sys/kernel/slab` that a recorded slabinfo lacks. The live kernel's is complete: what it lacks
    /// came or went in the meantime.
    fn lacking(&self, slabinfo: &Slabinfo) -> Vec<Name> {
        if !self.root.is_recorded() {
            return Vec::new();
        }
        self.names.lacking(&slabinfo.caches.iter().map(|cache| &cache.name).collect())
    }

    /// Why slabinfo is incomplete, if it is.
    fn torn(&self, slabinfo: &Slabinfo, lacking: &[Name]) -> Option<Error> {
        // The line after the last cache, counting the two header lines.
        let end = slabinfo.caches.len().saturating_add(3);
        let (line, what) = match slabinfo.broken_line {
            Some(line) => (line, "not a line of slabinfo: the file is truncated, or not the kernel's"),
            None if slabinfo.caches.is_empty() => {
                (end, "it lists no caches: the file is truncated, or not the kernel's")
            }
            None if !lacking.is_empty() => {
                (end, "it ends here, and caches of /sys/kernel/slab are missing: it is truncated")
            }
            None => return None,
        };
        Some(Error::malformed(&self.root.dir().path().join("proc/slabinfo"), line, what))
    }

    /// Rows for caches of slabinfo, in their order.
    pub fn rows(&self, caches: Vec<Cache>) -> Vec<Row> {
        let page_size = self.root.page_size();
        let listed: Vec<Name> = caches.iter().map(|cache| cache.name.clone()).collect();
        let row = |(cache, aliases): (Cache, Vec<Name>)| Row {
            aliases: self.names_unknown.is_none().then_some(aliases),
            details: self.details(&cache.name, self.wanted),
            name: cache.name.clone(),
            counts: Some(Counts::of(cache, page_size)),
            change: None,
        };
        caches.into_iter().zip(self.names.aliases(&listed)).map(row).collect()
    }

    fn names_only(&self, error: Error, meminfo: &Meminfo) -> Result<Reading> {
        let row = |names: Vec<Name>| {
            let mut names = names.into_iter();
            let name = names.next().unwrap_or_default();
            Row { details: self.details(&name, self.wanted), name, aliases: Some(names.collect()), ..Row::default() }
        };
        let mut caches: Vec<Row> = self.names.groups().map(row).collect();
        if caches.is_empty() {
            return Err(error);
        }
        caches.sort_by(|a, b| a.name.cmp(&b.name));
        let reconcile = Some(Reconcile::new(None, meminfo));
        let counts_unknown = Some(error.to_string());
        Ok(Reading { caches, reconcile, counts_unknown, trouble: Some(error), ..Reading::default() })
    }

    /// Reads the names. If that fails, the next reading tries again.
    fn read_names(&mut self) {
        self.names_unknown = None;
        self.names = self.names_now().unwrap_or_else(|error| {
            self.names_unknown = Some(error.to_string());
            CacheNames::default()
        });
        if self.names == CacheNames::default() {
            self.names_unknown.get_or_insert_with(|| format!("{} is empty", sysfs_path(self.root)));
        }
        self.names_of = Some(Instant::now());
    }

    fn names_now(&mut self) -> Result<CacheNames> {
        let sysfs = match self.sysfs.take() {
            Some(sysfs) => sysfs,
            None => SlabSysfs::open(self.root)?,
        };
        self.sysfs.insert(sysfs).names()
    }

    /// The directory of the cache with this name.
    pub fn directory<'n>(&'n self, name: &'n Name) -> &'n Name {
        self.names.directory(name)
    }

    /// One file in the directory of the cache with this name; `None` if it cannot be read.
    pub fn attribute(&self, name: &Name, attribute: &str) -> Option<String> {
        let sysfs = self.sysfs.as_ref().filter(|_| self.names_unknown.is_none())?;
        sysfs.attribute(self.directory(name), attribute)
    }

    /// Reads what is wanted from the directory of one cache.
    pub fn details(&self, name: &Name, wanted: Wanted) -> Details {
        let read = |wanted: bool, attribute| wanted.then(|| self.attribute(name, attribute)).flatten();
        let count = |wanted, attribute| -> Option<Count> { slab_sysfs::count(&read(wanted, attribute)?) };
        let Wanted { reclaimable, partial_slabs, cpu_slabs, cpu_partial_slabs, nodes } = wanted;
        Details {
            reclaimable: read(reclaimable, "reclaim_account").map(|value| value == "1"),
            partial_slabs: count(partial_slabs, "partial").map(|count| count.total),
            cpu_slabs: count(cpu_slabs, "cpu_slabs").map(|count| count.total),
            cpu_partial_slabs: read(cpu_partial_slabs, "slabs_cpu_partial")
                .and_then(|text| slab_sysfs::cpu_partial_slabs(&text)),
            nodes: count(nodes, "slabs").map(|count| count.nodes),
        }
    }
}

/// Where the names come from.
fn sysfs_path(root: &Root) -> String {
    let file = if root.is_recorded() { slab::RECORDED } else { "sys/kernel/slab" };
    root.dir().path().join(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_again_when_they_failed_or_are_forgotten() {
        let top = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(top.path().join("proc")).unwrap();
        let write = |file: &str, text: &str| std::fs::write(top.path().join(file), text).unwrap();
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/6.12/machine/pmem-capture.json");
        std::fs::copy(manifest, top.path().join("pmem-capture.json")).unwrap();
        write("proc/slabinfo", "slabinfo - version: 2.1\na 1 1 64 64 1 : tunables 0 0 0 : slabdata 1 1 0\n");
        let root = Root::open(top.path()).unwrap();
        let mut reader = Reader::new(&root, Wanted::default());
        let names = |reader: &mut Reader<'_>| {
            let reading = reader.read().unwrap();
            assert_eq!(reading.names_unknown.is_some(), reading.caches[0].aliases.is_none());
            reading.caches[0].names().count()
        };
        assert_eq!(names(&mut reader), 1);
        assert!(reader.names_unknown.is_some());
        write(slab::RECORDED, "a\t->\t:t\nb\t->\t:t\n");
        assert_eq!(names(&mut reader), 2);
        // A recorded tree is read once; on the live kernel, the open directory gives the current names.
        write(slab::RECORDED, "a\t->\t:t\nb\t->\t:t\nc\t->\t:t\n");
        reader.sysfs = None;
        assert_eq!(names(&mut reader), 2);
        reader.forget_names();
        assert_eq!(names(&mut reader), 3);
    }
}
