//! One connection to an origin, for these tests: HTTP/1.1, or over TLS what ALPN gives.

use std::sync::Arc;

use bytes::Bytes;
use fetchway_test_origins::TestOrigin;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An answer with all of its body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the origin writes JSON")
    }
}

impl Client {
    pub(crate) async fn http1(origin: &TestOrigin) -> Result<Self, Failure> {
        let stream = TcpStream::connect(origin.addr()).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// Over TLS, trusting the origin's authority, offering `alpn`.
    pub(crate) async fn tls(
        origin: &TestOrigin,
        name: &'static str,
        alpn: &[&str],
    ) -> Result<Self, Failure> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(origin.certificate().expect("a TLS origin").ca_der())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(origin.addr()).await?;
        let stream = connector
            .connect(ServerName::try_from(name)?, stream)
            .await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// Sends a request and waits for the answer's headers.
    pub(crate) async fn head(
        &mut self,
        origin: &TestOrigin,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let body = Full::new(body.into());
        let request = Request::builder().method(method);
        match self {
            Self::Http1(sender) => {
                let request = request.uri(path).header("host", origin.addr().to_string());
                sender.ready().await?;
                sender
                    .send_request(request.body(body).expect("a valid request"))
                    .await
            }
            Self::Http2(sender) => {
                let request = request.uri(origin.url(path));
                sender.ready().await?;
                sender
                    .send_request(request.body(body).expect("a valid request"))
                    .await
            }
        }
    }

    /// A GET, read to its end.
    pub(crate) async fn get(
        &mut self,
        origin: &TestOrigin,
        path: &str,
    ) -> Result<Answer, hyper::Error> {
        let response = self.head(origin, "GET", path, "").await?;
        read(response).await
    }
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let (head, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: collected.to_bytes(),
        trailers,
    })
}
