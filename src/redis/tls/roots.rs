//! Certificates in PEM, and the authorities that are trusted by default.

use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Reads the certificates of the option `option`.
pub fn certificates(option: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{option} holds no certificate in PEM")),
        Err(error) => Err(format!("{option} cannot be read: {error}")),
    }
}

/// The authorities that are trusted if the app gives none: the system's, or Mozilla's if the system has
/// none, as in a slim container; and those of NODE_EXTRA_CA_CERTS. They are read once a process,
/// because that takes milliseconds.
pub fn default_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            // Certificates that cannot be read are skipped. Node warns of them.
            let extra = std::env::var_os("NODE_EXTRA_CA_CERTS").and_then(|p| std::fs::read(p).ok());
            if let Some(extra) = extra {
                roots.add_parsable_certificates(
                    CertificateDer::pem_slice_iter(&extra).filter_map(Result::ok),
                );
            }
            Arc::new(roots)
        })
        .clone()
}
