//! Logs: text or JSON lines on standard error.
//!
//! Our own crates log at the configured level, every other crate only warnings: at finer levels some
//! of them write whole header fields, credentials included.

use std::fmt;
use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt as lines};

use crate::config::{LogFormat, LogLevel, LogSection};

/// The targets of our own crates begin so.
const OWN: &str = "fetchway";

/// Logging has been set up already, by this process's own code.
#[derive(Debug)]
pub struct LogError(TryInitError);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logs can't be set up twice in one process: {}", self.0)
    }
}

impl std::error::Error for LogError {}

/// Sends this process's logs to standard error.
///
/// # Errors
/// Something else receives them already.
pub fn init(section: &LogSection) -> Result<(), LogError> {
    let lines = lines::layer().with_writer(std::io::stderr);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match section.format {
        LogFormat::Text => Box::new(lines.with_ansi(std::io::stderr().is_terminal())),
        LogFormat::Json => Box::new(lines.json().with_current_span(true).with_span_list(false)),
    };
    let subscriber = Registry::default().with(layer.with_filter(filter(section.level)));
    subscriber.try_init().map_err(LogError)
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
    use tracing::Level;

    use super::*;

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
}
