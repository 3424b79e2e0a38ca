//! Who may read a file of the kernel, and what helps those who may not.
//!
//! Measured on Linux 6.18 with single capabilities; the file modes are those of fs/proc.

use super::catalogue;
use crate::error::Error;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Anyone; the addresses in it are zero without CAP_SYS_ADMIN.
    Addresses,
    /// Root: its mode is 0400.
    Root,
    /// Who may read the kernel's log.
    Log,
    /// Anyone who sees the process.
    Process,
    /// Who may look into the process (`PTRACE_MODE_READ_FSCREDS`).
    Mappings,
    /// The same for a file of mode 0400.
    PageMap,
}

impl Access {
    /// What it takes, as a phrase; empty where it takes nothing.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Anyone | Self::Process => "",
            Self::Addresses => "CAP_SYS_ADMIN for the addresses",
            Self::Root => "root, or CAP_DAC_READ_SEARCH (mode 0400)",
            Self::Log => "CAP_SYSLOG where kernel.dmesg_restrict is 1",
            Self::Mappings => "the same user, or CAP_SYS_PTRACE (CAP_PERFMON from Linux 6.15 on)",
            Self::PageMap => {
                "the same user, or CAP_SYS_PTRACE (CAP_PERFMON from Linux 6.15 on) and CAP_DAC_READ_SEARCH"
            }
        }
    }

    /// The one capability that is enough for a file of the machine, where it takes one.
    pub fn capability(self) -> Option<&'static str> {
        (self == Self::Root).then_some("CAP_DAC_READ_SEARCH")
    }

    /// What would help who was denied, as one or two sentences.
    fn help(self) -> Option<&'static str> {
        Some(match self {
            Self::PageMap => {
                "The page map of another user's process needs CAP_SYS_PTRACE (CAP_PERFMON is enough from Linux 6.15 on) and \
                 CAP_DAC_READ_SEARCH; frame numbers need CAP_SYS_ADMIN. Root has all of them; a process with more \
                 capabilities than pmem stays closed all the same."
            }
            Self::Mappings => {
                "The mappings of another user's process, or of one that changed its user, need CAP_SYS_PTRACE (CAP_PERFMON is \
                 enough from Linux 6.15 on). A process with more capabilities than pmem, or one that a security module \
                 protects, stays closed."
            }
            Self::Root => "The file's mode is 0400 and its owner root; CAP_DAC_READ_SEARCH is enough.",
            Self::Process => {
                "Where procfs is mounted with hidepid, the files of other users' processes need the group of its gid option, or \
                 CAP_SYS_PTRACE."
            }
            Self::Anyone | Self::Addresses | Self::Log => return None,
        })
    }
}

/// What would help with something that was denied, as one or two sentences; `None` where nothing is known to.
pub fn what_would_help(error: &Error) -> Option<&'static str> {
    match error {
        Error::Hidden { help, .. } => Some(help),
        Error::Denied { path } => catalogue::find(path)?.access.help(),
        _ => None,
    }
}
