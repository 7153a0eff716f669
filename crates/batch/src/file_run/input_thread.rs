//! The thread that reads items, and leaves out those that are done or not wanted. If pages are followed, an item
//! that is done is replaced by its next page.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::{io, thread};

use fetchway_policy::FetchError;
use futures_util::Stream;
use tokio::sync::mpsc;

use crate::error::BatchError;
use crate::input::Input;
use crate::item::Item;
use crate::journal::{DoneItems, Window};

/// Items that are sent on together, if the run does not wait for them: a wake-up is worth many.
const CHUNK: usize = 64;
/// Most chunks on their way.
const CHUNKS: usize = 8;

/// Called for each bad line that is skipped, with the number of those before.
pub(super) type OnSkipped = Box<dyn Fn(u64, &FetchError) + Send>;

/// Which items to leave out, and their order.
pub(super) struct Selection {
    /// Items of an earlier run.
    pub(super) done: Option<DoneItems>,
    /// Leave out lines that are not valid requests.
    pub(super) skip_bad: bool,
    /// Called for each of these lines, with the number of those before.
    pub(super) on_skipped: OnSkipped,
    /// Keeps the output in order.
    pub(super) window: Option<Window>,
}

/// Progress of reading the input.
#[derive(Default)]
pub(super) struct Reading {
    /// Number of lines that were left out.
    pub(super) skipped: AtomicU64,
    /// Reason why reading ended too soon.
    pub(super) failed: OnceLock<BatchError>,
}

/// Reads `input` on a thread of its own, which ends with the stream, or when the stream is dropped.
pub(super) fn start(input: Input, selection: Selection) -> io::Result<(Items, Arc<Reading>)> {
    // The next item of a file is there at once. The next item of a pipe may come in an hour, so no item waits for
    // it.
    let (chunk, chunks) = match input.progress().total() {
        Some(_) => (CHUNK, CHUNKS),
        None => (1, CHUNK * CHUNKS),
    };
    let (to, from) = mpsc::channel(chunks);
    let reading = Arc::new(Reading::default());
    let items = Items {
        from,
        chunk: Vec::new().into_iter(),
    };
    let of_thread = Arc::clone(&reading);
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            guarded(&of_thread, || {
                read(input, &selection, &of_thread, &to, chunk);
            });
        })?;
    Ok((items, reading))
}

/// Reads, and notes a panic, which would look like the end of the input. The items end only after this.
fn guarded(reading: &Reading, read: impl FnOnce()) {
    // Everything that a panic leaves half-way is dropped.
    if catch_unwind(AssertUnwindSafe(read)).is_err() {
        let _first = reading.failed.set(BatchError::new(
            "the thread for the input has panicked, which is a bug of fetchway: items after those that have a \
             line were not fetched",
        ));
    }
}

fn read(
    input: impl Iterator<Item = Result<Item, BatchError>>,
    selection: &Selection,
    reading: &Reading,
    to: &mpsc::Sender<Vec<Item>>,
    most: usize,
) {
    let mut chunk = Vec::new();
    let highest = selection.done.as_ref().and_then(DoneItems::highest);
    let after = highest.unwrap_or_default();
    for item in input {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                let _first = reading.failed.set(error);
                break;
            }
        };
        let left = match &selection.done {
            Some(done) => done.next_of(item),
            None => Some(item),
        };
        let Some(item) = left else { continue };
        if selection.skip_bad
            && item.depth == 0
            && let Err(error) = &item.request
        {
            let before = reading.skipped.fetch_add(1, Ordering::Relaxed);
            (selection.on_skipped)(before, error);
            continue;
        }
        if let Some(window) = &selection.window {
            // Its line would come after theirs.
            if item.index < after {
                let _first = reading.failed.set(BatchError::new(format!(
                    "item {} has no line and later items have one, so the output was written without --ordered and \
                     can't be resumed in order: leave out --ordered",
                    item.index
                )));
                break;
            }
            if !window.admit(item.index) {
                break;
            }
        }
        chunk.push(item);
        // The window may wait for an item in this chunk, and so may the run, if it has no other.
        let waited_for = selection.window.is_some() || to.capacity() == to.max_capacity();
        if (waited_for || chunk.len() >= most)
            && to.blocking_send(std::mem::take(&mut chunk)).is_err()
        {
            return;
        }
    }
    if !chunk.is_empty() {
        // Either it is taken, or nobody wants it any more.
        let _ = to.blocking_send(chunk);
    }
}

/// The items as a stream.
pub(super) struct Items {
    from: mpsc::Receiver<Vec<Item>>,
    chunk: std::vec::IntoIter<Item>,
}

impl Stream for Items {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            if let Some(item) = self.chunk.next() {
                return Poll::Ready(Some(item));
            }
            match ready!(self.from.poll_recv(cx)) {
                Some(chunk) => self.chunk = chunk.into_iter(),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_no_end_of_the_input() {
        let (to, mut from) = mpsc::channel(1);
        let reading = Reading::default();
        let selection = Selection {
            done: None,
            skip_bad: false,
            on_skipped: Box::new(|_, _| {}),
            window: None,
        };
        let input = std::iter::from_fn(|| panic!("as a fault would"));
        guarded(&reading, || read(input, &selection, &reading, &to, 1));
        drop(to);
        assert!(from.blocking_recv().is_none());
        let why = reading.failed.get().map(ToString::to_string);
        assert!(why.is_some_and(|why| why.contains("has panicked")));
    }
}
