//! The statm of this process, read without allocating memory.

use std::fs::File;
use std::io::Read;

use nix::errno::Errno;

use crate::error::errno;

/// The first three numbers of statm, in pages: total size, resident, and the resident part that is file-backed or shared.
///
/// # Errors
/// Those of reading the file.
pub fn read() -> nix::Result<[u64; 3]> {
    let mut buffer = [0; 256];
    let length = File::open("/proc/self/statm").and_then(|mut file| file.read(&mut buffer)).map_err(errno)?;
    let text = std::str::from_utf8(&buffer[..length]).map_err(|_| Errno::EIO)?;
    let mut numbers = text.split(' ').map_while(|number| number.parse().ok());
    let mut next = || numbers.next().ok_or(Errno::EIO);
    Ok([next()?, next()?, next()?])
}
