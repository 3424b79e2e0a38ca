//! What all commands share: which columns are shown, rounds, formats, and the live screen.

pub(super) mod columns;
pub(super) mod sink;
