//! What the kernel's bytes mean: one type a file, parsers that are pure and total (any bytes in, a value or
//! [`Error::Malformed`](crate::error::Error::Malformed) out), no I/O.

pub mod capabilities;
pub mod frame_flags;
pub mod mountinfo;
pub mod pagemap;
pub mod smaps;
pub mod stat;
pub mod status;
pub mod vma;
