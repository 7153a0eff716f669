//! The task that reads the items of a run while there is room for them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use fetchway_dispatch::Pending;
use futures_util::Stream;

use super::driver::{Driver, PanicGuard};
use super::fetch::Fetch;
use super::perform::Performer;
use crate::item::Item;
use crate::outcome::{Done, Outcome, Timing};

/// Reads items while there is room for them, until they end or the run is stopped.
pub(crate) async fn read<P: Performer>(
    driver: Arc<Driver<P>>,
    items: impl Stream<Item = Item> + Send,
) {
    let shared = &driver.shared;
    let _guard = PanicGuard {
        shared,
        in_flight: 0,
    };
    let mut items = pin!(items);
    let mut batch: Vec<Item> = Vec::new();
    loop {
        let room = {
            let mut state = shared.state();
            if state.dispatch.is_stopped() {
                return;
            }
            let room = state.dispatch.room();
            state.reader_waits = room == 0;
            room
        };
        if room == 0 {
            shared.room.notified().await;
            continue;
        }
        // All items that are there are taken at once, under one lock.
        let gathered = poll_fn(|cx| {
            while batch.len() < room {
                match items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(item)) => batch.push(item),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending if batch.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(false)
        });
        let ended = tokio::select! {
            ended = gathered => ended,
            // Stopped.
            () = shared.room.notified() => continue,
        };
        offer(&driver, &mut batch);
        if ended {
            shared.state().dispatch.handle_input_end();
            shared.timer.notify_one();
            return;
        }
    }
}

/// Hands items to the dispatch; those that are invalid have their outcome at once.
fn offer<P: Performer>(driver: &Arc<Driver<P>>, batch: &mut Vec<Item>) {
    let shared = &driver.shared;
    let mut state = shared.state();
    let now = shared.clock.now();
    for item in batch.drain(..) {
        state.tally.read += 1;
        match item.request {
            Ok(request) => {
                let fetch = Pending::new(Fetch {
                    index: item.index,
                    depth: item.depth,
                    id: item.id,
                    url: item.url,
                    fingerprint: item.fingerprint,
                    request,
                    attempts: 0,
                    refusals: 0,
                });
                let limits = |fetch: &Fetch| driver.performer.limits(&fetch.request.url);
                state.dispatch.handle_item(fetch, now, limits);
            }
            Err(error) => {
                let outcome = Outcome {
                    index: item.index,
                    depth: item.depth,
                    id: item.id,
                    fingerprint: item.fingerprint,
                    url: item.url,
                    result: Err(error),
                    next: None,
                    attempts: 0,
                    timing: Timing {
                        end: shared.clock.epoch(now),
                        ..Timing::default()
                    },
                };
                state.dispatch.handle_unsendable(now);
                let hold = None;
                driver.give(&mut state, Done { outcome, hold }, false);
            }
        }
    }
    driver.start_due(&mut state);
}
