//! `fetchway serve`: flags become the last layer of the configuration, the node does the rest.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use fetchway_node::{Ended, Layers, Node, log, print_config};

use crate::runtime;

/// Flags of `serve`. Each is also a key of the configuration; a flag wins over the environment, and
/// that over the file.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "FETCHWAY_CONFIG")]
    config: Option<PathBuf>,
    /// Address for clients [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address for metrics, health and profiles [default: 127.0.0.1:9787]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Let fetches go to this private network, such as 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "CIDR")]
    allow_net: Vec<String>,
    /// Let pages of this web origin (scheme, host and port) connect; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Logs as text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any other key of the configuration, such as --set lanes.default.rate=100/s; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the configuration that results, each value with its source, and exit; the files that it
    /// names (tokens, TLS) are not looked at
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let print = args.print_config;
    let loaded = layers(args)?.load()?;
    if print {
        say(&print_config(&loaded));
        return Ok(ExitCode::SUCCESS);
    }
    log::init(&loaded.config.log)?;
    runtime()?.block_on(async {
        let node = Node::start(&loaded)?;
        Ok(match node.run_until_signal().await? {
            Ended::Drained | Ended::GraceOver => ExitCode::SUCCESS,
            Ended::Forced => ExitCode::from(130),
        })
    })
}

fn layers(args: Args) -> anyhow::Result<Layers> {
    let mut layers = Layers::new();
    if let Some(path) = &args.config {
        layers = layers.read_file(path);
    }
    // A name that is no Unicode is none of ours. A value that is none will make no sense to its key.
    let text = |(name, value): (OsString, OsString)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    };
    layers = layers.env(std::env::vars_os().filter_map(text));
    let single = [
        ("--listen", "listen", args.listen),
        ("--admin", "admin.listen", args.admin),
        ("--log-format", "log.format", args.log_format),
        ("--log-level", "log.level", args.log_level),
    ];
    for (flag, key, value) in single {
        if let Some(value) = value {
            layers = layers.flag(flag, key, value);
        }
    }
    let lists = [
        ("--allow-net", "guard.allow-net", args.allow_net),
        ("--allow-origin", "allow-origins", args.allow_origin),
    ];
    for (flag, key, values) in lists {
        if !values.is_empty() {
            layers = layers.flag(flag, key, values);
        }
    }
    for setting in &args.set {
        let (key, value) = setting.split_once('=').with_context(|| {
            format!("--set {setting} has no value: write it like --set relay.max-message=16MiB")
        })?;
        layers = layers.flag_text("--set", key, value);
    }
    Ok(layers)
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn say(text: &str) {
    print!("{text}");
}
