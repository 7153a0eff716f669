//! Logs: text or JSON lines on standard error.
//!
//! Our own crates log at the configured level, every other crate only warnings: at finer levels some
//! of them write whole header fields, credentials included.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt as lines};

use crate::config::{LogFormat, LogLevel, LogSection};

/// The targets of our own crates begin so.
const OWN: &str = "fetchway";

/// Logging has been set up already, by this process's own code.
#[derive(Debug, thiserror::Error)]
#[error("logs can't be set up twice in one process: {0}")]
pub struct LogError(TryInitError);

/// Sends this process's logs to standard error.
///
/// # Errors
/// Something else receives them already.
pub fn init(section: &LogSection) -> Result<(), LogError> {
    let stderr = std::io::stderr;
    subscriber(section, stderr, stderr().is_terminal())
        .try_init()
        .map_err(LogError)
}

/// Returns the subscriber that formats and filters log lines, and writes them to `writer`.
fn subscriber<W>(section: &LogSection, writer: W, colour: bool) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = lines::layer().with_writer(writer);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match section.format {
        LogFormat::Text => Box::new(lines.with_ansi(colour)),
        LogFormat::Json => Box::new(lines.json()),
    };
    Registry::default().with(layer.with_filter(filter(section.level)))
}

fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target(OWN, own)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tracing::Level;

    use super::*;
    use crate::{Layers, Node};

    #[test]
    fn other_crates_never_log_more_than_warnings() {
        let filter = filter(LogLevel::Trace);
        assert!(filter.would_enable("fetchway_node::http", &Level::TRACE));
        assert!(filter.would_enable("h2::codec", &Level::WARN));
        assert!(!filter.would_enable("h2::codec", &Level::INFO));
        let quiet = super::filter(LogLevel::Error);
        assert!(!quiet.would_enable("hyper", &Level::WARN));
        assert!(!quiet.would_enable("fetchway_node", &Level::WARN));
    }

    /// Everything that a node logs at `level` while it is asked for things, right and wrong.
    async fn logged(level: LogLevel) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let section = LogSection {
            format: LogFormat::Json,
            level,
        };
        let guard =
            tracing::subscriber::set_default(subscriber(&section, Sink(lines.clone()), false));
        let toml = "listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'\nadmin.token = 'secret-1'\n\
                    [[tokens]]\nname = 'ann'\ntoken = 'secret-2'\nlimits.max-sessions = 1\n";
        let loaded = Layers::new().file("t.toml".as_ref(), toml).load();
        let node = Node::start(&loaded.expect("valid")).expect("it starts");
        let main = node.addr().expect("a main listener");
        let admin = node.admin_addr().expect("an admin listener");
        ask(admin, "/metrics?asked=1", "Authorization: Bearer secret-1").await;
        ask(admin, "/metrics?asked=1", "Authorization: Bearer secret-3").await;
        for token in ["Authorization: Bearer secret-2", "Cookie: secret-4"] {
            ask(main, "/v1/relay?asked=1", token).await;
        }
        node.stop().await;
        drop(guard);
        String::from_utf8(lines.lock().expect("not poisoned").clone()).expect("a text")
    }

    #[derive(Clone)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    async fn ask(addr: SocketAddr, path: &str, header: &str) {
        let mut io = TcpStream::connect(addr).await.expect("it listens");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{header}\r\n\r\n");
        io.write_all(request.as_bytes()).await.expect("taken");
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await.expect("answered");
    }

    #[tokio::test]
    async fn credentials_are_never_logged_and_queries_only_at_debug_level() {
        let debug = logged(LogLevel::Trace).await;
        assert!(debug.contains("asked=1"), "{debug}");
        let info = logged(LogLevel::Info).await;
        assert!(info.contains("fetchway is listening"), "{info}");
        assert!(!info.contains("asked=1"), "{info}");
        for lines in [debug, info] {
            assert!(!lines.contains("secret"), "{lines}");
            for line in lines.lines() {
                assert!(
                    serde_json::from_str::<serde_json::Value>(line).is_ok(),
                    "{line}"
                );
            }
        }
    }
}
