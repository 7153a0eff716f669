//! TLS of a listener, from PEM files that can be read again while it runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ReadError, TlsSection};

/// The certificate and key of one listener. Connections take what is current when they begin.
#[derive(Debug)]
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Tls {
    /// None if the section names no files.
    pub(crate) fn new(section: &TlsSection) -> Result<Option<Arc<Self>>, ReadError> {
        if !section.enabled() {
            return Ok(None);
        }
        let config = read(section)?;
        Ok(Some(Arc::new(Self {
            cert: section.cert.clone(),
            key: section.key.clone(),
            current: ArcSwap::from_pointee(config),
        })))
    }

    /// Reads the files again. On an error what was current stays so.
    pub(crate) fn reload(&self) -> Result<(), ReadError> {
        let config = read(&TlsSection {
            cert: self.cert.clone(),
            key: self.key.clone(),
        })?;
        self.current.store(Arc::new(config));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.current.load_full().into()
    }
}

fn read(section: &TlsSection) -> Result<ServerConfig, ReadError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&section.cert)
        .and_then(Iterator::collect)
        .map_err(|e| ReadError::new(&section.cert, format_args!("no certificate chain ({e})")))?;
    let key = PrivateKeyDer::from_pem_file(&section.key)
        .map_err(|e| ReadError::new(&section.key, format_args!("no private key ({e})")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| {
            let key = section.key.display();
            let why = format!("this certificate chain can't be used with the key {key} ({e})");
            ReadError::new(&section.cert, why)
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
