//! Accepting connections, and the life of one.
//!
//! Every task holds a receiver of [`Order`] and ends when told to (or when the origin is gone);
//! `TestOrigin::stop` waits until no receiver is left, so no task can be forgotten.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::routes::answer;
use crate::shared::Shared;
use crate::stats::OpenConnection;

/// Orders to the connections. The counts grow, and a connection acts when one has grown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub(crate) stop: bool,
    pub(crate) breaks: u64,
    pub(crate) drains: u64,
}

/// A bound listener and what its connections need.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Without TLS, HTTP/2 from the first byte.
    pub(crate) h2c: bool,
    pub(crate) max_concurrent_streams: u32,
    pub(crate) shared: Arc<Shared>,
}

/// Accepts until told to stop.
pub(crate) async fn accept_loop(listening: Listening, orders: watch::Receiver<Order>) {
    let listening = Arc::new(listening);
    let mut stop = orders.clone();
    let mut stopped = pin!(stopped(&mut stop));
    loop {
        let accepted = tokio::select! {
            () = stopped.as_mut() => return,
            accepted = listening.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(Arc::clone(&listening), stream, orders.clone()));
            }
            Err(_) => {
                // Out of descriptors: the connection stays in the backlog, and accepting again at
                // once would spin until one is free.
                let counters = &listening.shared.counters;
                counters.change(|stats| stats.failed_accepts += 1);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(
    listening: Arc<Listening>,
    stream: TcpStream,
    mut orders: watch::Receiver<Order>,
) {
    let counters = &listening.shared.counters;
    let _open = OpenConnection::new(counters);
    // A failure means that the peer has left already; serving it will show the same.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &listening.tls else {
        return match listening.h2c {
            true => http2(&listening, stream, orders).await,
            false => http1(&listening, stream, orders).await,
        };
    };
    let shaken = tokio::select! {
        () = stopped(&mut orders) => return,
        shaken = tls.accept(stream) => shaken,
    };
    match shaken {
        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            http2(&listening, stream, orders).await;
        }
        Ok(stream) => http1(&listening, stream, orders).await,
        Err(_) => counters.change(|stats| stats.failed_handshakes += 1),
    }
}

async fn http1<IO>(listening: &Listening, io: IO, orders: watch::Receiver<Order>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = &listening.shared;
    let service = service_fn(|request| answer(Arc::clone(shared), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    drive(pin!(connection), orders).await;
}

async fn http2<IO>(listening: &Listening, io: IO, orders: watch::Receiver<Order>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = &listening.shared;
    let service = service_fn(|request| answer(Arc::clone(shared), request));
    let connection = http2::Builder::new(Streams(orders.clone()))
        .max_concurrent_streams(listening.max_concurrent_streams)
        .serve_connection(TokioIo::new(io), service);
    drive(pin!(connection), orders).await;
}

/// Runs a connection to its end, or to an order that ends it.
async fn drive<C: GracefulConnection>(
    mut connection: Pin<&mut C>,
    mut orders: watch::Receiver<Order>,
) {
    let at_start = *orders.borrow_and_update();
    let mut drained = at_start.drains;
    loop {
        tokio::select! {
            // How a connection ended is for the client to tell; the routes break them on purpose.
            _ = connection.as_mut() => return,
            changed = orders.changed() => {
                let order = *orders.borrow_and_update();
                if changed.is_err() || order.stop || order.breaks != at_start.breaks {
                    return;
                }
                if order.drains != drained {
                    drained = order.drains;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Ends when the origin is told to stop or is gone.
async fn stopped(orders: &mut watch::Receiver<Order>) {
    // An error says that the sender is gone, which is a stop too.
    let _ = orders.wait_for(|order| order.stop).await;
}

/// Runs the streams of an HTTP/2 connection; they would otherwise outlive the origin.
#[derive(Clone)]
struct Streams(watch::Receiver<Order>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let mut orders = self.0.clone();
        TokioExecutor::new().execute(async move {
            tokio::select! {
                () = stopped(&mut orders) => {}
                () = stream => {}
            }
        });
    }
}
