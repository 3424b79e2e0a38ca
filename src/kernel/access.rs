//! What it takes to read what the kernel keeps from most.

use crate::error::Error;

/// What would help with something that was denied, as one or two sentences; `None` where nothing is known to.
///
/// Measured on Linux 6.18 with single capabilities; the file modes are those of fs/proc.
pub fn what_would_help(error: &Error) -> Option<&'static str> {
    let path = match error {
        Error::Hidden { help, .. } => return Some(help),
        Error::Denied { path } => path,
        _ => return None,
    };
    Some(match path.file_name()?.to_str()? {
        "pagemap" => {
            "The page map of another user's process needs CAP_SYS_PTRACE (CAP_PERFMON is enough from Linux 6.15 on) and \
             CAP_DAC_READ_SEARCH; frame numbers need CAP_SYS_ADMIN. Root has all of them; a process with more \
             capabilities than pmem stays closed all the same."
        }
        "maps" | "smaps" | "smaps_rollup" | "mountinfo" => {
            "The mappings of another user's process, or of one that changed its user, need CAP_SYS_PTRACE (CAP_PERFMON is \
             enough from Linux 6.15 on). A process with more capabilities than pmem, or one that a security module \
             protects, stays closed."
        }
        "kpageflags" | "kpagecount" | "kpagecgroup" | "slabinfo" | "pagetypeinfo" | "vmallocinfo" => {
            "The file's mode is 0400 and its owner root; CAP_DAC_READ_SEARCH is enough."
        }
        "stat" | "statm" | "status" | "comm" => {
            "Where procfs is mounted with hidepid, the files of other users' processes need the group of its gid option, or \
             CAP_SYS_PTRACE."
        }
        _ => return None,
    })
}
