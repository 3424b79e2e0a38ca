//! The questions: what the kernel's files say goes in, a report comes out. No printing.

pub mod by_words;
pub mod change;
pub mod count;
pub mod doctor;
pub mod frames;
pub mod join;
pub mod kind;
pub mod look;
pub mod note;
pub mod owners;
pub mod select;
pub mod statm;
mod taker;
