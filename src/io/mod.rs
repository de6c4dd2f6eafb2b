//! The I/O thread: carries a store's calls to Redis and their answers back.
//!
//! A call is submitted to [`shared`], which the JS thread holds as a [`handle`]. The [`supervisor`]
//! gives it to one of the [`servers`], whose [`connection`] sends it in a [`sent_batch`]; its answer goes
//! back as an [`event`] of the [`completions`]. Calls go a shorter way while few wait: they are [`direct`].

mod busy_poll;
pub mod call;
mod call_queue;
mod cluster_servers;
pub mod completions;
mod connection;
pub mod direct;
pub mod event;
pub mod handle;
pub mod limits;
mod lock;
mod one_server;
mod pipeline;
mod refusal;
mod retry;
mod runtime;
pub mod scan;
pub mod scan_request;
mod sent_batch;
mod servers;
pub mod shared;
mod slot_map_refresh;
mod slot_routes;
mod supervisor;
pub mod traffic;
mod turn;
mod turns;

#[cfg(test)]
mod cluster_servers_test;
#[cfg(test)]
mod direct_test;
#[cfg(test)]
mod one_server_test;
#[cfg(test)]
mod test_store;
#[cfg(test)]
mod turns_test;
