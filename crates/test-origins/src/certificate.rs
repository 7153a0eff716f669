//! A certificate authority of the moment and one leaf it signed.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::listen::StartError;

/// A leaf certificate for `localhost`, `127.0.0.1`, `::1` and further names, with its key and the
/// authority that signed it. New keys each time: nothing secret is kept anywhere.
pub struct Certificate {
    ca: rcgen::Certificate,
    leaf: rcgen::Certificate,
    key: KeyPair,
}

impl Certificate {
    /// Makes an authority and a leaf that is also valid for `extra` DNS names and IP addresses.
    ///
    /// # Errors
    /// A name that is neither.
    pub fn generate<S: AsRef<str>>(extra: &[S]) -> Result<Self, StartError> {
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        names.extend(extra.iter().map(|name| name.as_ref().to_owned()));

        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "fetchway test authority");
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?;

        let mut leaf = CertificateParams::new(names)?;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.distinguished_name
            .push(DnType::CommonName, "fetchway test origin");
        let key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&key, &Issuer::new(authority, authority_key))?;
        Ok(Self { ca, leaf, key })
    }

    /// The authority's certificate: what a client must trust.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// The authority's certificate in DER.
    #[must_use]
    pub fn ca_der(&self) -> CertificateDer<'static> {
        self.ca.der().clone()
    }

    /// The leaf certificate: what a server shows.
    #[must_use]
    pub fn cert_pem(&self) -> String {
        self.leaf.pem()
    }

    /// The leaf's private key.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(crate) fn server_config(&self, alpn: &[&str]) -> Result<ServerConfig, StartError> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|reason| StartError::new("the generated key cannot be used", reason))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.der().clone()], key)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}
