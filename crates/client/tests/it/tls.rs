//! `wss://`, with an authority of the test's own.

use std::sync::Arc;

use fetchway_client::{Client, ErrorName};
use fetchway_lab::Certificate;
use fetchway_wire::v1::Config;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::support::{Relay, Socket, get, soon, text};

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(certificate.cert_pem().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain.expect("a certificate")], key.expect("a key"))
        .expect("a usable certificate");
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_relay_is_trusted_by_its_certificate_only() {
    let certificate = Certificate::generate::<&str>(&[]).expect("a certificate");
    let acceptor = acceptor(&certificate);
    let relay = Relay::start().await;
    let url = relay.url.replace("ws://", "wss://");
    let client = Client::builder()
        .relay(&url)
        .root_certificate(certificate.ca_der());
    let client = client.build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    let (tcp, _) = soon("a connection", relay.listener.accept())
        .await
        .expect("a connection");
    let tls = soon("a handshake", acceptor.accept(tcp))
        .await
        .expect("a handshake");
    let mut peer = Socket::read(tls).await.session(Config::default()).await;
    let (stream, ..) = peer.opened().await;
    peer.answer(stream, "secret").await;
    let response = soon("an answer", fetch)
        .await
        .expect("no panic")
        .expect("a response");
    assert_eq!(text(response).await.expect("a body"), "secret");

    let stranger = Client::builder().relay(&url).build().expect("a client");
    let connecting = tokio::spawn(async move { stranger.connect().await });
    let (tcp, _) = soon("a connection", relay.listener.accept())
        .await
        .expect("a connection");
    soon("a handshake", acceptor.accept(tcp))
        .await
        .expect_err("the client does not trust it");
    let error = soon("an end", connecting)
        .await
        .expect("no panic")
        .expect_err("no trust");
    assert_eq!(error.name, ErrorName::TlsCertificateError);
}
