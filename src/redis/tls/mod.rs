//! TLS to a server, with Node's options, trusting the servers that Node trusts: then certificates that
//! an app's other clients accept are accepted here.
//!
//! ```text
//! handshake    the options as one configuration, and the handshake
//! roots        certificates in PEM, and the authorities that are trusted by default
//! verifier     decides whether a server is who it claims to be
//! host_name    whether a certificate is for a host
//! tls_error    why there is no TLS, under Node's codes
//! ```

mod handshake;
mod host_name;
mod roots;
mod tls_error;
mod verifier;

pub use handshake::{Tls, TlsOptions};
pub use tls_error::{explain, not_tls};
