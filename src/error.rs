//! Errors below the command line, each with the path at which it occurred.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// The result of everything below the command line.
pub type Result<T> = std::result::Result<T, Error>;

/// The errno of a failed call; EIO if the error did not come from the system.
pub fn errno(error: io::Error) -> Errno {
    Errno::try_from(error).unwrap_or(Errno::EIO)
}

/// Why something could not be read or parsed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused (EACCES, EPERM). What would help depends on the file: see `kernel::access`.
    #[error("{}: permission denied", path.display())]
    Denied {
        /// The file that was refused.
        path: PathBuf,
    },
    /// Something empty is mounted over the file: container runtimes do this to files of the whole machine.
    #[error("{}: masked: /dev/null or an empty file is mounted over it", path.display())]
    Masked {
        /// The file that is hidden.
        path: PathBuf,
    },
    /// The kernel answers, but leaves out what was requested.
    #[error("{what}")]
    Hidden {
        /// What is left out, as a sentence.
        what: &'static str,
        /// What would help, as a sentence.
        help: &'static str,
    },
    /// The process, or the address space behind an open file, is gone (ESRCH).
    #[error("{}: the process no longer exists", path.display())]
    Gone {
        /// The file that was being read.
        path: PathBuf,
    },
    /// There is no such file (ENOENT).
    #[error("{}: no such file", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// This kernel, or this recorded tree, does not have what was requested.
    #[error("{what}")]
    Unsupported {
        /// What is missing, as a sentence.
        what: String,
    },
    /// A file does not have its documented form.
    #[error("{}:{line}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file is larger than anything the kernel writes there: refused before memory is allocated for it.
    #[error("{}: larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// Any other system error.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

impl Error {
    /// The error for a failed system call on `path`.
    pub fn from_io(cause: io::Error, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        match cause.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EACCES | Errno::EPERM) => Self::Denied { path },
            Some(Errno::ESRCH) => Self::Gone { path },
            Some(Errno::ENOENT) => Self::Missing { path },
            _ => Self::Io { path, cause },
        }
    }

    /// Likewise, for a call made through `nix`.
    pub fn from_errno(errno: Errno, path: impl Into<PathBuf>) -> Self {
        Self::from_io(errno.into(), path)
    }

    /// The error for a line that does not have its documented form.
    pub fn malformed(path: &Path, line: usize, what: &'static str) -> Self {
        Self::Malformed { path: path.to_owned(), line, what }
    }

    /// The error for frame numbers that page maps do not show to this user.
    pub fn frames_hidden() -> Self {
        Self::Hidden {
            what: "frame numbers are hidden from this user",
            help: "pagemap shows them only with CAP_SYS_ADMIN in the initial user namespace; root has it. Without it, \
                   `pmem frames` and `pmem pages` still count and list the pages of your own processes.",
        }
    }

    /// The error for a file that this kernel was built without.
    pub fn not_built_in(path: &Path) -> Self {
        Self::Unsupported {
            what: format!("{}: this kernel was built without it (CONFIG_PROC_PAGE_MONITOR)", path.display()),
        }
    }

    /// Whether the process is gone, however the kernel reports it: for a process that has been reaped, a look-up by
    /// path fails with ENOENT, and one through an open descriptor with ESRCH.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Missing { .. })
    }

    /// The path the error is about, if there is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Denied { path }
            | Self::Masked { path }
            | Self::Gone { path }
            | Self::Missing { path }
            | Self::Malformed { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Io { path, .. } => Some(path),
            Self::Hidden { .. } | Self::Unsupported { .. } => None,
        }
    }
}
