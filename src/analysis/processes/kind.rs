//! What kind of memory a mapping is.

use serde::Serialize;

use crate::kernel::filesystems::FileSystems;
use crate::model::vma::Vma;

/// The kinds of mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Private memory without a file: also a private mapping of `/dev/zero`.
    Anon,
    /// The heap that `brk` grows.
    Heap,
    /// The stack of the first thread. Those of other threads are anonymous mappings like any other.
    Stack,
    /// A file.
    File,
    /// Shared memory: tmpfs, memfd, SysV segments, shared anonymous memory.
    Shmem,
    /// Huge pages from the hugetlb pool, which no RSS includes.
    Hugetlb,
    /// Set up by the kernel or a driver: vdso, vvar, vsyscall, rings, secretmem.
    Special,
}

impl Kind {
    /// Every kind, for help and for parsing.
    pub const ALL: [Self; 7] =
        [Self::Anon, Self::Heap, Self::Stack, Self::File, Self::Shmem, Self::Hugetlb, Self::Special];

    /// Its name, as in `--kind` and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Heap => "heap",
            Self::Stack => "stack",
            Self::File => "file",
            Self::Shmem => "shmem",
            Self::Hugetlb => "hugetlb",
            Self::Special => "special",
        }
    }
}

/// The kind of one mapping.
pub fn kind(vma: &Vma, systems: &FileSystems) -> Kind {
    let name = vma.name.bytes();
    match name.first() {
        None => Kind::Anon,
        Some(b'[') => match name {
            b"[heap]" => Kind::Heap,
            b"[stack]" => Kind::Stack,
            _ if name.starts_with(b"[anon:") => Kind::Anon,
            _ if name.starts_with(b"[anon_shmem:") => Kind::Shmem,
            _ => Kind::Special,
        },
        Some(b'/') if name == b"/dev/zero" && !vma.perm.is_shared() => Kind::Anon,
        Some(b'/') if systems.hugetlb.contains(&vma.dev) => Kind::Hugetlb,
        Some(b'/') if systems.tmpfs.contains(&vma.dev) => Kind::Shmem,
        // Pseudo file systems that show their objects under a path of their own.
        Some(b'/') if vma.dev.major == 0 && SPECIAL.iter().any(|prefix| name.starts_with(prefix)) => Kind::Special,
        Some(b'/') => Kind::File,
        // anon_inode:[io_uring], socket:[123], …
        Some(_) => Kind::Special,
    }
}

const SPECIAL: [&[u8]; 4] = [b"/[aio]", b"/secretmem", b"/dmabuf:", b"/i915"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vma::Dev;
    use std::path::Path;

    fn kind_of(dev: &str, perm: &str, name: &str) -> Kind {
        let line = format!("00400000-00401000 {perm} 00000000 {dev} 12 {name}");
        let vma = Vma::parse(line.as_bytes(), Path::new("maps"), 1).unwrap();
        let systems = FileSystems {
            tmpfs: vec![Dev { major: 0, minor: 1 }, Dev { major: 0, minor: 0x17 }],
            hugetlb: vec![Dev { major: 0, minor: 0xf }],
        };
        kind(&vma, &systems)
    }

    #[test]
    fn mappings_are_what_they_are_and_not_what_they_are_called() {
        for (dev, perm, name, expected) in [
            ("00:00", "rw-p", "", Kind::Anon),
            ("00:00", "rw-p", "[heap]", Kind::Heap),
            ("00:00", "rw-p", "[stack]", Kind::Stack),
            ("00:00", "rw-p", "[anon:arena]", Kind::Anon),
            ("00:01", "rw-s", "[anon_shmem:arena]", Kind::Shmem),
            ("00:00", "r-xp", "[vdso]", Kind::Special),
            ("00:01", "rw-s", "/dev/zero (deleted)", Kind::Shmem),
            ("00:06", "rw-p", "/dev/zero", Kind::Anon),
            ("00:01", "rw-s", "/memfd:x (deleted)", Kind::Shmem),
            ("00:01", "rw-s", "/SYSV00000000 (deleted)", Kind::Shmem),
            ("00:17", "rw-s", "/dev/shm/segment", Kind::Shmem),
            ("fe:00", "r--p", "/SYSVx", Kind::File),
            ("00:2a", "r--p", "/memfd:x (deleted)", Kind::File),
            ("00:0f", "rw-p", "/anon_hugepage (deleted)", Kind::Hugetlb),
            ("00:0f", "rw-s", "/memfd:big (deleted)", Kind::Hugetlb),
            ("fe:00", "r--p", "/anon_hugepage (deleted)", Kind::File),
            ("00:0e", "rw-s", "anon_inode:[io_uring]", Kind::Special),
            ("00:10", "rw-s", "/secretmem (deleted)", Kind::Special),
            ("fe:00", "r--p", "/secretmem", Kind::File),
        ] {
            assert_eq!(kind_of(dev, perm, name), expected, "{dev} {perm} {name}");
        }
    }
}
