//! One running fetchway process: configuration, listeners, TLS, tokens, logs, metrics, shutdown.
//!
//! Read `config` first, then `node` (what is put together from it, and how it ends), `core` (what all
//! of it shares) and `listener`; `http`, `gateways` and `admin` are what answers at the listeners,
//! `origin_check` and `auth` stand at their door, and before it `proxied`, where a proxy says who comes.
//! `batch` is what performs the fetches of a batch, `batches` those that clients have run here. `metrics`,
//! `profile`, `log` and `fdlimit` are what an operator sees of it.

mod admin;
mod auth;
mod batch;
mod batches;
pub mod config;
mod core;
pub mod fdlimit;
mod gateways;
mod http;
mod listener;
pub mod log;
mod metrics;
mod node;
mod origin_check;
mod profile;
mod proxied;
mod signals;
mod start_error;
mod tls;

pub use batch::LocalFetches;
pub use config::{Config, Layers, Loaded, print_config};
pub use node::{Ended, Node};
pub use signals::{Signal, Signals};
pub use start_error::StartError;
