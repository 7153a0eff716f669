//! A relay's URL, and the TLS configuration for it.

use std::fmt;
use std::sync::Arc;

use fetchway_policy::ErrorName;
use http::HeaderValue;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Position, Url};

use crate::error::Error;

/// A relay's URL, taken apart, and the credentials for it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: Url,
    pub(crate) host: String,
    pub(crate) port: u16,
    name: Option<ServerName<'static>>,
    /// The TLS configuration. [`Builder::build`](crate::Builder::build) sets it for `wss://`.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The `Authorization` header, also set by [`Builder::build`](crate::Builder::build).
    pub(crate) authorization: Option<HeaderValue>,
}

impl fmt::Display for Target {
    /// Writes the URL without its query, which may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url[..Position::AfterPath])
    }
}

impl Target {
    /// Parses a relay's URL. `called`: the name of the URL in an error, as the URL may contain a secret.
    ///
    /// # Errors
    /// `invalid_request` if `text` is not the URL of a relay.
    pub(crate) fn parse(text: &str, called: &str) -> Result<Self, Error> {
        let invalid = |why: &str| {
            let detail = format!(
                "{called} {why}: write it as ws://host:port/ or wss://host:port/, without credentials."
            );
            Error::new(ErrorName::InvalidRequest, detail)
        };
        let url =
            Url::parse(text).map_err(|error| invalid(&format!("cannot be parsed ({error})")))?;
        let tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(invalid(&format!("has the scheme {other}"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("carries a user name or password"));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(invalid("has no host"));
        };
        let (host, name) = match host {
            Host::Domain(name) => (name.to_owned(), ServerName::try_from(name.to_owned()).ok()),
            Host::Ipv4(ip) => (
                ip.to_string(),
                Some(ServerName::from(std::net::IpAddr::from(ip))),
            ),
            Host::Ipv6(ip) => (
                ip.to_string(),
                Some(ServerName::from(std::net::IpAddr::from(ip))),
            ),
        };
        if tls && name.is_none() {
            return Err(invalid("has a host that no certificate could be valid for"));
        }
        Ok(Self {
            host,
            port,
            name: name.filter(|_| tls),
            tls: None,
            authorization: None,
            url,
        })
    }

    /// Returns true for `wss://`.
    pub(crate) fn is_tls(&self) -> bool {
        self.name.is_some()
    }

    /// Returns the server name and configuration for a TLS handshake; `None` for `ws://`.
    pub(super) fn tls_parameters(&self) -> Option<(ServerName<'static>, Arc<ClientConfig>)> {
        self.name.clone().zip(self.tls.clone())
    }

    /// Returns the value of the `Host` header.
    pub(super) fn host_field(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Returns path and query.
    pub(super) fn path(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

/// Returns a TLS configuration that trusts the public certificate authorities and `extra`. It offers
/// HTTP/1.1 only, with which a WebSocket begins.
///
/// # Errors
/// `proxy_configuration_error` for a certificate that cannot be used.
pub(crate) fn tls_config(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |error: rustls::Error| {
        let detail = format!("TLS cannot be set up: {error}.");
        Error::new(ErrorName::ProxyConfigurationError, detail)
    };
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in extra {
        let added = roots.add(certificate.clone());
        added.map_err(|error| root_error(certificate, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn root_error(certificate: &CertificateDer<'_>, error: &rustls::Error) -> Error {
    let detail = if certificate.starts_with(b"-----BEGIN") {
        "The root certificate is in PEM form: give it to Builder::root_certificates_pem.".into()
    } else {
        format!("A root certificate cannot be used ({error}): give one in DER form.")
    };
    Error::new(ErrorName::ProxyConfigurationError, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_bad_ones_refused() {
        let target =
            Target::parse("wss://relay.example/v1/relay?x=secret", "It").expect("a good URL");
        assert_eq!((target.host.as_str(), target.port), ("relay.example", 443));
        assert_eq!(target.host_field(), "relay.example");
        assert_eq!(target.path(), "/v1/relay?x=secret");
        assert_eq!(target.to_string(), "wss://relay.example/v1/relay");
        let target = Target::parse("ws://[::1]:8787", "It").expect("a good URL");
        assert_eq!((target.host.as_str(), target.port), ("::1", 8787));
        assert_eq!((target.host_field(), target.path()), ("[::1]:8787", "/"));
        for bad in ["http://a/", "relay.example", "ws://", "ws://user:pass@a/"] {
            let error = Target::parse(bad, "It").expect_err(bad);
            assert_eq!(error.name, ErrorName::InvalidRequest, "{bad}");
            assert!(!error.detail.contains("pass@"), "{error}");
        }
    }
}
