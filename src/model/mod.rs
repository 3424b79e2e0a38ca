//! Parsers for the kernel's files, one type per file. They do no I/O and are total: any bytes give a value or
//! [`Error::Malformed`](crate::error::Error::Malformed).

pub mod buddyinfo;
pub mod capabilities;
pub mod distance;
pub mod flag_filter;
pub mod flag_table;
pub mod frame_flags;
pub mod id_list;
pub mod iomem;
pub mod mapcount_filter;
pub mod meminfo;
pub mod mountinfo;
pub mod node_meminfo;
pub mod numa_maps;
pub mod oom;
pub mod page_table;
pub mod pagemap;
pub mod pagetypeinfo;
pub mod pressure;
pub mod slab_sysfs;
pub mod slabinfo;
pub mod smaps;
pub mod stat;
pub mod status;
pub mod vma;
pub mod vmallocinfo;
pub mod vmstat;
pub mod zoneinfo;
