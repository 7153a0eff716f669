//! `fetchway probe`: the same fetches directly and through a relay, side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use fetchway_report::compare::{Comparison, table, to_json};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use url::Url;

use crate::common::{one_or_more, print_result, read_token, runtime};
use crate::compare::{Way, check_relay, connect, direct, private_engine, progress, relayed};

/// Text at the end of `--help`.
const NOTES: &str = "\
A fetch is successful if its status is below 400, so a 404 counts as failed. The exit status is 1 if \
any fetch failed.

--json prints {testConfig, directFetches, wsFetches, conclusion}. Each result has totalRequests, \
successful, failed, totalTime (from the first beginning to the last end), average, p50, p95, p99, \
peakConcurrency, errors [{error, count}] and details [{req, status, success, time, error}]. Times are in \
milliseconds; average and percentiles are null where nothing was successful.";

/// Flags of `probe`.
#[derive(clap::Args)]
#[command(
    override_usage = "fetchway probe [OPTIONS] RELAY TARGET [COUNT]",
    after_help = NOTES
)]
pub(crate) struct Args {
    /// The relay, as ws://HOST:PORT or wss://HOST:PORT
    #[arg(default_value = "ws://localhost:8787")]
    relay: String,
    /// URL to fetch, http:// or https:// (required); `?req=0`, `?req=1`, … are appended
    target: Option<String>,
    /// Number of fetches each way
    #[arg(default_value = "10", value_parser = one_or_more)]
    count: usize,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Number of simultaneous direct fetches, as on a platform
    #[arg(long, value_name = "N", default_value = "6", value_parser = one_or_more)]
    direct_limit: usize,
    /// Use the binary encoding, which every relay must support, instead of JSON
    #[arg(long)]
    binary: bool,
    /// WebSockets to each relay, 1 to 64
    #[arg(long, value_name = "N", default_value = "1", value_parser = one_or_more)]
    connections: usize,
    /// Another relay that shares the fetches; may be repeated
    #[arg(long = "relay", value_name = "URL")]
    further: Vec<String>,
    /// File with the token of the relay
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File of certificates (PEM) to trust for the relay and for direct fetches
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let relay = &args.relay;
    let relays: Vec<String> = std::iter::once(relay)
        .chain(&args.further)
        .cloned()
        .collect();
    for relay in &relays {
        check_relay(relay)?;
    }
    let Some(target) = &args.target else {
        bail!(
            "no target: name the URL to fetch, as in `fetchway probe {relay} https://example.com/slow 100`"
        );
    };
    let urls = urls(target, args.count)?;
    let token = read_token(args.token_file.as_deref())?;
    let roots = args.ca_file.as_deref().map_or(Ok(Vec::new()), roots)?;
    let both = runtime()?.block_on(async {
        // The relay comes first, because the comparison needs it.
        let way = Way {
            relays: &relays,
            connections: args.connections,
            binary: args.binary,
            token: token.as_deref(),
            roots: &roots,
            count: urls.len(),
        };
        let client = connect(&way).await?;
        let bar = progress("through the relay", urls.len());
        let through = relayed(client, &urls, &bar).await?;
        bar.finish_and_clear();
        let bar = progress("direct", urls.len());
        let direct = direct(&private_engine(roots)?, urls, args.direct_limit, &bar).await;
        bar.finish_and_clear();
        anyhow::Ok(Comparison {
            relay: relays.join(" "),
            sockets: relays.len() * args.connections,
            binary: args.binary,
            target: target.clone(),
            direct_limit: args.direct_limit,
            direct,
            relayed: through,
        })
    })?;
    print_result(&if args.json {
        format!("{:#}\n", to_json(&both))
    } else {
        table(&both)
    });
    Ok(match both.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn roots(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let text = std::fs::read(path).with_context(|| format!("--ca-file {shown} can't be read"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => bail!("--ca-file {shown} holds no certificate in PEM form: name another file"),
    }
}

fn urls(target: &str, count: usize) -> anyhow::Result<Vec<Url>> {
    let url = Url::parse(target).with_context(|| {
        format!("{target} is not a valid URL: give one such as https://example.com/slow")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        bail!("{target} is not an http or https URL: give one such as https://example.com/slow");
    }
    let numbered = |req: usize| {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("req", &req.to_string());
        url
    };
    Ok((0..count).map(numbered).collect())
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
