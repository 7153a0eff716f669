//! `fetchway serve`: a node as its configuration describes it.

use std::process::ExitCode;

use fetchway_node::Layers;

use crate::flags::{NodeFlags, single};

/// Flags of `serve`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address for clients, or none [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Allow fetches to this private network, such as 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "CIDR")]
    allow_net: Vec<String>,
    /// Allow web pages of this origin (scheme, host and port) to connect; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    #[command(flatten)]
    node: NodeFlags,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        listen,
        allow_net,
        allow_origin,
        node,
    } = args;
    node.run(|mut layers: Layers| {
        layers = single(layers, "--listen", "listen", listen);
        for (flag, key, values) in [
            ("--allow-net", "guard.allow-net", allow_net),
            ("--allow-origin", "allow-origins", allow_origin),
        ] {
            if !values.is_empty() {
                layers = layers.flag(flag, key, values);
            }
        }
        layers
    })
}
