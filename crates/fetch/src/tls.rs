//! TLS towards origins: trusted roots, and the names of failed handshakes.

use std::io;
use std::sync::Arc;

use fetchway_policy::{ErrorName, FetchError};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Returns the TLS configuration: it trusts the public roots and `extra`, and offers HTTP/2 before
/// HTTP/1.1.
pub(crate) fn client_config(
    extra: &[CertificateDer<'static>],
) -> Result<Arc<ClientConfig>, FetchError> {
    let internal =
        |e: rustls::Error| FetchError::new(ErrorName::ProxyConfigurationError, e.to_string());
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in extra {
        roots.add(certificate.clone()).map_err(internal)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(internal)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the error of a failed handshake with `host`.
pub(crate) fn handshake_error(host: &str, error: &io::Error) -> FetchError {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    let (name, what) = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => (
            ErrorName::TlsCertificateError,
            format!("The certificate of {host} is not valid for it ({why:?})."),
        ),
        Some(rustls::Error::AlertReceived(alert)) => (
            ErrorName::TlsAlertReceived,
            format!("{host} ended the TLS handshake with the alert {alert:?}."),
        ),
        Some(other) => (
            ErrorName::TlsProtocolError,
            format!(
                "The TLS handshake with {host} failed ({other}): does it speak TLS on this port?"
            ),
        ),
        None => (
            ErrorName::TlsProtocolError,
            format!("The TLS handshake with {host} broke off ({error})."),
        ),
    };
    FetchError::new(name, what)
}
