//! `fetchway gateway`: a node with one gateway and nothing else, from two flags.

use std::process::ExitCode;

use fetchway_node::Layers;

use crate::flags::{NodeFlags, single};

/// Flags of `gateway`: the keys of the configuration's first gateway.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address for the WebSocket clients, such as 127.0.0.1:7001
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// URL of the HTTP API: http://, https://, or h2c:// for HTTP/2 without TLS
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Separate address for the API's pushes
    #[arg(long, value_name = "ADDR")]
    push_listen: Option<String>,
    /// Token for pushes; other users of this machine can see it here, but not with
    /// `--set gateways[0].push-token-file=FILE`
    #[arg(long, value_name = "TOKEN")]
    push_token: Option<String>,
    /// Allow pushes without a token at the clients' address
    #[arg(long)]
    open_push: bool,
    /// Share the clients' address with other processes; needs --push-listen
    #[arg(long)]
    reuse_port: bool,
    #[command(flatten)]
    node: NodeFlags,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args {
        listen,
        api,
        push_listen,
        push_token,
        open_push,
        reuse_port,
        node,
    } = args;
    node.run(|mut layers: Layers| {
        // Relays are run by `serve`.
        layers = layers.flag("fetchway gateway", "listen", "none");
        for (flag, key, value) in [
            ("--listen", "gateways[0].listen", listen),
            ("--api", "gateways[0].api", api),
            ("--push-listen", "gateways[0].push-listen", push_listen),
            ("--push-token", "gateways[0].push-token", push_token),
        ] {
            layers = single(layers, flag, key, value);
        }
        for (flag, key, is_set) in [
            ("--open-push", "gateways[0].open-push", open_push),
            ("--reuse-port", "gateways[0].reuse-port", reuse_port),
        ] {
            if is_set {
                layers = layers.flag(flag, key, true);
            }
        }
        layers
    })
}
