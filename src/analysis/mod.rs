//! The analysis: computes what reports say from what was read. Nothing here prints.

pub mod comparison;
pub mod decode;
pub mod doctor;
pub mod file;
pub mod frames;
pub mod gap;
pub mod note;
pub mod numa;
pub mod pages;
pub mod physical;
pub mod processes;
pub mod rmap;
pub mod series;
pub mod slab;
pub mod translate;
pub mod vmalloc;
pub mod r#where;
