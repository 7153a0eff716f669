//! The relays of a run, as a person is told of them; and the word to them that the run is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fetchway_client::{Client, Error, RelayNews};
use tokio::task::JoinHandle;

use super::show::tell;

/// A hand on the client that a run's fetches go through.
#[derive(Clone)]
pub(super) struct Lookout {
    client: Client,
    stopped: Arc<AtomicBool>,
}

impl Lookout {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            stopped: Arc::default(),
        }
    }

    /// Tells of relays that can't be reached, are lost, and are back, until aborted.
    pub(super) fn begin(&self) -> JoinHandle<()> {
        let mut watch = self.client.watch();
        tokio::spawn(async move {
            while let Some(news) = watch.next().await {
                says(&news).iter().for_each(|line| tell(line));
            }
        })
    }

    /// What no relay has ends now; what one has goes on.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // It waits for what is under way, and so does the run.
        tokio::spawn(self.client.clone().close(Duration::MAX));
    }

    /// Whether nothing more is to be given to a relay.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// What there is to say of it. That a relay is there at the start is what everybody expects.
fn says(news: &RelayNews) -> Vec<String> {
    let relay = &news.relay;
    let mut said = match (&news.reached, news.first) {
        (Ok(()), true) => Vec::new(),
        (Ok(()), false) => vec![format!("the relay {relay} is there again")],
        (Err(error), first) => {
            let what = if first { "can't be used" } else { "is lost" };
            vec![format!("the relay {relay} {what}: {}", in_flags(error))]
        }
    };
    if news.reached.is_err() && news.open == 0 {
        said.push("no relay is there: fetches wait a minute for one, and then fail".to_owned());
    }
    said
}

/// What the client says of itself, with our flags for its methods.
pub(super) fn in_flags(error: &Error) -> String {
    let detail = error.detail.replace("Builder::token", "--token-file");
    detail.replace(
        "Builder::root_certificates_pem",
        "--set fetch.ca-file=FILE.pem",
    )
}
