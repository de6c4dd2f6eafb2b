//! Decides whether a server is who it claims to be.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::host_name::{is_named, is_named_in_subject};
use super::roots::{certificates, default_roots};
use super::tls_error::{is_self_signed, untrusted, wrong_host};

/// Decides whether a server is who it claims to be: as webpki does, and if that is stricter than Node,
/// as Node does. Webpki refuses three kinds of certificate that private Redis servers often have: a
/// self-signed one that is given as `ca`, one with its name only in the subject, and one of X.509
/// version 1 (`openssl x509 -req` without extensions).
#[derive(Debug)]
pub struct CertificateVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// The certificates that the app has given as `ca`.
    given: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl CertificateVerifier {
    pub fn new(
        provider: &Arc<CryptoProvider>,
        ca: Option<&[u8]>,
    ) -> Result<CertificateVerifier, String> {
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
        Ok(CertificateVerifier {
            webpki,
            given,
            provider: provider.clone(),
        })
    }

    /// Whether the app has given this certificate and it is self-signed. Node does not trust one that
    /// an authority has signed just because the app has given it.
    fn is_given(&self, leaf: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> bool {
        is_self_signed(parsed) && self.given.iter().any(|given| given == leaf)
    }

    /// Whether this is a certificate of version 1, which webpki cannot read, an authority that the app
    /// has given has signed it, and both are valid today.
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

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self.webpki.verify_server_cert(leaf, chain, name, ocsp, now);
        let Err(rustls::Error::InvalidCertificate(error)) = result else {
            return result;
        };
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
            return Err(untrusted(&error, None, chain, name));
        };
        let is_named = match &error {
            // Webpki checks the name last, so everything else is valid.
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                is_named_in_subject(&parsed, name)
            }
            _ if self.is_given(leaf, &parsed) && parsed.validity().is_valid() => {
                is_named(&parsed, name)
            }
            CertificateError::Other(_) if self.is_signed_by_given(&parsed) => {
                is_named(&parsed, name)
            }
            _ => return Err(untrusted(&error, Some(&parsed), chain, name)),
        };
        if is_named {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(wrong_host(&parsed, name))
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
        // Webpki cannot read version 1, so this checks the signature with the bare key, as below. A key
        // of another kind than the signature does not verify it.
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

/// Accepts every certificate (`rejectUnauthorized: false`): the connection is encrypted, but the server
/// may be anyone.
#[derive(Debug)]
pub struct AcceptAll(pub Arc<CryptoProvider>);

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
