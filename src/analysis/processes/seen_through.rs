//! Through which of its threads a process's address space is seen, in the shape that `pages` still uses.

use crate::analysis::processes::address_space::{self, NoAddressSpace, SeenThrough};
use crate::error::Result;
use crate::kernel::process::Process;

/// `None` where it is the process itself; where its first thread has ended and others run, one of these; or why there is no
/// address space.
///
/// # Errors
/// Those of reading its `stat`.
pub fn seen_through(process: &Process) -> Result<std::result::Result<Option<Process>, NoAddressSpace>> {
    Ok(match address_space::seen_through(process, &process.stat()?) {
        SeenThrough::Itself => Ok(None),
        SeenThrough::Thread(thread) => Ok(Some(thread)),
        SeenThrough::Nothing(why) => Err(why),
    })
}
