//! Presentation: a report in, bytes out to a given writer; tables for people, JSON and CSV for programs.

pub(crate) mod buddy;
pub(crate) mod cell;
pub(crate) mod csv;
pub(crate) mod decode;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod field;
pub(crate) mod file;
mod fit;
pub(crate) mod frames;
pub(crate) mod json;
pub(crate) mod lru;
pub(crate) mod notes;
pub(crate) mod numa;
pub(crate) mod page;
pub(crate) mod pages;
pub(crate) mod phys;
pub(crate) mod rmap;
pub(crate) mod screen;
pub(crate) mod size;
pub(crate) mod slab;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod translate;
pub(crate) mod vmalloc;
pub(crate) mod r#where;
