//! Flags of all commands that run a node. The flags become the last layer of the configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use fetchway_node::{Ended, Layers, Node, log, print_config};

use crate::common::{print_result, runtime};

/// Flags of every command that runs a node. Each is also a key of the configuration; a flag overrides the
/// environment, which overrides the file.
#[derive(clap::Args)]
pub(crate) struct NodeFlags {
    /// Address for metrics, health and profiles [default: 127.0.0.1:9787]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "FETCHWAY_CONFIG")]
    config: Option<PathBuf>,
    /// Format of logs, text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Level of logs: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Set a key of the configuration, such as --set lanes.default.rate=100/s; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the resulting configuration, each value with its source, and exit; the files that it names
    /// (tokens, TLS) are not read
    #[arg(long)]
    print_config: bool,
}

impl NodeFlags {
    /// Runs a node with these flags. `own` adds the command's own flags.
    pub(crate) fn run(self, own: impl FnOnce(Layers) -> Layers) -> anyhow::Result<ExitCode> {
        let print = self.print_config;
        let loaded = self.layers(own)?.load()?;
        if print {
            print_result(&print_config(&loaded));
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

    fn layers(self, own: impl FnOnce(Layers) -> Layers) -> anyhow::Result<Layers> {
        let mut layers = own(read(self.config.as_deref()));
        for (flag, key, value) in [
            ("--admin", "admin.listen", self.admin),
            ("--log-format", "log.format", self.log_format),
            ("--log-level", "log.level", self.log_level),
        ] {
            layers = single(layers, flag, key, value);
        }
        set(layers, &self.set)
    }
}

/// Returns the layers of the configuration file, if one is named, and of the environment.
pub(crate) fn read(config: Option<&Path>) -> Layers {
    let mut layers = Layers::new();
    if let Some(path) = config {
        layers = layers.read_file(path);
    }
    // A name that is not Unicode is not a key. A value that is not Unicode will be refused by its key.
    let text = |(name, value): (OsString, OsString)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    };
    layers.env(std::env::vars_os().filter_map(text))
}

/// Adds the flags `--set`.
pub(crate) fn set(mut layers: Layers, settings: &[String]) -> anyhow::Result<Layers> {
    for setting in settings {
        let (key, value) = setting.split_once('=').with_context(|| {
            format!("--set {setting} has no value: write it like --set relay.max-message=16MiB")
        })?;
        layers = layers.flag_text("--set", key, value);
    }
    Ok(layers)
}

/// Adds a flag with one value, if it was given.
pub(crate) fn single(layers: Layers, flag: &str, key: &str, value: Option<String>) -> Layers {
    match value {
        Some(value) => layers.flag(flag, key, value),
        None => layers,
    }
}
