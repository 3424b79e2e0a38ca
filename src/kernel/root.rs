//! The source of all data: the live machine, or a tree recorded by `pmem capture`.

use std::path::Path;

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{SysconfVar, sysconf};

use super::dir::Dir;
use super::features::Features;
use super::manifest::{FILE, Host, Manifest, SCHEMA};
use super::words::Words;
use crate::error::{Error, Result};
use crate::unit::PageSize;

/// The maximum size of a small text file, in bytes.
pub const SMALL: u64 = 16 << 20;

/// The live machine or a recorded tree.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
    host: Host,
    page_size: PageSize,
    clock_ticks: u64,
    manifest: Option<Manifest>,
}

impl Root {
    /// Opens `path`: the live machine if its `proc` is a mounted procfs (`/`, or a host's root inside a container), else a
    /// recorded tree.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = Dir::live(path)?;
        // Not through a link: a tree with a link to /proc is not the live machine.
        if Dir::confined(path)?
            .open_dir("proc")
            .is_ok_and(|proc| fstatfs(&proc).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC))
        {
            Self::live(dir)
        } else {
            Self::recorded(Dir::confined(path)?)
        }
    }

    /// Like `open`, for callers that read no files: also works if no procfs is mounted.
    pub fn open_unread(path: &Path) -> Result<Self> {
        Self::open(path).or_else(|error| match error {
            Error::Unsupported { .. } if path == Path::new("/") => Self::live(Dir::live(path)?),
            other => Err(other),
        })
    }

    fn live(dir: Dir) -> Result<Self> {
        let uname = nix::sys::utsname::uname().map_err(|e| Error::from_errno(e, "uname"))?;
        let number = |variable| sysconf(variable).ok().flatten().and_then(|n| u64::try_from(n).ok());
        let page_size = number(SysconfVar::PAGE_SIZE)
            .and_then(PageSize::new)
            .ok_or_else(|| Error::Unsupported { what: "this machine's page size is not supported".to_owned() })?;
        let host = Host {
            kernel: uname.release().to_string_lossy().into_owned(),
            arch: uname.machine().to_string_lossy().into_owned(),
            page_size: page_size.bytes(),
            boot_id: text(&dir, "proc/sys/kernel/random/boot_id"),
        };
        let clock_ticks = number(SysconfVar::CLK_TCK).unwrap_or(100);
        Ok(Self { dir, host, page_size, clock_ticks, manifest: None })
    }

    fn recorded(dir: Dir) -> Result<Self> {
        let path = dir.path().join(FILE);
        let bytes = dir.read(FILE, SMALL).map_err(|e| match e {
            Error::Missing { .. } => Error::Unsupported {
                what: format!(
                    "{}: neither a live machine (no procfs on its proc) nor a recorded tree (no {FILE}); create one \
                     with 'pmem capture DIR'",
                    dir.path().display()
                ),
            },
            other => other,
        })?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| Error::Malformed {
            path: path.clone(),
            line: e.line(),
            what: "not a capture manifest",
        })?;
        if manifest.schema != SCHEMA {
            return Err(Error::Unsupported {
                what: format!(
                    "{}: its schema is not {SCHEMA}, the only one this version of pmem reads",
                    path.display()
                ),
            });
        }
        // The time is displayed and used in computations.
        chrono::DateTime::parse_from_rfc3339(&manifest.time)
            .map_err(|_| Error::malformed(&path, 1, "its time is not in RFC 3339 format"))?;
        let page_size = manifest
            .host
            .page_size()
            .ok_or_else(|| Error::malformed(&path, 1, "host.page_size is not a valid page size"))?;
        let (host, clock_ticks) = (manifest.host.clone(), manifest.clock_ticks.max(1));
        Ok(Self { dir, host, page_size, clock_ticks, manifest: Some(manifest) })
    }

    /// The top directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The machine the numbers come from.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its page size.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Clock ticks per second.
    pub fn clock_ticks(&self) -> u64 {
        self.clock_ticks
    }

    /// The manifest of a recorded tree; `None` on the live machine.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether this is a recorded tree.
    pub fn is_recorded(&self) -> bool {
        self.manifest.is_some()
    }

    /// Its name in JSON: `live` or `recorded`.
    pub fn source(&self) -> &'static str {
        if self.is_recorded() { "recorded" } else { "live" }
    }

    /// The features of this machine: probed now, or as recorded in the tree.
    pub fn features(&self) -> Features {
        self.manifest.as_ref().map_or_else(|| Features::probe(self), |m| m.features.clone())
    }

    /// Likewise, without the slow probes, for callers that may never need their results.
    pub fn features_cheaply(&self) -> Features {
        self.manifest.as_ref().map_or_else(|| Features::probe_cheaply(self), |m| m.features.clone())
    }

    /// Opens one of the system-wide word files: `proc/kpageflags`, `proc/kpagecount` or `proc/kpagecgroup`.
    pub fn words(&self, relative: &str) -> Result<Words> {
        Words::open(&self.dir, relative, self.is_recorded())
    }

    /// The number of swap areas; 1 if `/proc/swaps` cannot be read.
    pub fn swap_areas(&self) -> u64 {
        self.dir.read("proc/swaps", SMALL).map_or(1, |text| {
            let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).count();
            lines.saturating_sub(1) as u64
        })
    }

    /// The boot time, in seconds since 1970 (`btime` in `/proc/stat`).
    pub fn boot_time(&self) -> Option<i64> {
        let text = self.dir.read("proc/stat", SMALL).ok()?;
        let line = text.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"btime "))?;
        std::str::from_utf8(line).ok()?.trim().parse().ok()
    }
}

/// The trimmed content of a small text file; `None` if it cannot be read.
pub fn text(dir: &Dir, relative: &str) -> Option<String> {
    let bytes = dir.read(relative, SMALL).ok()?;
    Some(std::str::from_utf8(&bytes).ok()?.trim().to_owned())
}
