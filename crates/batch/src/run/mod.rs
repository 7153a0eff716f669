//! A run: items in, outcomes out. A thin driver around [`fetchway_dispatch`].
//!
//! `reader` offers items to the dispatch, `driver` sends what is due, `attempt` judges each try that
//! has ended, and `outbox` holds the outcomes. `perform` and `handover` are the interface to whatever performs
//! the fetches. All of it shares the state in `shared`, and ends when the last outcome is given or the outcomes
//! are dropped.

mod attempt;
mod clock;
mod config;
mod driver;
mod fetch;
mod handle;
mod handover;
mod outbox;
mod perform;
mod progress;
mod reader;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use fetchway_dispatch::{Dispatch, DispatchConfig, StrictWindow};
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::item::Item;
use attempt::Rules;
use driver::{Driver, Tasks};
use outbox::Outbox;
use shared::Shared;

pub use config::{DEFAULT_RETRIES, RunConfig, RunSettings};
pub use handle::{Handle, Outcomes, Places};
pub use handover::Handover;
pub use perform::Performer;
pub use progress::Progress;
pub use shared::{OnSent, Sent};

/// Refusals (429) that an item of an adaptive run may meet beside its tries, because the run itself provokes
/// them. Bounded, because some origins refuse for a day.
const SPARED: u32 = 8;

/// Most outcomes that are worth waiting for before a thread is woken to write them.
const GATHER: usize = 64;
/// Longest wait for these outcomes, with a rate and without. Without one, places that wait are fetches that do
/// not begin.
const GATHER_PACED: Duration = Duration::from_millis(1);
const GATHER_UNPACED: Duration = Duration::from_micros(300);

/// Runs `items`: each item, and each page that follows it, gets one outcome, unless the run is stopped or its
/// outcomes are dropped.
///
/// Outcomes that are not taken keep their places in flight, so the run waits; a run that waits does not read
/// its items.
///
/// # Panics
/// Outside a tokio runtime with a timer.
pub fn run<P: Performer>(
    config: &RunConfig,
    items: impl Stream<Item = Item> + Send + 'static,
    performer: P,
) -> (Outcomes<P::Hold>, Handle) {
    let strict = config.rate.filter(|_| config.strict).map(StrictWindow::new);
    let rate = strict
        .as_ref()
        .map(StrictWindow::schedule_rate)
        .or(config.rate);
    let dispatch = Dispatch::new(DispatchConfig {
        rate,
        concurrency: config.concurrency,
        adaptive: config.adaptive,
        chains: config.follow.is_some(),
    });
    let shared = Arc::new(Shared::new(dispatch, strict, config.on_sent.clone()));
    let outbox = Arc::new(Outbox::new());
    let tasks: Arc<Tasks> = Arc::new(Mutex::new(Some(JoinSet::new())));
    let driver = Arc::new(Driver {
        shared: Arc::clone(&shared),
        performer,
        rules: Rules {
            retry: config.retry,
            spared: if config.adaptive { SPARED } else { 0 },
            wait_cap: config.wait_cap,
            follow: config.follow.clone(),
            follow_most: config.follow_most,
        },
        outbox: Arc::clone(&outbox),
        tasks: Arc::clone(&tasks),
    });
    {
        let mut tasks = tasks.lock();
        let tasks = tasks.get_or_insert_default();
        tasks.spawn(Box::pin(reader::read(Arc::clone(&driver), items)));
        tasks.spawn(driver::run_timer(driver));
    }
    let outcomes = Outcomes {
        outbox,
        shared: Arc::clone(&shared),
        gather: match rate {
            Some(_) => (config.concurrency.clamp(1, GATHER), GATHER_PACED),
            None => ((config.concurrency / 4).clamp(1, GATHER), GATHER_UNPACED),
        },
        tasks,
    };
    (outcomes, Handle(shared))
}
