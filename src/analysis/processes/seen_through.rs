//! Through which of its threads a process's address space is to be seen.

use crate::analysis::frames::NoAddressSpace;
use crate::analysis::frames::count::no_address_space;
use crate::error::Result;
use crate::kernel::process::Process;

/// `None` where it is the process itself; where its first thread has ended and others run, one of these; or why there is no
/// address space.
///
/// # Errors
/// Those of reading its `stat`.
pub fn seen_through(process: &Process) -> Result<std::result::Result<Option<Process>, NoAddressSpace>> {
    Ok(match no_address_space(&process.stat()?) {
        None => Ok(None),
        Some(NoAddressSpace::Zombie) => process.running_thread().map(Some).ok_or(NoAddressSpace::Zombie),
        Some(why) => Err(why),
    })
}
