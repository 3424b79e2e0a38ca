//! The counts of this very process, read without taking memory.

use std::fs::File;
use std::io::Read;

use nix::errno::Errno;

use crate::error::errno;

/// The first three numbers of statm, in pages: the size of all mappings, what is resident, and of that files and shared
/// memory.
///
/// # Errors
/// What reading the file says.
pub fn read() -> nix::Result<[u64; 3]> {
    let mut buffer = [0; 256];
    let length = File::open("/proc/self/statm").and_then(|mut file| file.read(&mut buffer)).map_err(errno)?;
    let text = std::str::from_utf8(&buffer[..length]).map_err(|_| Errno::EIO)?;
    let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
    let mut next = || numbers.next().ok_or(Errno::EIO);
    Ok([next()?, next()?, next()?])
}
