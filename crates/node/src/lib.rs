//! One running fetchway process: configuration, listeners, TLS, tokens, logs, metrics, shutdown.
//!
//! Read `config` first, then `node` (what is put together from it, and how it ends), `core` (what all
//! of it shares) and `listener`; `http`, `gateways` and `admin` are what answers at the listeners,
//! `origin_check` and `auth` decide who may use them, and `proxied` reads the address of a client behind a
//! proxy. `local` makes a performer for batches of the command line. `metrics`, `profile`, `log` and
//! `fdlimit` are for the operator.

mod admin;
mod auth;
pub mod config;
mod core;
pub mod fdlimit;
mod gateways;
mod http;
mod listener;
mod local;
pub mod log;
mod metrics;
mod node;
mod origin_check;
mod profile;
mod proxied;
mod signals;
mod start_error;
mod tls;

pub use config::{Config, Layers, Loaded, print_config};
pub use local::local_performer;
pub use node::{Ended, Node};
pub use signals::{Signal, Signals};
pub use start_error::StartError;
