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

#[cfg(test)]
mod tests {
    use super::super::handshake::{Tls, TlsOptions};
    use crate::error::{Code, ConnectError};
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
        date_time_ymd,
    };
    use std::sync::Arc;
    use tokio::io::duplex;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    const HOST: &str = "redis.example.org";

    /// A certificate for `HOST` that is valid in every year, not signed yet.
    fn params() -> CertificateParams {
        let mut params = CertificateParams::new([HOST.to_string()]).unwrap();
        params.not_before = date_time_ymd(1975, 1, 1);
        params.not_after = date_time_ymd(4000, 1, 1);
        params
    }

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        authority_named("an authority")
    }

    fn authority_named(name: &str) -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// What a server presents: its chain and its key.
    struct Identity {
        chain: Vec<CertificateDer<'static>>,
        pem: String,
        key: KeyPair,
    }

    fn signed_by(authority: &Authority, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key,
        }
    }

    fn self_signed(params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            pem: certificate.pem(),
            key,
        }
    }

    fn trusting(pem: String) -> TlsOptions {
        TlsOptions {
            ca: Some(pem.into_bytes()),
            ..TlsOptions::default()
        }
    }

    /// A handshake with a server that presents `identity`, to which `host` was resolved.
    async fn handshake(
        options: TlsOptions,
        host: &str,
        identity: &Identity,
    ) -> Result<(), ConnectError> {
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), key)
            .unwrap();
        let (ours, theirs) = duplex(4096);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let tls = Tls::new(options).unwrap();
        let (client, _server) = tokio::join!(tls.handshake(host, ours), acceptor.accept(theirs));
        client.map(drop)
    }

    async fn code(options: TlsOptions, host: &str, identity: &Identity) -> Option<Code> {
        handshake(options, host, identity)
            .await
            .err()
            .map(|error| error.code)
    }

    #[tokio::test]
    async fn a_certificate_of_the_given_authority_is_accepted() {
        let authority = authority();
        let identity = signed_by(&authority, params());
        for versions in [(true, true), (true, false), (false, true)] {
            let options = TlsOptions {
                versions,
                ..trusting(authority.pem())
            };
            assert_eq!(code(options, HOST, &identity).await, None);
        }
    }

    #[tokio::test]
    async fn a_certificate_for_another_host_is_refused_and_its_hosts_are_named() {
        let authority = authority();
        let identity = signed_by(&authority, params());
        for host in ["other.example.org", "10.0.0.1"] {
            let result = handshake(trusting(authority.pem()), host, &identity).await;
            let error = result.unwrap_err();
            assert_eq!(error.code, Code::CertificateForAnotherHost);
            assert!(error.reason.contains(&format!("not for {host} but for")));
            assert!(error.reason.contains(HOST), "{}", error.reason);
        }
    }

    #[tokio::test]
    async fn servername_is_checked_instead_of_the_host() {
        let authority = authority();
        let identity = signed_by(&authority, params());
        let named = |name: &str| TlsOptions {
            servername: Some(name.into()),
            ..trusting(authority.pem())
        };
        let another = Some(Code::CertificateForAnotherHost);
        assert_eq!(code(named(HOST), "10.0.0.1", &identity).await, None);
        assert_eq!(code(named("other"), HOST, &identity).await, another);
        assert_eq!(code(named(""), HOST, &identity).await, None);
    }

    #[tokio::test]
    async fn a_certificate_is_refused_outside_its_time() {
        let authority = authority();
        let mut expired = params();
        expired.not_after = date_time_ymd(2000, 1, 1);
        let mut early = params();
        early.not_before = date_time_ymd(3999, 1, 1);
        for (params, expected) in [
            (expired, Code::CertificateExpired),
            (early, Code::CertificateNotYetValid),
        ] {
            let identity = signed_by(&authority, params);
            let options = trusting(authority.pem());
            assert_eq!(code(options, HOST, &identity).await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_self_signed_certificate_is_accepted_only_if_it_is_given_and_valid() {
        let identity = self_signed(params());
        let given = trusting(identity.pem.clone());
        let untrusted = Some(Code::CertificateSelfSigned);
        assert_eq!(code(given, HOST, &identity).await, None);
        let other = trusting(authority().pem());
        assert_eq!(code(other, HOST, &identity).await, untrusted);

        let given = trusting(identity.pem.clone());
        let another = Some(Code::CertificateForAnotherHost);
        assert_eq!(code(given, "other", &identity).await, another);

        let mut expired = params();
        expired.not_after = date_time_ymd(2000, 1, 1);
        let identity = self_signed(expired);
        let given = trusting(identity.pem.clone());
        assert!(code(given, HOST, &identity).await.is_some());
    }

    #[tokio::test]
    async fn a_certificate_of_an_unknown_authority_is_refused() {
        let unknown = authority_named("an unknown authority");
        let mut identity = signed_by(&unknown, params());
        let known = authority().pem();
        assert_eq!(
            code(trusting(known.clone()), HOST, &identity).await,
            Some(Code::CertificateOfUnknownIssuer)
        );
        // Node does not trust a certificate that an authority has signed for being given.
        let given = trusting(identity.pem.clone());
        assert_eq!(
            code(given, HOST, &identity).await,
            Some(Code::CertificateOfUnknownIssuer)
        );
        identity.chain.push(unknown.der().clone());
        assert_eq!(
            code(trusting(known), HOST, &identity).await,
            Some(Code::CertificateOfUnknownRoot)
        );
    }

    #[tokio::test]
    async fn reject_unauthorized_false_accepts_every_certificate() {
        let mut expired = params();
        expired.not_after = date_time_ymd(2000, 1, 1);
        let identity = self_signed(expired);
        let options = TlsOptions {
            reject_unauthorized: false,
            ..TlsOptions::default()
        };
        assert_eq!(code(options, "other", &identity).await, None);
    }

    #[tokio::test]
    async fn a_host_may_be_named_by_address_wildcard_or_subject() {
        let authority = authority();
        let with_names = |names: Vec<SanType>| {
            let mut params = params();
            params.subject_alt_names = names;
            params.distinguished_name.push(DnType::CommonName, HOST);
            signed_by(&authority, params)
        };
        let address = with_names(vec![SanType::IpAddress([10, 0, 0, 1].into())]);
        let wildcard = with_names(vec![SanType::DnsName("*.example.com".try_into().unwrap())]);
        let subject = with_names(vec![]);
        let another = Some(Code::CertificateForAnotherHost);
        for (identity, host, expected) in [
            (&address, "10.0.0.1", None),
            (&address, "10.0.0.2", another.clone()),
            // An address among the alternative names leaves the subject its meaning.
            (&address, HOST, None),
            (&wildcard, "a.example.com", None),
            (&wildcard, "a.b.example.com", another.clone()),
            // A host among them takes it away.
            (&wildcard, HOST, another.clone()),
            (&subject, HOST, None),
            (&subject, "other", another.clone()),
        ] {
            let options = trusting(authority.pem());
            assert_eq!(code(options, host, identity).await, expected, "{host}");
        }
    }
}
