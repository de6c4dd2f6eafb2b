//! The I/O thread: carries calls to Redis and their answers back.

pub mod engine;
pub mod lane;
pub mod routing;
pub mod scan;
pub mod supervisor;
