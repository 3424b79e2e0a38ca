//! Commands over recorded trees, and what is the same on every machine.

mod doctor;
mod fixtures;
mod generated;
mod options;
