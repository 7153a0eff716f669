//! An origin: built, bound, counted, stopped.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;
use crate::listen::{StartError, listen};
use crate::serve::{Listening, Order, accept_loop};
use crate::shared::Shared;
use crate::stats::Stats;

/// How an origin is to be.
#[derive(Clone)]
pub struct Builder {
    addr: SocketAddr,
    tls: bool,
    names: Vec<String>,
    certificate: Option<Arc<Certificate>>,
    http2: bool,
    h2c: bool,
    max_concurrent_streams: u32,
}

impl Builder {
    /// Where to listen; by default a free port of 127.0.0.1.
    #[must_use]
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// Speak TLS, with HTTP/2 and HTTP/1.1 by ALPN. Without it the origin speaks HTTP/1.1 only,
    /// or HTTP/2 only ([`h2c`](Self::h2c)).
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// One more DNS name or IP address for the certificate.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// Show this certificate instead of a new one, so that several origins share an authority.
    #[must_use]
    pub fn certificate(mut self, certificate: Arc<Certificate>) -> Self {
        self.tls = true;
        self.certificate = Some(certificate);
        self
    }

    /// Speak HTTP/2 without TLS, to clients that know it beforehand (RFC 9113 section 3.3), and
    /// nothing else. Without effect on an origin with TLS.
    #[must_use]
    pub fn h2c(mut self) -> Self {
        self.h2c = true;
        self
    }

    /// Offer only HTTP/1.1 over TLS.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.http2 = false;
        self
    }

    /// Streams a client may have open on one HTTP/2 connection; 100 by default.
    #[must_use]
    pub fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.max_concurrent_streams = streams;
        self
    }

    /// Binds and begins to serve, on the current tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be bound, a name no certificate can hold.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<TestOrigin, StartError> {
        let certificate = match self.certificate {
            Some(certificate) => Some(certificate),
            None if self.tls => Some(Arc::new(Certificate::generate(&self.names)?)),
            None => None,
        };
        let alpn: &[&str] = if self.http2 {
            &["h2", "http/1.1"]
        } else {
            &["http/1.1"]
        };
        let tls = match &certificate {
            Some(certificate) => Some(TlsAcceptor::from(Arc::new(
                certificate.server_config(alpn)?,
            ))),
            None => None,
        };
        let (listener, addr) = listen(self.addr)?;
        let shared = Arc::new(Shared::default());
        let (control, orders) = watch::channel(Order::default());
        let listening = Listening {
            listener,
            tls,
            h2c: self.h2c,
            max_concurrent_streams: self.max_concurrent_streams,
            shared: Arc::clone(&shared),
        };
        tokio::spawn(accept_loop(listening, orders));
        Ok(TestOrigin {
            addr,
            certificate,
            shared,
            control,
        })
    }
}

/// A running origin. Dropping it ends the listener, every connection and every task.
pub struct TestOrigin {
    addr: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    shared: Arc<Shared>,
    control: watch::Sender<Order>,
}

impl TestOrigin {
    /// An origin still to be set up: HTTP/1.1 on a free port of 127.0.0.1 unless told otherwise.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: false,
            names: Vec::new(),
            certificate: None,
            http2: true,
            h2c: false,
            max_concurrent_streams: 100,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a route, `/delay?ms=10` for one, by IP address.
    #[must_use]
    pub fn url(&self, path_and_query: &str) -> String {
        format!("{}://{}{path_and_query}", self.scheme(), self.addr)
    }

    /// The same by another name that resolves here, `localhost` for one.
    #[must_use]
    pub fn url_at(&self, host: &str, path_and_query: &str) -> String {
        format!(
            "{}://{host}:{}{path_and_query}",
            self.scheme(),
            self.addr.port()
        )
    }

    fn scheme(&self) -> &'static str {
        if self.certificate.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// The certificate it shows; none without TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.certificate.as_ref()
    }

    /// The counters as they stand.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.shared.counters.lock()
    }

    /// Waits until the counters are as asked, and says how they stand then.
    pub async fn wait_until(&self, mut ready: impl FnMut(&Stats) -> bool) -> Stats {
        let found = |stats: &Stats| ready(stats).then_some(*stats);
        self.shared.counters.until(found).await
    }

    /// Lets through every request held at that gate, and those still to come.
    ///
    /// # Errors
    /// More keys than the origin remembers.
    pub fn open_gate(&self, key: &str) -> Result<(), StartError> {
        self.shared
            .gates
            .open(key)
            .map_err(|refused| StartError::new("the gate cannot be opened", refused.0))
    }

    /// Breaks every open connection, idle or not; the listener goes on.
    pub fn break_connections(&self) {
        self.control.send_modify(|order| order.breaks += 1);
    }

    /// Ends every open connection in good order: GOAWAY on HTTP/2, after the running answer on
    /// HTTP/1.1; the listener goes on.
    pub fn drain_connections(&self) {
        self.control.send_modify(|order| order.drains += 1);
    }

    /// Ends everything and waits until nothing is left of it.
    pub async fn stop(self) {
        self.control.send_modify(|order| order.stop = true);
        self.control.closed().await;
    }
}

impl Drop for TestOrigin {
    fn drop(&mut self) {
        self.control.send_modify(|order| order.stop = true);
    }
}
