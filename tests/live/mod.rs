//! On the machine the tests run on: every number against something that pmem did not compute.

mod exit_status;
mod hostile_names;
mod known_memory;
mod many_mappings;
mod moving;
mod ordinary_user;
mod owners;
mod range;
mod smaps_columns;
mod whole_machine;
