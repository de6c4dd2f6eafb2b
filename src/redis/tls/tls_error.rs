//! Why there is no TLS, under the codes that Node has.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::host_name::common_names;
use crate::error::{Code, ConnectError};

/// Why a server is not trusted. rustls carries it from the verifier to [`explain`].
#[derive(Debug)]
struct Untrusted(ConnectError);

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for Untrusted {}

impl Untrusted {
    fn error(code: Code, reason: impl Into<Arc<str>>) -> rustls::Error {
        let error = Arc::new(Untrusted(ConnectError::new(code, reason)));
        CertificateError::Other(rustls::OtherError(error)).into()
    }
}

/// The error for a certificate that is refused. `leaf` is `None` if it cannot be read.
pub fn untrusted(
    error: &CertificateError,
    leaf: Option<&X509Certificate<'_>>,
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> rustls::Error {
    match (error, leaf) {
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
            Untrusted::error(
                Code::CertificateExpired,
                format!("the certificate of {} has expired", name.to_str()),
            )
        }
        (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
            Untrusted::error(
                Code::CertificateNotYetValid,
                format!("the certificate of {} is not valid yet", name.to_str()),
            )
        }
        (_, Some(leaf)) if is_self_signed(leaf) => Untrusted::error(
            Code::CertificateSelfSigned,
            "the server's certificate is self-signed and not trusted (give it as tls.ca)",
        ),
        (CertificateError::UnknownIssuer | CertificateError::Other(_), Some(_)) => {
            let has_root = chain.iter().any(|certificate| {
                X509Certificate::from_der(certificate)
                    .is_ok_and(|(_, found)| is_self_signed(&found))
            });
            let code = if has_root {
                Code::CertificateOfUnknownRoot
            } else {
                Code::CertificateOfUnknownIssuer
            };
            Untrusted::error(
                code,
                "the server's certificate is of an authority that is not trusted (give the \
                 authority's certificate as tls.ca)",
            )
        }
        _ => Untrusted::error(
            Code::CertificateInvalid,
            format!("the server's certificate is not valid: {error}"),
        ),
    }
}

/// The error for a certificate that is trusted, but for other hosts.
pub fn wrong_host(leaf: &X509Certificate<'_>, name: &ServerName<'_>) -> rustls::Error {
    let names = match leaf.subject_alternative_name() {
        Ok(Some(names)) => names
            .value
            .general_names
            .iter()
            .map(ToString::to_string)
            .collect(),
        _ => common_names(leaf).map(str::to_string).collect::<Vec<_>>(),
    };
    let names = if names.is_empty() {
        "no name at all".to_string()
    } else {
        names.join(", ")
    };
    Untrusted::error(
        Code::CertificateForAnotherHost,
        format!(
            "the server's certificate is not for {} but for {names} (connect by that name, or give \
             it as tls.servername)",
            name.to_str()
        ),
    )
}

pub fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// The error for a server that answers, but not in TLS.
pub fn not_tls() -> ConnectError {
    ConnectError::new(
        Code::NotTls,
        "what answers there does not speak TLS (is it the port for TLS? if not, write redis:// and \
         no tls)",
    )
}

/// Returns the TLS error under an I/O error; `None` if there is none.
pub fn explain(error: &io::Error) -> Option<ConnectError> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let (code, reason) = match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<Untrusted>() {
                Some(untrusted) => return Some(untrusted.0.clone()),
                None => (Code::CertificateInvalid, error.to_string()),
            }
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => (
            Code::ClientCertificateRequired,
            "the server wants a certificate of the client (give tls.cert and tls.key)".into(),
        ),
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError,
        ) => (
            Code::ClientCertificateRefused,
            format!("the server does not accept the client's certificate (tls.cert): {error}"),
        ),
        rustls::Error::InvalidMessage(_) => return Some(not_tls()),
        _ => (Code::Protocol, format!("TLS: {error}")),
    };
    Some(ConnectError::new(code, reason))
}
