//! `fetchway probe`: the same fetches directly and through a relay, side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use url::Url;

use crate::compare::{
    Client, Comparison, RelayUrl, direct, json, private_engine, progress, relayed, table,
};
use crate::runtime;

/// Flags of `probe`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The relay
    #[arg(default_value = "ws://localhost:8787")]
    relay: String,
    /// The URL to fetch; `?req=0`, `?req=1`, … are appended
    target: Option<String>,
    /// How many fetches each way
    #[arg(default_value_t = 10)]
    count: usize,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Direct fetches at a time, as a platform would allow
    #[arg(long, value_name = "N", default_value_t = 6)]
    direct_limit: usize,
    /// The relay's token, in a file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let relay = RelayUrl::parse(&args.relay)?;
    let Some(target) = &args.target else {
        bail!(
            "no target: name the URL to fetch, as in `fetchway probe {relay} https://example.com/slow 100`"
        );
    };
    let urls = urls(target, args.count)?;
    let token = args.token_file.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("the token file {} could not be read", path.display()))
    });
    let token = token.transpose()?;
    let both = runtime()?.block_on(async {
        // The relay first: without one, nothing else is worth waiting for.
        let client = Client::connect(&relay, token.as_deref().map(str::trim)).await?;
        let bar = progress("one WebSocket", urls.len());
        let through = relayed(client, &urls, &bar).await?;
        bar.finish_and_clear();
        let bar = progress("direct", urls.len());
        let direct = direct(&private_engine()?, urls, args.direct_limit, &bar).await;
        bar.finish_and_clear();
        anyhow::Ok(Comparison {
            relay: relay.to_string(),
            target: target.clone(),
            direct_limit: args.direct_limit,
            direct,
            relayed: through,
        })
    })?;
    say(&if args.json {
        format!("{:#}\n", json(&both))
    } else {
        table(&both)
    });
    Ok(if both.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn urls(target: &str, count: usize) -> anyhow::Result<Vec<Url>> {
    let url = Url::parse(target)
        .with_context(|| format!("{target} is no URL: give one like https://example.com/slow"))?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{target} is no http or https URL");
    }
    let numbered = |req: usize| {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("req", &req.to_string());
        url
    };
    Ok((0..count).map(numbered).collect())
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn say(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_appended_to_any_query() {
        let all = |target| {
            urls(target, 2)
                .unwrap()
                .iter()
                .map(Url::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(all("http://h/x"), ["http://h/x?req=0", "http://h/x?req=1"]);
        assert_eq!(
            all("http://h/x?ms=5"),
            ["http://h/x?ms=5&req=0", "http://h/x?ms=5&req=1"]
        );
        assert!(urls("ftp://h/", 1).is_err());
    }
}
