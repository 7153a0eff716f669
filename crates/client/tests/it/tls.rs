//! `wss://`, with an authority of the test's own.

use std::sync::Arc;

use fetchway_client::{By, Client, Error, ErrorName};
use fetchway_test_origins::Certificate;
use fetchway_wire::v1::Config;
use http::StatusCode;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt as _;
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
    assert!(
        error.detail.contains("issuer of its certificate"),
        "{error}"
    );
}

/// A fetch by a client that has all the time there is; `serve` is what it finds.
async fn fails_at_once(url: String, serve: impl Future<Output = ()>) -> Error {
    let client = Client::builder().relay(url).build().expect("a client");
    let fetch = tokio::spawn(client.fetch(get()));
    serve.await;
    let ended = soon("an end", fetch).await.expect("no panic");
    let error = ended.expect_err("there is no relay");
    assert_eq!(error.by, By::Client);
    error
}

#[tokio::test]
async fn what_cannot_heal_is_not_waited_for() {
    let certificate = Certificate::generate::<&str>(&[]).expect("a certificate");
    let acceptor = acceptor(&certificate);
    let relay = Relay::start().await;
    let secure = relay.url.replace("ws://", "wss://");
    let accept = async || {
        let accepted = soon("a connection", relay.listener.accept()).await;
        accepted.expect("a connection").0
    };

    let error = fails_at_once(secure.clone(), async {
        let refused = acceptor.accept(accept().await).await;
        refused.expect_err("the client does not trust it");
    });
    let error = error.await;
    assert_eq!(error.name, ErrorName::TlsCertificateError, "{error}");

    // Plain HTTP where TLS was expected.
    let error = fails_at_once(secure, async {
        let mut tcp = accept().await;
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        tcp.write_all(answer).await.expect("it is read");
    });
    let error = error.await;
    assert_eq!(error.name, ErrorName::TlsProtocolError, "{error}");
    assert!(error.detail.contains("is it a ws:// relay?"), "{error}");

    // TLS where plain HTTP was expected.
    let error = fails_at_once(relay.url.clone(), async {
        let refused = acceptor.accept(accept().await).await;
        refused.expect_err("no TLS is spoken");
    });
    let error = error.await;
    assert_eq!(error.name, ErrorName::ProxyConfigurationError, "{error}");
    assert!(error.detail.contains("does it want wss://?"), "{error}");

    for status in [StatusCode::OK, StatusCode::PERMANENT_REDIRECT] {
        let error = fails_at_once(relay.url.clone(), async {
            Socket::read(accept().await).await.refuse(status).await;
        });
        let error = error.await;
        assert_eq!(error.name, ErrorName::ProxyConfigurationError, "{error}");
        assert!(
            error.detail.contains("no WebSocket: is a relay there?"),
            "{error}"
        );
    }
}
