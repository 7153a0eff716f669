//! A run: items in, outcomes out. A thin driver around `dispatch`.
//!
//! A worker is a task that performs a fetch, and then the next that is due, until none is: at full speed
//! nothing is spawned or woken for an item beside its own connection. Whoever finds that more is due, be it the
//! reader, the timer or a worker, starts further ones. All of it ends when the last outcome is given, or
//! when the outcomes are dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use fetchway_policy::{Rate, RetryPolicy};
use futures_util::Stream;
use tokio::task::JoinSet;

use crate::dispatch::Dispatch;
use crate::follow::Follow;
use crate::item::Item;
use crate::outbox::Outbox;
use crate::outcome::Outcome;
use crate::perform::Performer;
use crate::progress::{Adaptive, Progress};
use crate::shared::{OnSent, Shared};
use crate::strict::{MAX_STRICT, Strict};
use crate::worker::{Desk, Tasks, read, time};

/// Refusals (429) that an item of an adaptive run may meet beside its tries: the run itself provokes them.
/// Bounded, as some origins refuse for a day.
const SPARED: u32 = 8;

/// How a run is to be.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunConfig {
    /// Requests in each window, evenly; none: as fast as they go.
    pub rate: Option<Rate>,
    /// No window of the rate, wherever it begins, holds more requests than it says. The schedule is
    /// slower for it, by 5 ms in each window, and a window has [`MAX_STRICT`] requests at most.
    pub strict: bool,
    /// The highest rate that each origin bears is searched for, from a modest one on. `rate` is then the most
    /// of the whole run.
    pub adaptive: bool,
    /// Fetches under way at once, each until its outcome is taken.
    pub concurrency: usize,
    /// When and how often a fetch is tried again.
    pub retry: RetryPolicy,
    /// The longest that an origin may have the run wait for it (`Retry-After`).
    pub wait_cap: Duration,
    /// Told of each request as it is handed to its connection.
    pub on_sent: Option<OnSent>,
    /// Where responses name pages that are to be fetched too; only of items whose method is GET. Each has
    /// an outcome of its own, with the item's `index` and its `depth`, after that of the page before it.
    pub follow: Option<Follow>,
    /// Pages of one item at most, the item itself not counted.
    pub follow_most: u32,
}

impl std::fmt::Debug for RunConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunConfig")
            .field("rate", &self.rate)
            .field("strict", &self.strict)
            .field("adaptive", &self.adaptive)
            .field("concurrency", &self.concurrency)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            rate: None,
            strict: false,
            adaptive: false,
            concurrency: 64,
            retry: RetryPolicy::default(),
            wait_cap: Duration::from_secs(60),
            on_sent: None,
            follow: None,
            follow_most: 1_000,
        }
    }
}

/// An outcome, with what keeps room for it.
#[derive(Debug)]
pub struct Done<H> {
    /// What became of an item.
    pub outcome: Outcome,
    /// Dropped when the outcome is no longer in memory.
    pub hold: Option<H>,
}

/// The outcomes of a run, in the order in which they come. Dropped, they end the run and all that is
/// under way.
pub struct Outcomes<H> {
    outbox: Arc<Outbox<H>>,
    shared: Arc<Shared>,
    /// As many are worth waking a thread for, or those that there are after so long.
    gather: (usize, Duration),
    tasks: Arc<Tasks>,
}

/// A hand on a run. It keeps nothing running.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// Nothing more is sent; what is in flight is finished. What had not been sent, or was to be sent
    /// again, or fails with `cancelled` from now on, has no outcome.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// When it began: microseconds since the Unix epoch.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.0.clock.epoch(Duration::ZERO)
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress::of(&self.0.state(), self.0.clock.now())
    }

    /// The rates found, of an adaptive run.
    #[must_use]
    pub fn adaptive(&self) -> Option<Adaptive> {
        self.0.state().dispatch.origins.found()
    }
}

/// Runs `items`: each, and each page that follows, gets one outcome, unless the run is stopped or its outcomes dropped.
///
/// What holds up what: outcomes that are not taken keep their places in flight, so that the run waits;
/// a run that waits does not read its items.
///
/// # Panics
/// Outside a tokio runtime with a timer.
pub fn run<P: Performer>(
    config: &RunConfig,
    items: impl Stream<Item = Item> + Send + 'static,
    performer: P,
) -> (Outcomes<P::Hold>, Handle) {
    let strict = config.rate.filter(|_| config.strict).map(|rate| Rate {
        count: rate.count.min(MAX_STRICT),
        ..rate
    });
    let schedule = strict.map(Strict::schedule).or(config.rate);
    let shared = Arc::new(Shared::new(
        Dispatch::new(schedule, config.concurrency).adaptive(config.adaptive),
        strict.map(Strict::new),
        config.on_sent.clone(),
    ));
    let outbox = Arc::new(Outbox::new());
    shared.state().dispatch.follows = config.follow.is_some();
    let tasks: Arc<Tasks> = Arc::new(Mutex::new(Some(JoinSet::new())));
    let desk = Arc::new(Desk {
        shared: Arc::clone(&shared),
        performer,
        retry: config.retry,
        spared: if config.adaptive { SPARED } else { 0 },
        wait_cap: config.wait_cap,
        outbox: Arc::clone(&outbox),
        follow: config.follow.clone(),
        follow_most: config.follow_most,
        tasks: Arc::clone(&tasks),
    });
    {
        let mut tasks = Shared::lock(&tasks);
        let tasks = tasks.get_or_insert_default();
        tasks.spawn(Box::pin(read(Arc::clone(&desk), items)));
        tasks.spawn(time(desk));
    }
    let outcomes = Outcomes {
        outbox,
        shared: Arc::clone(&shared),
        // Without a rate, places that wait are fetches that are not begun.
        gather: match schedule {
            Some(_) => (config.concurrency.clamp(1, 64), Duration::from_millis(1)),
            None => (
                (config.concurrency / 4).clamp(1, 64),
                Duration::from_micros(300),
            ),
        },
        tasks,
    };
    (outcomes, Handle(shared))
}

impl<H> Outcomes<H> {
    /// Waits for outcomes, up to a millisecond longer if there are only a few, and appends those that there are
    /// to `into`: none when the run is over. They keep their places in flight until what is returned is
    /// dropped. Blocks.
    pub fn wait(&mut self, into: &mut Vec<Done<H>>) -> Places {
        let before = into.len();
        self.outbox.wait(into, self.gather);
        Places {
            shared: Arc::clone(&self.shared),
            count: into.len() - before,
        }
    }
}

/// Places in flight, of outcomes that are being written. Dropped, they are free for others.
#[must_use = "the places are free when this is dropped"]
pub struct Places {
    shared: Arc<Shared>,
    count: usize,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Places({})", self.count)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.shared.taken(self.count);
    }
}

impl<H> std::fmt::Debug for Outcomes<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outcomes")
    }
}

/// An outcome gives its place in flight back as it is taken.
impl<H> Stream for Outcomes<H> {
    type Item = Done<H>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done<H>>> {
        let next = self.outbox.poll_next(cx);
        if matches!(next, Poll::Ready(Some(_))) {
            self.shared.taken(1);
        }
        next
    }
}

impl<H> Drop for Outcomes<H> {
    fn drop(&mut self) {
        // Taken, so that a worker that runs at this moment starts no others.
        let tasks = Shared::lock(&self.tasks).take();
        drop(tasks);
    }
}
