//! On the machine the tests run on: every number against something that pmem did not compute.

mod buddy;
mod classes;
mod exit_status;
mod file;
mod hostile_names;
mod known_memory;
mod lru;
mod many_mappings;
mod mapcounts;
mod moving;
mod ordinary_user;
mod owners;
mod phys;
mod range;
mod rmap;
mod slab;
mod slab_diff;
mod slab_top;
mod smaps_columns;
mod translate;
mod vmalloc;
mod r#where;
mod whole_machine;
