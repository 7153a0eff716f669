//! Which relays can be used, told as it changes.

use std::pin::pin;
use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;
use crate::link::Link;
use crate::queue::{Queue, enrol};

/// Tells of relays that are reached, and of those that are lost. Of [`Client::watch`].
///
/// It tells how things are and not each change: what comes and goes while nobody asks is not told
/// afterwards, so nothing is kept and nobody is held up. It keeps no client open.
pub struct RelayWatch {
    links: Vec<Arc<Link>>,
    queue: Arc<Queue>,
    /// Of each relay, whether it was reached when it was told of last.
    told: Vec<Option<bool>>,
}

/// How a relay is, where that is not what was told of it before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayNews {
    /// The relay's URL without its query.
    pub relay: String,
    /// A socket to it is open, or why none is. A session that has lost its socket with fetches under way
    /// counts as open until a dial has failed, or [`resume_within`](crate::Builder::resume_within) is
    /// over.
    pub reached: Result<(), Error>,
    /// Nothing was told of this relay before.
    pub first: bool,
    /// Relays with an open socket, by all that was told so far, this included.
    pub open: usize,
}

impl std::fmt::Debug for RelayWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelayWatch({:?})", self.told)
    }
}

impl Client {
    /// Watches which of the relays can be used. Watching dials none: they are dialled by
    /// [`connect`](Self::connect), and as fetches need them.
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
    ///         Ok(()) => println!("{} is there, of {} in all", news.relay, news.open),
    ///         Err(error) => println!("{} can't be used: {error}", news.relay),
    ///     }
    /// }
    /// # drop(client);
    /// # node.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watch(&self) -> RelayWatch {
        let links = self.inner.links.clone();
        let relays = links.iter().map(|link| link.relay + 1).max();
        RelayWatch {
            queue: Arc::clone(&self.inner.queue),
            told: vec![None; relays.unwrap_or(0)],
            links,
        }
    }
}

impl RelayWatch {
    /// Waits for news of a relay; the first of each is how it is as soon as that is known. `None` when
    /// the client is closed, or its last clone gone. Dropped, it loses nothing.
    pub async fn next(&mut self) -> Option<RelayNews> {
        let queue = Arc::clone(&self.queue);
        loop {
            let mut change = pin!(queue.change());
            enrol(change.as_mut());
            if self.links.first().is_none_or(|link| link.is_closed()) {
                return None;
            }
            if let Some(news) = self.look() {
                return Some(news);
            }
            change.await;
        }
    }

    /// A relay that is not as it was told. Those that are reached come first: so what is told never has
    /// fewer of them than there are.
    fn look(&mut self) -> Option<RelayNews> {
        let relays = 0..self.told.len();
        // Nothing is known of one that is being dialled, or needed no more.
        let known = relays.filter_map(|relay| Some((relay, self.state(relay)?)));
        let news = known.filter(|(relay, reached)| self.told[*relay] != Some(reached.is_ok()));
        let (relay, reached) = news.min_by_key(|(_, reached)| reached.is_err())?;
        let before = self.told[relay].replace(reached.is_ok());
        let mut links = self.links.iter().filter(|link| link.relay == relay);
        Some(RelayNews {
            relay: links.next()?.target.to_string(),
            reached,
            first: before.is_none(),
            open: self.told.iter().filter(|told| **told == Some(true)).count(),
        })
    }

    /// How a relay is, as far as any of its sockets tells.
    fn state(&self, relay: usize) -> Option<Result<(), Error>> {
        let links = || self.links.iter().filter(|link| link.relay == relay);
        if links().any(Link::is_open) {
            return Some(Ok(()));
        }
        links().find_map(|link| link.trouble()).map(Err)
    }
}
