//! The options of `new RedisStore(options)`, checked once.

pub mod config;
mod login_options;
pub mod names;
mod reader;
pub mod seal_options;
mod server_list;
pub mod settings;
mod tls_options;
mod topology_options;
