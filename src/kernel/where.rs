//! The sources of the memory ledger: the kernel's counters, read one file right after the other.

use std::path::Path;

use nix::errno::Errno;

use super::counters::{Counters, known};
use super::dir::Dir;
use super::physical::{Memory, Physical};
use super::root::{Root, SMALL, text};
use super::vmalloc::{self, VmallocPages};
use crate::error::{Error, Result};
use crate::model::pressure::{self, Pressure};
use crate::model::vmstat::Vmstat;
use crate::model::zoneinfo::{self, Zone};
use crate::unit::{decimal, hexadecimal};

/// A reading of all files. `None` if unreadable or missing in this kernel.
#[derive(Clone, Debug)]
pub struct Sources {
    /// meminfo, and the pages of slabinfo.
    pub counters: Counters,
    /// `/proc/zoneinfo`; empty if it cannot be read.
    pub zones: Vec<Zone>,
    /// `/proc/vmstat`.
    pub vmstat: Vmstat,
    /// `/proc/vmallocinfo` (root only).
    pub vmalloc: Option<VmallocPages>,
    /// The hugetlb pools of every size; empty if any of them cannot be read, because the sums would be partial.
    pub pools: Vec<HugePool>,
    /// `/proc/pressure/memory`, or why there is none.
    pub pressure: std::result::Result<Pressure, String>,
    /// Whether memory taken by a balloon is still in MemTotal. virtio-balloon subtracts it unless it deflates on OOM
    /// (drivers/virtio/virtio_balloon.c); for other balloons this is unknown.
    pub balloon_in_total: Option<bool>,
    /// Memory in offline blocks, in bytes.
    pub offline_bytes: u64,
    /// Files that are truncated, or exist but cannot be read for a reason other than permission: the values in them are
    /// missing.
    pub troubles: Vec<String>,
}

/// The hugetlb pages of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePool {
    /// The page size, in bytes.
    pub size: u64,
    /// All pages, including surplus pages.
    pub pages: u64,
    /// Of these, free pages.
    pub free: u64,
    /// Of the free pages, those reserved by a mapping.
    pub reserved: u64,
    /// Surplus pages, above the configured pool size: returned to the system when freed.
    pub surplus: u64,
}

impl Sources {
    /// Reads all files.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is no meminfo, [`Error::Malformed`] if it is not one.
    pub fn read(root: &Root) -> Result<Self> {
        let mut troubles = Vec::new();
        let counters = Counters::read_noting(root, &mut troubles);
        let vmstat = known(root.dir().read("proc/vmstat", SMALL), &mut troubles);
        let path = |file: &str| root.dir().path().join(file);
        let zones = root.dir().read("proc/zoneinfo", SMALL).and_then(|text| zones(&text, &path("proc/zoneinfo")));
        if counters.meminfo.bytes("MemTotal").is_none() {
            return Err(no_total(root));
        }
        let vmalloc = vmalloc::read(root);
        let vmalloc = vmalloc.and_then(|text| VmallocPages::parse(&text, &path("proc/vmallocinfo")));
        let pressure = root
            .dir()
            .read("proc/pressure/memory", SMALL)
            .and_then(|text| pressure::parse(&text, &path("proc/pressure/memory")))
            .map_err(|error| match error {
                Error::Missing { .. } if root.is_recorded() => "the recorded tree does not have it".to_owned(),
                Error::Missing { .. } => "it needs CONFIG_PSI and Linux 4.20".to_owned(),
                Error::Io { cause, .. } if cause.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {
                    format!("{cause} (boot with psi=1)")
                }
                other => {
                    let why = other.to_string();
                    known::<()>(Err(other), &mut troubles);
                    why
                }
            });
        let zones = known(zones, &mut troubles).unwrap_or_default();
        Ok(Self {
            offline_bytes: offline(root, &zones),
            pools: pools(root.dir()),
            balloon_in_total: balloon_in_total(root.dir()),
            counters,
            zones,
            vmstat: Vmstat::parse(&vmstat.unwrap_or_default()),
            vmalloc: known(vmalloc, &mut troubles),
            pressure,
            troubles,
        })
    }
}

/// The zones; every machine has at least one.
pub(super) fn zones(text: &[u8], path: &Path) -> Result<Vec<Zone>> {
    let zones = zoneinfo::parse(text, path)?;
    if zones.is_empty() {
        Err(Error::malformed(path, 1, "it contains no zone: the file is truncated"))
    } else {
        Ok(zones)
    }
}

/// Why there is no MemTotal.
fn no_total(root: &Root) -> Error {
    let path = root.dir().path().join("proc/meminfo");
    match root.dir().read("proc/meminfo", SMALL) {
        Ok(text) => {
            let what = match text.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"MemTotal:")) {
                true => "its MemTotal, the total of the ledger, is not a plausible size",
                false => "it has no MemTotal, the total of the ledger",
            };
            Error::malformed(&path, 1, what)
        }
        Err(Error::Missing { .. }) => {
            let why = match root.is_recorded() {
                true => "the recorded tree does not have it",
                false => "not there: this procfs shows only processes (subset=pid)",
            };
            Error::Unsupported { what: format!("{}: {why}", path.display()) }
        }
        Err(other) => other,
    }
}

const POOLS: &str = "sys/kernel/mm/hugepages";

/// The files of a hugetlb pool.
const POOL_FILES: [&str; 4] = ["nr_hugepages", "free_hugepages", "resv_hugepages", "surplus_hugepages"];

/// The names of the pools in this directory, with their page sizes in bytes.
pub(super) fn pool_names(dir: &Dir, pools: &str) -> Vec<(String, u64)> {
    let names = dir.open_dir(pools).and_then(|pools| pools.names()).unwrap_or_default();
    let pool = |name: Vec<u8>| {
        let name = String::from_utf8(name).ok()?;
        let kib = decimal(name.strip_prefix("hugepages-")?.strip_suffix("kB")?)?;
        Some((name, kib.checked_mul(1024)?))
    };
    names.into_iter().filter_map(pool).collect()
}

fn pools(dir: &Dir) -> Vec<HugePool> {
    let pool = |(name, size): (String, u64)| {
        let count = |file: &str| decimal(&text(dir, &format!("{POOLS}/{name}/{file}"))?);
        let [pages, free, reserved, surplus] = POOL_FILES.map(count);
        Some(HugePool { size, pages: pages?, free: free?, reserved: reserved?, surplus: surplus? })
    };
    pool_names(dir, POOLS).into_iter().map(pool).collect::<Option<_>>().unwrap_or_default()
}

const VIRTIO: &str = "sys/bus/virtio/devices";

/// The balloons among the virtio devices: their type is 5.
fn balloons(dir: &Dir) -> Vec<String> {
    let names = dir.open_dir(VIRTIO).and_then(|devices| devices.names()).unwrap_or_default();
    let balloon = |name: Vec<u8>| {
        let path = format!("{VIRTIO}/{}", String::from_utf8(name).ok()?);
        (hexadecimal(&text(dir, &format!("{path}/device"))?)? == 5).then_some(path)
    };
    names.into_iter().filter_map(balloon).collect()
}

/// Whether every virtio balloon deflates on OOM: `features` lists the bits from bit 0 on, and this is bit 2.
pub(super) fn balloon_in_total(dir: &Dir) -> Option<bool> {
    let gives_back =
        |path: String| text(dir, &format!("{path}/features")).map(|bits| bits.as_bytes().get(2) == Some(&b'1'));
    balloons(dir).into_iter().filter_map(gives_back).reduce(|a, b| a && b)
}

/// The files of all pools, as paths relative to the root.
pub fn pool_files(root: &Root) -> Vec<String> {
    let pools = pool_names(root.dir(), POOLS).into_iter();
    pools.flat_map(|(name, _)| POOL_FILES.map(|file| format!("{POOLS}/{name}/{file}"))).collect()
}

/// The files of all balloons, as paths relative to the root.
pub fn balloon_files(root: &Root) -> Vec<String> {
    let balloons = balloons(root.dir()).into_iter();
    balloons.flat_map(|path| ["device", "features"].map(|file| format!("{path}/{file}"))).collect()
}

/// Memory in offline blocks, in bytes.
fn offline(root: &Root, zones: &[Zone]) -> u64 {
    let physical = Physical::of(root, zones.to_vec());
    let segments = physical.iter().flat_map(|physical| &physical.segments);
    let offline = segments.filter(|segment| segment.memory == Memory::Offline);
    let frames = offline.fold(0u64, |sum, segment| sum.saturating_add(segment.frames.end - segment.frames.start));
    root.page_size().bytes_of(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balloon_is_in_the_total_where_it_gives_back() {
        let top = tempfile::tempdir().unwrap();
        let device = |name: &str, kind: &str, features: &str| {
            let path = top.path().join(VIRTIO).join(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("device"), kind).unwrap();
            std::fs::write(path.join("features"), features).unwrap();
        };
        let dir = Dir::confined(top.path()).unwrap();
        let found = || balloon_in_total(&dir);
        assert_eq!(found(), None);
        device("virtio0", "0x0002\n", "1111\n");
        assert_eq!(found(), None);
        device("virtio1", "0x0005\n", "01100101\n");
        assert_eq!((found(), balloons(&dir)), (Some(true), vec![format!("{VIRTIO}/virtio1")]));
        device("virtio1", "0x0005\n", "11");
        assert_eq!(found(), Some(false));
    }
}
