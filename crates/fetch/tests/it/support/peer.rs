//! A peer whose every byte the test decides: bare, or under TLS with HTTP/1.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fetchway_test_origins::Certificate;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::soon;

/// A listener on this machine.
pub(crate) struct Peer {
    listener: TcpListener,
    pub(crate) addr: SocketAddr,
}

impl Peer {
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let addr = listener.local_addr().expect("an address");
        Self { listener, addr }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn accept_tcp(&self) -> TcpStream {
        soon(self.listener.accept()).await.expect("a connection").0
    }

    pub(crate) async fn accept(&self) -> RawPeer<TcpStream> {
        RawPeer::new(self.accept_tcp().await)
    }

    /// Whether somebody has connected and was not accepted yet.
    pub(crate) fn nobody_waits(&self) -> bool {
        let accepted = std::pin::pin!(self.listener.accept());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        accepted.poll(&mut cx).is_pending()
    }
}

/// TLS for a scripted peer, offering `alpn`.
pub(crate) fn acceptor(certificate: &Certificate, alpn: &str) -> TlsAcceptor {
    let leaf = CertificateDer::from_pem_slice(certificate.cert_pem().as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .expect("a certificate");
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// One connection of HTTP/1.1.
pub(crate) struct RawPeer<S = TcpStream> {
    stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> RawPeer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Reads up to the end of a header section, which is given back; what follows stays.
    pub(crate) async fn head(&mut self) -> String {
        self.until(b"\r\n\r\n").await
    }

    /// Reads up to and with `mark`.
    pub(crate) async fn until(&mut self, mark: &[u8]) -> String {
        loop {
            if let Some(at) = self
                .read
                .windows(mark.len())
                .position(|window| window == mark)
            {
                let rest = self.read.split_off(at + mark.len());
                let head = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(head).expect("text");
            }
            let n = soon(self.stream.read_buf(&mut self.read))
                .await
                .expect("bytes");
            assert!(
                n > 0,
                "the client closed the connection; so far it sent {:?}",
                self.read
            );
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref()))
            .await
            .expect("sending");
        soon(self.stream.flush()).await.expect("sending");
    }

    /// Waits until the client has closed the connection. What it sent before is passed over.
    pub(crate) async fn closed(mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
    }
}
