//! A report in, bytes out on a writer that is given: tables for people, JSON and CSV for programs.

pub mod csv;
pub mod doctor;
pub mod frames;
pub mod json;
pub mod record;
pub mod size;
pub mod style;
pub mod table;
pub mod time;
