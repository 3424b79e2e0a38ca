//! A report in, bytes out on a writer that is given: tables for people, JSON and CSV for programs.

pub mod buddy;
pub mod csv;
pub mod decode;
pub mod demo;
pub mod doctor;
pub mod file;
mod fit;
pub mod frames;
pub mod json;
pub mod lru;
pub mod notes;
pub mod page;
pub mod pages;
pub mod phys;
pub mod record;
pub mod rmap;
pub mod size;
pub mod slab;
pub mod slab_top;
pub mod style;
pub mod table;
pub mod time;
pub mod translate;
pub mod vmalloc;
pub mod r#where;
