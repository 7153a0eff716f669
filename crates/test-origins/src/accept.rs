//! Accepts connections, for the origins that do not use hyper.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Serves each connection in a task of its own until `stop` is sent, or its sender dropped. The listener
/// and all connections then end at once, and the last of them drops the last receiver.
pub(crate) async fn accept_each<S, F>(
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
    serve: S,
) where
    S: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let of_connections = stop.clone();
    loop {
        let accepted = tokio::select! {
            // An error says that the origin is gone.
            _ = stop.wait_for(|stop| *stop) => {
                // Before the receivers are dropped: whoever waits for them may want the port.
                return drop(listener);
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = serve(stream);
                let mut stop = of_connections.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => {}
                        () = served => {}
                    }
                });
            }
            // Out of descriptors: leave the connection in the backlog instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
