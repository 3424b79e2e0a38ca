//! Commands over recorded trees, and what is the same on every machine.

mod buddy;
mod decode;
mod doctor;
mod fixtures;
mod generated;
mod hostile_frames;
mod options;
mod page;
mod pages;
mod phys;
mod recorded;
mod rmap;
mod translate;
