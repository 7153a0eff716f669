//! TLS of a listener, from PEM files that can be read again while it runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{Error, InconsistentKeys, ServerConfig};

use crate::config::{ReadError, TlsSection, read_certificates};

/// The certificate and key of one listener. Connections take what is current when they begin.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    current: ArcSwap<ServerConfig>,
}

/// Where they are read from.
#[derive(Debug)]
struct Files {
    /// The configuration's table that names them.
    table: String,
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// None if the section, which `table` is, names no files.
    pub(crate) fn new(
        table: impl Into<String>,
        section: &TlsSection,
    ) -> Result<Option<Arc<Self>>, ReadError> {
        if !section.enabled() {
            return Ok(None);
        }
        let files = Files {
            table: table.into(),
            cert: section.cert.clone(),
            key: section.key.clone(),
        };
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Some(Arc::new(Self { files, current })))
    }

    /// Reads the files again. On an error what was current stays so.
    pub(crate) fn reload(&self) -> Result<(), ReadError> {
        self.current.store(Arc::new(self.files.read()?));
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.current.load_full().into()
    }
}

impl Files {
    fn read(&self) -> Result<ServerConfig, ReadError> {
        let cert = format!("{}.cert", self.table);
        let chain = read_certificates(&cert, &self.cert)?;
        let key = self.private_key()?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| {
                let key = format!("{}.key = {}", self.table, self.key.display());
                let why = match error {
                    Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                        "is the certificate of another key than {key}; name the two that belong \
                         together"
                    ),
                    error => format!("can't be used with {key} ({error}); have both made anew"),
                };
                ReadError::new(&cert, &self.cert, why)
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, ReadError> {
        let (at, path) = (format!("{}.key", self.table), &self.key);
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) => return Err(ReadError::unreadable(at, path, &error)),
        };
        if let Ok(key) = PrivateKeyDer::from_pem_slice(&text) {
            return Ok(key);
        }
        // Both ways of writing an encrypted key have the word in a line of their own.
        let text = String::from_utf8_lossy(&text);
        let is_encrypted = |line: &str| {
            line.starts_with("-----BEGIN ENCRYPTED") || line.starts_with("Proc-Type: 4,ENCRYPTED")
        };
        let why = if text.lines().any(is_encrypted) {
            "holds an encrypted private key, which can't be used; decrypt it, as with `openssl pkey`"
        } else {
            "holds no private key in PEM form; name a file with a -----BEGIN PRIVATE KEY----- in it"
        };
        Err(ReadError::new(at, path, why))
    }
}
