//! Commands over recorded trees, and what is the same on every machine.

mod buddy;
mod completions;
mod decode;
mod demo;
mod doctor;
mod fixtures;
mod generated;
mod hostile_frames;
mod hostile_memory;
mod memory_trees;
mod options;
mod page;
mod pages;
mod phys;
mod recorded;
mod rmap;
mod schema;
mod slab;
mod slab_diff;
mod slab_top;
mod slabtop;
mod translate;
mod vmalloc;
mod r#where;
