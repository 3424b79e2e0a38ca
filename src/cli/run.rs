//! The driver: everything a command needs apart from reading its data, defining its rows and presenting them to people.
//! That is: which columns are shown, rounds, formats, notes, what could not be read, the exit status, and the live
//! screen.

pub(super) mod columns;
pub(super) mod command;
pub(super) mod context;
pub(super) mod document;
mod keys;
pub(super) mod parts;
pub(super) mod rounds;
pub(super) mod screen;
pub(super) mod sink;
mod terminal;
pub(super) mod trouble;
