//! Whether a certificate is for a host.

use std::net::IpAddr;

use tokio_rustls::rustls::pki_types::ServerName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// Whether a certificate is for a name, by its alternative names; if none of these is a host name, by
/// its subject.
pub fn is_named(parsed: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    alternative_names(parsed).any(|found| match (found, name) {
        (GeneralName::DNSName(found), ServerName::DnsName(name)) => {
            matches_host(found, name.as_ref())
        }
        (GeneralName::IPAddress(found), ServerName::IpAddress(ip)) => match IpAddr::from(*ip) {
            IpAddr::V4(ip) => *found == ip.octets(),
            IpAddr::V6(ip) => *found == ip.octets(),
        },
        _ => false,
    }) || is_named_in_subject(parsed, name)
}

/// Whether a certificate is for a host by the common name of its subject. That counts only if no
/// alternative name is a host name.
pub fn is_named_in_subject(parsed: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(host) = name else {
        return false; // Never an address, as for Node.
    };
    let is_host = |found: &GeneralName<'_>| matches!(found, GeneralName::DNSName(_));
    // Alternative names that cannot be read may be host names.
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

pub fn common_names<'c>(parsed: &'c X509Certificate<'_>) -> impl Iterator<Item = &'c str> {
    parsed
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
}

/// Whether a name in a certificate matches a host. `*.example.org` matches names one level below.
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
