//! Stands for `src/lane.rs`, of which the rooms know a number.

pub type LaneId = u32;
