//! Following the kernel log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;

/// The open kernel log.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

/// The maximum length of a record.
pub const LONGEST: usize = 8192;

impl KernelLog {
    /// Opens the log.
    ///
    /// # Errors
    /// Usually: not permitted (`kernel.dmesg_restrict`, CAP_SYSLOG).
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        Ok(Self { file })
    }

    /// Skips all existing records, so that only new ones are read.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn skip(&self) -> io::Result<()> {
        (&self.file).seek(SeekFrom::End(0)).map(drop)
    }

    /// The next record; `None` if there is none yet.
    pub fn next<'b>(&self, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
        loop {
            match (&self.file).read(buffer) {
                Ok(length) => return Some(&buffer[..length]),
                // Records were overwritten before they were read; continue with the oldest one left.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                Err(_) => return None,
            }
        }
    }
}
