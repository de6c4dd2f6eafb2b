//! The options as one configuration, and the handshake.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, version};

use super::roots::certificates;
use super::tls_error::explain;
use super::verifier::{AcceptAll, CertificateVerifier};
use crate::error::{Code, ConnectError};

/// The options of Node's `tls.connect` that matter here. Certificates and keys are PEM.
pub struct TlsOptions {
    /// The authorities to trust, instead of the system's and Mozilla's.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate chain.
    pub cert: Option<Vec<u8>>,
    /// The client's key.
    pub key: Option<Vec<u8>>,
    /// The name to send (SNI) and to check, instead of the host. If it is empty, no name is sent and
    /// the host is checked.
    pub servername: Option<String>,
    pub reject_unauthorized: bool,
    /// Whether to allow TLS 1.2, and TLS 1.3.
    pub versions: (bool, bool),
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions {
            ca: None,
            cert: None,
            key: None,
            servername: None,
            reject_unauthorized: true,
            versions: (true, true),
        }
    }
}

/// A configuration for TLS. Clones share it, with the sessions that can be resumed.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    servername: Option<String>,
}

impl Tls {
    /// Reads certificates and key. The error names the invalid option.
    pub fn new(options: TlsOptions) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match options.versions {
            (true, true) => &[&version::TLS13, &version::TLS12],
            (true, false) => &[&version::TLS12],
            (false, true) => &[&version::TLS13],
            (false, false) => return Err("minVersion and maxVersion leave no version".into()),
        };
        let verifier: Arc<dyn ServerCertVerifier> = if options.reject_unauthorized {
            Arc::new(CertificateVerifier::new(&provider, options.ca.as_deref())?)
        } else {
            Arc::new(AcceptAll(provider.clone()))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (options.cert, options.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("cert", &cert)?, private_key(&key)?)
                .map_err(|error| format!("cert and key do not fit: {error}"))?,
            (Some(_), None) => return Err("cert is given without key".into()),
            (None, Some(_)) => return Err("key is given without cert".into()),
        };
        config.enable_sni = options.servername.as_deref() != Some("");
        Ok(Tls {
            config: Arc::new(config),
            servername: options.servername.filter(|name| !name.is_empty()),
        })
    }

    /// Starts TLS over a fresh connection to `host`.
    pub async fn handshake<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.servername.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_string()).map_err(|_| {
            let reason = format!("a certificate cannot be for {name:?}: give tls.servername");
            ConnectError::new(Code::CertificateForAnotherHost, reason)
        })?;
        TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
            .map_err(|error| explain(&error).unwrap_or_else(|| error.into()))
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if String::from_utf8_lossy(pem).contains("ENCRYPTED") {
        return Err(
            "key is encrypted, which is not supported: give it decrypted (openssl pkey -in …)"
                .into(),
        );
    }
    // Without the reason, which could quote the key.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "key holds no private key in PEM".into())
}
