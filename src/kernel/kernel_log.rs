//! The kernel's log, as it is written.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;

/// The log.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

/// No record is longer.
pub const LONGEST: usize = 8192;

impl KernelLog {
    /// Opens it.
    ///
    /// # Errors
    /// Mostly: not permitted (`kernel.dmesg_restrict`, CAP_SYSLOG).
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        Ok(Self { file })
    }

    /// Passes over what is there, so that what is written from now on is read next.
    ///
    /// # Errors
    /// What the system says.
    pub fn skip(&self) -> io::Result<()> {
        (&self.file).seek(SeekFrom::End(0)).map(drop)
    }

    /// The next record; `None` where there is none yet.
    pub fn next<'b>(&self, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
        loop {
            match (&self.file).read(buffer) {
                Ok(length) => return Some(&buffer[..length]),
                // Records were overwritten before they were read; the next one is that after them.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                Err(_) => return None,
            }
        }
    }
}
