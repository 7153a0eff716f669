//! The flag `--via`: fetches through relays, and messages about the relays.

use anyhow::{anyhow, bail};
use fetchway_client::{By, Error, RelayNews};
use fetchway_node::Config;
use fetchway_node::config::DEFAULT;
use fetchway_performers::{Relayed, RelayedConfig, RelayedHandle};
use fetchway_policy::ErrorName;
use tokio::task::JoinHandle;

use super::args::Args;
use super::show::tell;
use crate::common::read_token;

/// Refuses flags that have no effect on relays.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    let guards = |set: &String| set.trim_start().starts_with("guard.");
    if args.via.is_empty() || (args.allow_net.is_empty() && !args.set.iter().any(guards)) {
        return Ok(());
    }
    bail!(
        "with --via only the relays' own guards apply: leave out --allow-net and --set guard.…, and \
         configure the relays instead"
    );
}

/// Connects to the relays of `--via`.
pub(super) async fn connect(args: &Args, config: &Config) -> anyhow::Result<Relayed> {
    let engine = config.engine_config()?;
    let lane = engine.lanes.iter().find(|(name, _)| name == DEFAULT);
    let cap = lane.map_or(32 << 20, |(_, lane)| lane.response_cap);
    let config = RelayedConfig {
        relays: args.via.clone(),
        token: read_token(args.token_file.as_deref())?,
        roots: engine.extra_roots,
        concurrency: args.concurrency(),
        timeout: args.timeout.map(|timeout| timeout.0),
        cap: usize::try_from(cap).unwrap_or(usize::MAX),
        budget: usize::try_from(engine.body_budget).unwrap_or(usize::MAX),
        explain,
    };
    Relayed::connect(config).await.map_err(|error| {
        let relays = args.via.join(", ");
        anyhow!("no relay at {relays} can be used: {}", with_flags(&error))
    })
}

/// Prints a message when a relay cannot be reached, is lost or is back, until aborted.
pub(super) fn report(relays: &RelayedHandle) -> JoinHandle<()> {
    let mut watch = relays.watch();
    tokio::spawn(async move {
        while let Some(news) = watch.next().await {
            messages(&news).iter().for_each(|line| tell(line));
        }
    })
}

/// The messages about an event. A relay that is reached at the start needs none.
fn messages(news: &RelayNews) -> Vec<String> {
    let relay = &news.relay;
    let mut messages = match (&news.reached, news.first) {
        (Ok(()), true) => Vec::new(),
        (Ok(()), false) => vec![format!("the relay {relay} is back")],
        (Err(error), first) => {
            let what = if first { "can't be used" } else { "is lost" };
            vec![format!("the relay {relay} {what}: {}", with_flags(error))]
        }
    };
    if news.reached.is_err() && news.open == 0 {
        messages.push("no relay is left: fetches wait a minute for one, and then fail".to_owned());
    }
    messages
}

/// The text of a fetch's error.
fn explain(error: &Error) -> String {
    match (error.by, error.name) {
        (By::Client, _) => with_flags(error),
        (By::Relay, ErrorName::DestinationIpProhibited | ErrorName::HttpRequestDenied) => format!(
            "{} (reported by the relay, whose configuration decides, not the flags of this command)",
            error.detail
        ),
        _ => error.detail.to_string(),
    }
}

/// The text of an error of the client, with the flags of this command in place of the client's methods.
fn with_flags(error: &Error) -> String {
    let detail = error.detail.replace("Builder::token", "--token-file");
    detail.replace(
        "Builder::root_certificates_pem",
        "--set fetch.ca-file=FILE.pem",
    )
}
