//! Physical memory: page frames one by one, by class, and in the free lists of zones.

pub mod buddy;
pub mod class;
pub mod huge_blocks;
pub mod lru;
pub mod page;
pub mod phys;
pub mod reconcile;
pub mod tally;
