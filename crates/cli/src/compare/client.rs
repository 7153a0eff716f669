//! The probe's end of a relay's WebSocket, in the JSON encoding.

use std::io;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::BytesMut;
use fetchway_ws::{Decoder, Event, Handshake, Opcode, Receiver, Role, put_frame};
use http::{HeaderMap, HeaderValue, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::Url;

/// The longest answer taken, in bytes: a 32 MiB body with every character escaped.
const MAX_ANSWER: usize = 200 << 20;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Where a relay is: `ws://` or `wss://`.
#[derive(Clone, Debug)]
pub(crate) struct RelayUrl(Url);

impl RelayUrl {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let url = Url::parse(text)
            .with_context(|| format!("{text} is no URL: give one like ws://localhost:8787"))?;
        match url.scheme() {
            "ws" | "wss" if url.host().is_some() => {}
            "http" | "https" => bail!(
                "{text} is no WebSocket URL: the relay comes first, then the target, as in \
                 `fetchway probe ws://localhost:8787 {text} 10`"
            ),
            _ => bail!("{text} is no WebSocket URL: give one like ws://localhost:8787"),
        }
        Ok(Self(url))
    }
}

impl std::fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An open connection to a relay.
pub(crate) struct Client {
    read: Receiver<ReadHalf<Box<dyn Duplex>>>,
    write: WriteHalf<Box<dyn Duplex>>,
}

impl Client {
    /// `roots` are trusted beside the public ones.
    pub(crate) async fn connect(
        relay: &RelayUrl,
        token: Option<&str>,
        roots: &[CertificateDer<'static>],
    ) -> anyhow::Result<Self> {
        let url = &relay.0;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(80);
        let address = (host.trim_matches(['[', ']']), port);
        let tcp = TcpStream::connect(address).await.with_context(|| {
            format!("no relay at {relay}: start one with `fetchway serve`, or name another")
        })?;
        tcp.set_nodelay(true)?;
        let mut io: Box<dyn Duplex> = if url.scheme() == "wss" {
            let name = ServerName::try_from(host.to_owned())?;
            let tls = TlsConnector::from(tls_config(roots)?);
            let stream = tls.connect(name, tcp).await;
            Box::new(stream.with_context(|| {
                format!(
                    "the TLS handshake with {relay} failed (--ca-file names a certificate to trust \
                     beside the public ones)"
                )
            })?)
        } else {
            Box::new(tcp)
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let value = value.context("the token has characters that a header may not have")?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let handshake = Handshake {
            host: &url[url::Position::BeforeHost..url::Position::AfterPort],
            target: &url[url::Position::BeforePath..url::Position::AfterQuery],
            headers,
        };
        let opened = fetchway_ws::connect(&mut io, &handshake).await;
        let (_, rest) = opened.with_context(|| format!("no WebSocket with {relay}"))?;
        let (read, write) = tokio::io::split(io);
        Ok(Self {
            read: Receiver::new(read, rest, Decoder::new(Role::Client, MAX_ANSWER)),
            write,
        })
    }

    /// Sends `messages` while taking answers, so that neither side can block the other; `answer` is
    /// called for each until it says that there are enough.
    pub(crate) async fn exchange(
        self,
        messages: Vec<String>,
        mut answer: impl FnMut(&[u8]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let (mut read, mut write) = (self.read, self.write);
        let sending = tokio::spawn(async move {
            let mut batch = BytesMut::new();
            for message in messages {
                put_frame(
                    &mut batch,
                    Opcode::Text,
                    message.as_bytes(),
                    Some(rand::random()),
                );
                if batch.len() >= 64 << 10 {
                    write.write_all(&batch.split()).await?;
                }
            }
            write.write_all(&batch).await?;
            io::Result::Ok(write)
        });
        loop {
            match read.next().await.context("the relay's connection broke")? {
                Some(Event::Message(message)) => {
                    if answer(&message.data)? {
                        break;
                    }
                }
                Some(Event::Close(code, reason)) => {
                    bail!("the relay closed the connection ({code} {reason})")
                }
                // Pings need no pong here: a fetch's answers are sign of life enough, and the probe
                // ends with the last.
                Some(_) => {}
                None => bail!("the relay closed the connection before all answers had come"),
            }
        }
        let mut write = sending.await??;
        let mut close = BytesMut::new();
        put_frame(
            &mut close,
            Opcode::Close,
            &1000u16.to_be_bytes(),
            Some(rand::random()),
        );
        write.write_all(&close).await?;
        write.shutdown().await?;
        Ok(())
    }
}

fn tls_config(extra: &[CertificateDer<'static>]) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in extra {
        let added = roots.add(certificate.clone());
        added.context("a certificate of --ca-file can't be used")?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
