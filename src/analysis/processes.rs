//! Processes and their address spaces.

pub mod address_space;
pub mod kind;
pub mod visit;
