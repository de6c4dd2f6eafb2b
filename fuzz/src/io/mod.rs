//! Stands for `src/io/`, of which there is the sweep, and what it asks.

pub mod engine;
pub mod lane;
#[path = "../../../src/io/scan.rs"]
pub mod scan;
