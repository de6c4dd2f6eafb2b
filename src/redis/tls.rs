//! TLS to a server: Node's options as one configuration, made once and used by every connection.
//!
//! Whom to trust is decided as Node decides it, so that certificates which an app's other clients
//! accept are accepted here: see [`Judge`].

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme, version,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::error::ConnectError;

/// Node's `tls.connect` options that count here; texts are PEM.
pub struct TlsOptions {
    /// Whom to trust, instead of the system's and Mozilla's authorities.
    pub ca: Option<Vec<u8>>,
    /// The client's own certificate chain and its key.
    pub cert: Option<Vec<u8>>,
    pub key: Option<Vec<u8>>,
    /// The name to ask for and to check, instead of the host. Empty: no name is asked for.
    pub servername: Option<String>,
    pub reject_unauthorized: bool,
    /// Whether TLS 1.2 and TLS 1.3 may be spoken.
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

/// How to speak TLS; clones share one configuration, and the sessions it can resume.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    servername: Option<String>,
}

impl Tls {
    /// Reads certificates and key. The error names the option that is wrong.
    pub fn new(options: TlsOptions) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match options.versions {
            (true, true) => &[&version::TLS13, &version::TLS12],
            (true, false) => &[&version::TLS12],
            (false, true) => &[&version::TLS13],
            (false, false) => return Err("minVersion and maxVersion leave no version".into()),
        };
        let verifier: Arc<dyn ServerCertVerifier> = if options.reject_unauthorized {
            Arc::new(Judge::new(&provider, options.ca.as_deref())?)
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

    /// Speaks TLS over a fresh connection to `host`.
    pub async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let name = self.servername.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_string()).map_err(|_| ConnectError {
            code: "ERR_TLS_CERT_ALTNAME_INVALID".into(),
            reason: format!("{name:?} is no name a certificate can have: give tls.servername")
                .into(),
        })?;
        TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
            .map_err(|error| trouble(&error).unwrap_or_else(|| error.into()))
    }
}

fn certificates(option: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{option} holds no certificate in PEM")),
        Err(error) => Err(format!("{option} cannot be read: {error}")),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    if String::from_utf8_lossy(pem).contains("ENCRYPTED") {
        return Err(
            "key is encrypted, which is not supported: give it decrypted (openssl pkey -in …)"
                .into(),
        );
    }
    // Not the reason: it could quote the key.
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "key holds no private key in PEM".into())
}

/// The authorities that are trusted where an app names none: the system's (where there are none,
/// as in a slim container, Mozilla's, which Node has built in) and those of NODE_EXTRA_CA_CERTS.
/// Read once a process, as that takes milliseconds.
fn default_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            // What cannot be read is passed over, as Node does, with a warning of its own.
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

/// Decides whether a server is whom it says to be: as webpki does, and where that is stricter than
/// Node, as Node does. Three kinds of certificate that are common beside private Redis servers would
/// be refused otherwise: one that is its own authority and given as `ca`, one with its name in the
/// subject alone, and one of X.509 version 1 (`openssl x509 -req` without extensions).
#[derive(Debug)]
struct Judge {
    webpki: Arc<WebPkiServerVerifier>,
    /// What the app has given as `ca`.
    given: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    fn new(provider: &Arc<CryptoProvider>, ca: Option<&[u8]>) -> Result<Judge, String> {
        let mut given = Vec::new();
        let roots = match ca {
            None => default_roots(),
            Some(pem) => {
                given = certificates("ca", pem)?;
                let mut roots = RootCertStore::empty();
                for certificate in &given {
                    roots
                        .add(certificate.clone())
                        .map_err(|error| format!("ca cannot be used: {error}"))?;
                }
                Arc::new(roots)
            }
        };
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| format!("ca cannot be used: {error}"))?;
        Ok(Judge {
            webpki,
            given,
            provider: provider.clone(),
        })
    }

    /// Whether the app has given just this certificate, and it is its own authority: Node does not
    /// trust one that is another's for being given.
    fn is_given(&self, leaf: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> bool {
        signs_itself(parsed) && self.given.iter().any(|given| given == leaf)
    }

    /// Whether an authority that the app has given has signed a certificate of version 1, which
    /// webpki does not read, and both are valid today.
    fn is_signed_by_given(&self, leaf: &X509Certificate<'_>) -> bool {
        let is_readable = leaf.version() != X509Version::V1;
        !is_readable
            && leaf.validity().is_valid()
            && self.given.iter().any(|given| {
                X509Certificate::from_der(given).is_ok_and(|(_, ca)| {
                    (ca.is_ca() || ca.version() == X509Version::V1)
                        && ca.validity().is_valid()
                        && ca.subject().as_raw() == leaf.issuer().as_raw()
                        && leaf.verify_signature(Some(ca.public_key())).is_ok()
                })
            })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.webpki.verify_server_cert(leaf, chain, name, ocsp, now);
        let Err(rustls::Error::InvalidCertificate(error)) = judged else {
            return judged;
        };
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
            return Err(Refusal::of(&error, None, chain, name));
        };
        let is_named = match &error {
            // webpki looks at the name last: all else is well.
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                is_named_in_subject(&parsed, name)
            }
            _ if self.is_given(leaf, &parsed) && parsed.validity().is_valid() => {
                is_named(&parsed, name)
            }
            CertificateError::Other(_) if self.is_signed_by_given(&parsed) => {
                is_named(&parsed, name)
            }
            _ => return Err(Refusal::of(&error, Some(&parsed), chain, name)),
        };
        if is_named {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Refusal::wrong_name(&parsed, name))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = self.webpki.verify_tls12_signature(message, leaf, signed);
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
            return verified;
        };
        if verified.is_ok() || parsed.version() != X509Version::V1 {
            return verified;
        }
        // As below. A key of another kind than the signature's does not verify it.
        let key = &parsed.public_key().subject_public_key.data;
        let known = &self.provider.signature_verification_algorithms.mapping;
        let is_signed = known
            .iter()
            .filter(|(scheme, _)| *scheme == signed.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| {
                algorithm
                    .verify_signature(key, message, signed.signature())
                    .is_ok()
            });
        if is_signed {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            verified
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = self.webpki.verify_tls13_signature(message, leaf, signed);
        match (&verified, X509Certificate::from_der(leaf)) {
            // webpki cannot read version 1, but its key.
            (Err(_), Ok((_, parsed))) if parsed.version() == X509Version::V1 => {
                verify_tls13_signature_with_raw_key(
                    message,
                    &SubjectPublicKeyInfoDer::from(parsed.public_key().raw),
                    signed,
                    &self.provider.signature_verification_algorithms,
                )
            }
            _ => verified,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether a certificate is for a name, by its alternative names, or where none of these is a host's,
/// its subject.
fn is_named(parsed: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    alternative_names(parsed).any(|found| match (found, name) {
        (GeneralName::DNSName(found), ServerName::DnsName(name)) => {
            matches_host(found, name.as_ref())
        }
        (GeneralName::IPAddress(found), ServerName::IpAddress(ip)) => {
            match std::net::IpAddr::from(*ip) {
                std::net::IpAddr::V4(ip) => *found == ip.octets(),
                std::net::IpAddr::V6(ip) => *found == ip.octets(),
            }
        }
        _ => false,
    }) || is_named_in_subject(parsed, name)
}

/// Whether a certificate without an alternative name of a host is for a host by the common name of
/// its subject.
fn is_named_in_subject(parsed: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(host) = name else {
        return false; // Never an address, as in Node.
    };
    let is_host = |found: &GeneralName<'_>| matches!(found, GeneralName::DNSName(_));
    // Alternative names that cannot be read may be hosts'.
    let is_readable = parsed.subject_alternative_name().is_ok();
    is_readable
        && !alternative_names(parsed).any(is_host)
        && common_names(parsed).any(|found| matches_host(found, host.as_ref()))
}

fn alternative_names<'c>(
    parsed: &'c X509Certificate<'_>,
) -> impl Iterator<Item = &'c GeneralName<'c>> {
    let names = parsed.subject_alternative_name().ok().flatten();
    names
        .into_iter()
        .flat_map(|names| names.value.general_names.iter())
}

fn common_names<'c>(parsed: &'c X509Certificate<'_>) -> impl Iterator<Item = &'c str> {
    parsed
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
}

/// Whether a certificate's name is a host's; `*.example.org` is any name one step below.
fn matches_host(found: &str, host: &str) -> bool {
    if found.eq_ignore_ascii_case(host) {
        return true;
    }
    match (found.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => {
            domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

fn signs_itself(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Accepts every certificate (`rejectUnauthorized: false`); the connection is encrypted, but to whom
/// is not known.
#[derive(Debug)]
struct AcceptAll(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a server is not trusted, under the code that Node has for it.
#[derive(Debug)]
struct Refusal {
    code: &'static str,
    reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    fn error(code: &'static str, reason: String) -> rustls::Error {
        let refusal = Arc::new(Refusal { code, reason });
        CertificateError::Other(rustls::OtherError(refusal)).into()
    }

    fn of(
        error: &CertificateError,
        leaf: Option<&X509Certificate<'_>>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> rustls::Error {
        match (error, leaf) {
            (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
                Refusal::error(
                    "CERT_HAS_EXPIRED",
                    format!("the certificate of {} has expired", name.to_str()),
                )
            }
            (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
                Refusal::error(
                    "CERT_NOT_YET_VALID",
                    format!("the certificate of {} is not valid yet", name.to_str()),
                )
            }
            (_, Some(leaf)) if signs_itself(leaf) => Refusal::error(
                "DEPTH_ZERO_SELF_SIGNED_CERT",
                "the server's certificate is self-signed and not trusted (give it as tls.ca)"
                    .into(),
            ),
            (CertificateError::UnknownIssuer | CertificateError::Other(_), Some(_)) => {
                let has_root = chain.iter().any(|certificate| {
                    X509Certificate::from_der(certificate)
                        .is_ok_and(|(_, found)| signs_itself(&found))
                });
                let code = if has_root {
                    "SELF_SIGNED_CERT_IN_CHAIN"
                } else {
                    "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
                };
                Refusal::error(
                    code,
                    "the server's certificate is of an authority that is not trusted (give the \
                     authority's certificate as tls.ca)"
                        .into(),
                )
            }
            _ => Refusal::error(
                "ERR_TLS_CERT_INVALID",
                format!("the server's certificate is not valid: {error}"),
            ),
        }
    }

    fn wrong_name(leaf: &X509Certificate<'_>, name: &ServerName<'_>) -> rustls::Error {
        let names = match leaf.subject_alternative_name() {
            Ok(Some(names)) => names
                .value
                .general_names
                .iter()
                .map(ToString::to_string)
                .collect(),
            _ => common_names(leaf).map(str::to_string).collect::<Vec<_>>(),
        };
        Refusal::error(
            "ERR_TLS_CERT_ALTNAME_INVALID",
            format!(
                "the server's certificate is not for {} but for {} (connect by that name, or give \
                 it as tls.servername)",
                name.to_str(),
                if names.is_empty() {
                    "no name at all".to_string()
                } else {
                    names.join(", ")
                }
            ),
        )
    }
}

/// What is wrong where a server answers, but not in TLS.
pub fn speaks_no_tls() -> ConnectError {
    ConnectError {
        code: "ERR_SSL_WRONG_VERSION_NUMBER".into(),
        reason: "what answers there does not speak TLS (is it the port for TLS? if not, write \
                 redis:// and no tls)"
            .into(),
    }
}

/// What an I/O error says of TLS, where it does: Node's code for it and the reason.
pub fn trouble(error: &io::Error) -> Option<ConnectError> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let (code, reason) = match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<Refusal>() {
                Some(refusal) => (refusal.code, refusal.reason.clone()),
                None => ("ERR_TLS_CERT_INVALID", error.to_string()),
            }
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
        ) => (
            "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
            "the server wants a certificate of the client (give tls.cert and tls.key)".into(),
        ),
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError,
        ) => (
            "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
            format!("the server does not accept the client's certificate (tls.cert): {error}"),
        ),
        rustls::Error::InvalidMessage(_) => return Some(speaks_no_tls()),
        _ => ("EPROTO", format!("TLS: {error}")),
    };
    Some(ConnectError {
        code: code.into(),
        reason: reason.into(),
    })
}
