//! Finding processes that share an address space.

#![allow(unsafe_code)]

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::libc;

use crate::kernel::process::Process;
use crate::kernel::root::{Root, SMALL, text};

/// The file in a recorded process with the PID of the process it shares its address space with.
pub const RECORDED: &str = "same_memory";

/// Which of these processes share the address space of another one of them, and of which one; in a recorded tree, as recorded.
///
/// Address spaces are sorted in the kernel's order, so each process is compared with only a few others: a server may have
/// hundreds of children, all mapping the same frames at the same addresses.
pub fn shared_address_spaces(root: &Root, pids: impl Iterator<Item = u32>) -> HashMap<u32, u32> {
    if root.is_recorded() {
        let owner = |pid: u32| text(root.dir(), &format!("proc/{pid}/{RECORDED}"))?.parse().ok();
        return pids.filter_map(|pid| Some((pid, owner(pid)?))).collect();
    }
    let (mut shared, mut ordered): (HashMap<u32, u32>, Vec<u32>) = (HashMap::new(), Vec::new());
    if !has_own_pids(root) {
        return shared;
    }
    for pid in pids {
        // A process that has exited counts as different from all others: its entries are gone.
        let order = |other: &u32| compare_address_spaces(*other, pid).unwrap_or(Ordering::Less);
        match ordered.binary_search_by(order) {
            Ok(place) => drop(shared.insert(pid, ordered[place])),
            Err(place) => ordered.insert(place, pid),
        }
    }
    shared
}

/// Compares the address spaces of two processes with kcmp(2): equal if they share one (`CLONE_VM` without `CLONE_THREAD`, a
/// child of `vfork`), else in an order that stays fixed while both exist. `None` if the kernel does not answer: built without
/// CONFIG_KCMP, not permitted, or one has exited.
pub fn compare_address_spaces(a: u32, b: u32) -> Option<Ordering> {
    const KCMP_VM: libc::c_int = 1;
    let pid = |pid: u32| libc::pid_t::try_from(pid).ok();
    let (a, b) = (pid(a)?, pid(b)?);
    // SAFETY: kcmp takes only numbers.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) };
    match Errno::result(result).ok()? {
        0 => Some(Ordering::Equal),
        1 => Some(Ordering::Less),
        2 => Some(Ordering::Greater),
        _ => None,
    }
}

/// The inode of the initial PID namespace. (include/uapi/linux/nsfs.h, PID_NS_INIT_INO)
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Whether pmem runs in a PID namespace other than the initial one, where it cannot see the machine's other processes. A procfs
/// mount of another namespace (a container's host) shows that namespace's processes.
pub fn in_pid_namespace(root: &Root) -> bool {
    let inode = |file: File| file.metadata().ok().map(|metadata| metadata.ino());
    let own = root.dir().open("proc/self/ns/pid").ok().and_then(inode);
    has_own_pids(root) && own.is_some_and(|inode| inode != FIRST_PID_NAMESPACE)
}

/// Whether [`compare_address_spaces`] works for the PIDs of this procfs: kcmp takes PIDs of pmem's own namespace.
pub fn sharing_is_told(root: &Root) -> bool {
    let own = std::process::id();
    root.is_recorded() || (has_own_pids(root) && compare_address_spaces(own, own) == Some(Ordering::Equal))
}

/// Whether the PIDs of this procfs are those of pmem's own namespace.
fn has_own_pids(root: &Root) -> bool {
    let own = || Process::open(root, std::process::id()).and_then(|process| process.stat());
    let through_self = || root.dir().read("proc/self/stat", SMALL);
    !root.is_recorded()
        && through_self().is_ok_and(|stat| stat.starts_with(format!("{} ", std::process::id()).as_bytes()))
        && own().is_ok()
}
