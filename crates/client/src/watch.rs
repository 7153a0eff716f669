//! Reports which relays are reachable, as that changes.

use std::pin::pin;
use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;
use crate::link::Link;
use crate::queue::Queue;

/// Reports relays that are reached and relays that are lost. Returned by [`Client::watch`].
///
/// A watch reports the current state, not every change: a change that is undone before
/// [`next`](Self::next) is called is never reported. So nothing is buffered, and a slow watch delays
/// nothing. A watch does not keep its client open.
pub struct RelayWatch {
    links: Vec<Arc<Link>>,
    queue: Arc<Queue>,
    /// For each relay, whether it was reachable when last reported.
    reported: Vec<Option<bool>>,
}

/// The state of a relay, where it differs from what was last reported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayNews {
    /// The relay's URL without its query.
    pub relay: String,
    /// `Ok` if a socket to the relay is open, otherwise why none is. A session that lost its socket with
    /// fetches in flight counts as open until a dial fails or
    /// [`resume_within`](crate::Builder::resume_within) has passed.
    pub reached: Result<(), Error>,
    /// True if nothing was reported about this relay before.
    pub first: bool,
    /// Number of relays with an open socket, according to all reports so far including this one.
    pub open: usize,
}

impl std::fmt::Debug for RelayWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelayWatch({:?})", self.reported)
    }
}

impl Client {
    /// Watches which relays are reachable. A watch dials no relay itself: [`connect`](Self::connect) and
    /// fetches do.
    ///
    /// ```
    /// # use fetchway_client::Client;
    /// # use fetchway_testkit::TestNode;
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = TestNode::open(&[]);
    /// # let relay = format!("ws://{}/", node.addr());
    /// let client = Client::builder().relay(relay).build()?;
    /// let mut watch = client.watch();
    /// client.connect().await?;
    /// if let Some(news) = watch.next().await {
    ///     match news.reached {
    ///         Ok(()) => println!("{} is reachable, {} relays in all", news.relay, news.open),
    ///         Err(error) => println!("{} is not reachable: {error}", news.relay),
    ///     }
    /// }
    /// # drop(client);
    /// # node.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watch(&self) -> RelayWatch {
        let links = self.relays.links.clone();
        let relays = links.iter().map(|link| link.relay + 1).max();
        RelayWatch {
            queue: Arc::clone(&self.relays.queue),
            reported: vec![None; relays.unwrap_or(0)],
            links,
        }
    }
}

impl RelayWatch {
    /// Waits until the state of a relay differs from what was last reported. The first report of each relay
    /// comes as soon as its state is known. Returns `None` once the client is closed or its last clone is
    /// dropped. Cancel safe: dropping the future loses no report.
    pub async fn next(&mut self) -> Option<RelayNews> {
        let queue = Arc::clone(&self.queue);
        loop {
            let mut change = pin!(queue.change());
            // Enabled before the check, so that no change in between is missed.
            change.as_mut().enable();
            if self.links.first().is_none_or(|link| link.is_closed()) {
                return None;
            }
            if let Some(news) = self.take_news() {
                return Some(news);
            }
            change.await;
        }
    }

    /// Returns a relay whose state differs from what was last reported. Reachable relays come first, so
    /// that the reports never name fewer of them than there are.
    fn take_news(&mut self) -> Option<RelayNews> {
        let relays = 0..self.reported.len();
        // A relay that is being dialled, or that no fetch needs, has no known state.
        let known = relays.filter_map(|relay| Some((relay, self.state(relay)?)));
        let news = known.filter(|(relay, reached)| self.reported[*relay] != Some(reached.is_ok()));
        let (relay, reached) = news.min_by_key(|(_, reached)| reached.is_err())?;
        let before = self.reported[relay].replace(reached.is_ok());
        let mut links = self.links.iter().filter(|link| link.relay == relay);
        Some(RelayNews {
            relay: links.next()?.target.to_string(),
            reached,
            first: before.is_none(),
            open: self.reported.iter().filter(|it| **it == Some(true)).count(),
        })
    }

    /// Returns the state of a relay, as far as any of its sockets shows.
    fn state(&self, relay: usize) -> Option<Result<(), Error>> {
        let links = || self.links.iter().filter(|link| link.relay == relay);
        if links().any(Link::is_open) {
            return Some(Ok(()));
        }
        links().find_map(|link| link.trouble()).map(Err)
    }
}
