//! The same fetches, all at once over one WebSocket.

use std::time::Instant;

use anyhow::Context;
use fetchway_wire::json::{ClientRequest, ClientResponse};
use indicatif::ProgressBar;
use url::Url;

use super::client::Client;
use super::sample::{Sample, Samples};

/// Sends every fetch at once and takes the answers as they come.
pub(crate) async fn relayed(
    client: Client,
    urls: &[Url],
    bar: &ProgressBar,
) -> anyhow::Result<Samples> {
    let mut messages = Vec::with_capacity(urls.len());
    for (req, url) in urls.iter().enumerate() {
        let request = ClientRequest {
            id: req as u64,
            url: url.as_str(),
            ..ClientRequest::default()
        };
        messages.push(serde_json::to_string(&request)?);
    }
    let began = Instant::now();
    let mut samples: Vec<Option<Sample>> = vec![None; urls.len()];
    let mut missing = urls.len();
    if missing == 0 {
        return Ok(Samples::default());
    }
    client
        .exchange(messages, |message| {
            let answer: ClientResponse = serde_json::from_slice(message)
                .context("the relay's answer is not the JSON that was agreed")?;
            let req = answer.id.as_u64().and_then(|id| usize::try_from(id).ok());
            let slot = req.and_then(|req| samples.get_mut(req));
            let (Some(req), Some(slot)) = (req, slot) else {
                anyhow::bail!(
                    "the relay answered a request that was not made: {}",
                    answer.id
                );
            };
            let outcome = match answer.error {
                Some(error) => Err(format!(
                    "{error} ({})",
                    answer.error_code.unwrap_or_default()
                )),
                None => Ok((answer.status, answer.body.as_bytes())),
            };
            if slot.replace(Sample::of(req, began, outcome)).is_some() {
                anyhow::bail!("the relay answered request {req} twice");
            }
            bar.inc(1);
            missing -= 1;
            Ok(missing == 0)
        })
        .await?;
    Ok(Samples(samples.into_iter().flatten().collect()))
}
