//! Who may read a kernel file, and what would give others access.
//!
//! Tested on Linux 6.18 with single capabilities; file modes are those of fs/proc.

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Anyone; without CAP_SYS_ADMIN the addresses in it are zero.
    Addresses,
    /// Root (mode 0400).
    Root,
    /// Anyone who may read the kernel log.
    Log,
    /// Anyone who can see the process.
    Process,
    /// Anyone with ptrace read access to the process (`PTRACE_MODE_READ_FSCREDS`).
    Mappings,
    /// Likewise, for a file with mode 0400.
    PageMap,
}

impl Access {
    /// The required privilege, as a phrase; empty if none.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Anyone | Self::Process => "",
            Self::Addresses => "CAP_SYS_ADMIN for the addresses",
            Self::Root => "root, or CAP_DAC_READ_SEARCH (mode 0400)",
            Self::Log => "CAP_SYSLOG if kernel.dmesg_restrict is 1",
            Self::Mappings => "the same user, or CAP_SYS_PTRACE (CAP_PERFMON since Linux 6.15)",
            Self::PageMap => "the same user, or CAP_SYS_PTRACE (CAP_PERFMON since Linux 6.15) and CAP_DAC_READ_SEARCH",
        }
    }

    /// The single capability that gives access to a system-wide file, if one is required.
    pub fn capability(self) -> Option<&'static str> {
        (self == Self::Root).then_some("CAP_DAC_READ_SEARCH")
    }

    /// Advice after a denial, in one or two sentences.
    pub fn help(self) -> Option<&'static str> {
        Some(match self {
            Self::PageMap => {
                "Reading pagemap of another user's process needs CAP_SYS_PTRACE (CAP_PERFMON is enough since Linux \
                 6.15) and CAP_DAC_READ_SEARCH; frame numbers need CAP_SYS_ADMIN. Root has all of these. A process \
                 with more capabilities than pmem remains inaccessible."
            }
            Self::Mappings => {
                "Reading the mappings of another user's process, or of one that changed its user ID, needs \
                 CAP_SYS_PTRACE (CAP_PERFMON is enough since Linux 6.15). A process with more capabilities than pmem, \
                 or one protected by a security module, remains inaccessible."
            }
            Self::Root => "The file has mode 0400 and belongs to root; CAP_DAC_READ_SEARCH is enough.",
            Self::Process => {
                "If procfs is mounted with hidepid, the files of other users' processes need membership in the group \
                 of its gid option, or CAP_SYS_PTRACE."
            }
            Self::Anyone | Self::Addresses | Self::Log => return None,
        })
    }
}
