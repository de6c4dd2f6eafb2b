//! Stands for `src/io/lane.rs`, of which the rooms know a number.

pub type LaneId = u32;
