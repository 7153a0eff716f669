//! `fetchway demo`: a slow origin and a node in this process, fetched from directly and through the node.

use std::process::ExitCode;

use anyhow::Context as _;
use fetchway_node::{Layers, Node};
use fetchway_report::compare::{Comparison, paragraph, table};
use fetchway_test_origins::TestOrigin;
use url::Url;

use crate::common::{one_or_more, print_result, runtime};
use crate::compare::{Way, connect, direct, private_engine, progress, relayed};

/// Number of fetches each way: nine rounds of six.
const COUNT: usize = 54;
/// Number of simultaneous connections that platforms allow.
const SLOTS: usize = 6;
/// Time that the origin takes to answer, in milliseconds.
const DELAY: u64 = 1000;

/// Flags of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of fetches each way
    #[arg(long, default_value_t = COUNT, value_parser = one_or_more)]
    count: usize,
    /// Time that the origin takes to answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = DELAY)]
    delay: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let both = runtime()?.block_on(compare(args))?;
    print_result(&table(&both));
    if both.is_good() {
        print_result(&paragraph(
            "Every body was checked. Next: `fetchway serve`, and the README's first real use.",
        ));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

async fn compare(args: &Args) -> anyhow::Result<Comparison> {
    let origin = TestOrigin::builder().start()?;
    let loaded = Layers::new()
        .flag("demo", "listen", "127.0.0.1:0")
        .flag("demo", "admin.enabled", false)
        .flag("demo", "guard.allow-net", vec!["127.0.0.0/8"])
        .load()?;
    let node = Node::start(&loaded)?;
    let addr = node
        .addr()
        .context("the demo's node has no main listener")?;
    let relay = format!("ws://{addr}/");
    let target = origin.url(&format!("/delay?ms={}", args.delay));
    let intro = paragraph(&format!(
        "An origin that answers after {} ms, and {} fetches of it: {SLOTS} at a time, as a serverless \
         platform allows, then all at once over one WebSocket to a fetchway node.",
        args.delay, args.count
    ));
    print_result(&format!("\n{intro}\n"));
    let urls = (0..args.count)
        .map(|req| Url::parse(&format!("{target}&req={req}")))
        .collect::<Result<Vec<_>, _>>()?;
    let bar = progress("direct, six slots", urls.len());
    let direct = direct(&private_engine(Vec::new())?, urls.clone(), SLOTS, &bar).await;
    bar.finish_and_clear();
    let bar = progress("one WebSocket", urls.len());
    let way = Way {
        relays: std::slice::from_ref(&relay),
        connections: 1,
        binary: false,
        token: None,
        roots: &[],
        count: urls.len(),
    };
    let relayed = relayed(connect(&way).await?, &urls, &bar).await?;
    bar.finish_and_clear();
    node.stop().await;
    Ok(Comparison {
        relay,
        sockets: 1,
        binary: false,
        target,
        direct_limit: SLOTS,
        direct,
        relayed,
    })
}
