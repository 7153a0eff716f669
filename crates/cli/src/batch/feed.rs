//! The input's thread: reads items, leaves out what is done or not wanted, and hands on the rest, of an
//! item whose pages are followed the one that is to come.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::thread;

use anyhow::Context as _;
use fetchway_batch::{DoneItems, Input, InputError, Item, Window};
use futures_util::Stream;
use tokio::sync::mpsc;

use super::show::tell;

/// Items handed on at once, when they are not waited for: a wake-up is worth many.
const CHUNK: usize = 64;
/// Chunks on their way.
const CHUNKS: usize = 8;
/// Lines that are left out and told of; further ones are only counted.
const TOLD: u64 = 10;

/// What to leave out, and in which order to hand on.
pub(super) struct Choice {
    /// Those of an earlier run.
    pub(super) done: Option<DoneItems>,
    /// Lines that are no requests.
    pub(super) skip_bad: bool,
    /// Keeps the output in order.
    pub(super) window: Option<Window>,
}

/// What is known of the reading.
#[derive(Default)]
pub(super) struct Account {
    /// Items found done by an earlier run.
    pub(super) done: AtomicU64,
    /// Lines that were left out.
    pub(super) skipped: AtomicU64,
    /// Why it ended too soon.
    pub(super) failed: OnceLock<Ended>,
}

/// Why no more is read, though there may be more.
#[derive(Debug)]
pub(super) enum Ended {
    Input(InputError),
    Panicked,
    /// An item that comes before one that the output has.
    Disorder(u64),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::Panicked => f.write_str(
                "the input's thread has panicked, which is a fault of fetchway: items after those that \
                 have a line were not fetched",
            ),
            Self::Disorder(index) => write!(
                f,
                "item {index} has no line and later items have one, so the output was written without \
                 --ordered and can't be gone on with in order: leave it out"
            ),
        }
    }
}

/// Reads `input` on a thread of its own, which ends with the stream, or when the stream is dropped.
pub(super) fn start(input: Input, choice: Choice) -> anyhow::Result<(Items, Arc<Account>)> {
    // Of a file the next item is there at once. What is written into a pipe may come in an hour, so nothing
    // waits for that.
    let (chunk, chunks) = match input.progress().total() {
        Some(_) => (CHUNK, CHUNKS),
        None => (1, CHUNK * CHUNKS),
    };
    let (to, from) = mpsc::channel(chunks);
    let account = Arc::new(Account::default());
    let items = Items {
        from,
        chunk: Vec::new().into_iter(),
    };
    let of_thread = Arc::clone(&account);
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || told(&of_thread, || read(input, &choice, &of_thread, &to, chunk)))
        .context("the input's thread can't be started")?;
    Ok((items, account))
}

/// Reads, and tells if that panics: it would look like the input's end. The items end only after this.
fn told(account: &Account, read: impl FnOnce()) {
    // What it leaves behind half-way is dropped.
    if catch_unwind(AssertUnwindSafe(read)).is_err() {
        let _first = account.failed.set(Ended::Panicked);
    }
}

fn read(
    input: impl Iterator<Item = Result<Item, InputError>>,
    choice: &Choice,
    account: &Account,
    to: &mpsc::Sender<Vec<Item>>,
    most: usize,
) {
    let mut chunk = Vec::new();
    let highest = choice.done.as_ref().and_then(DoneItems::highest);
    let after = highest.unwrap_or_default();
    for item in input {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                let _first = account.failed.set(Ended::Input(error));
                break;
            }
        };
        let rest = match &choice.done {
            Some(done) => done.rest(item),
            None => Some(item),
        };
        let Some(item) = rest else {
            account.done.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        if choice.skip_bad
            && item.depth == 0
            && let Err(error) = &item.request
        {
            let before = account.skipped.fetch_add(1, Ordering::Relaxed);
            if before < TOLD {
                tell(&format!("skipped: {}", error.detail));
            } else if before == TOLD {
                tell("further bad lines are skipped, and only counted");
            }
            continue;
        }
        if let Some(window) = &choice.window {
            // Its line would come after those.
            if item.index < after {
                let _first = account.failed.set(Ended::Disorder(item.index));
                break;
            }
            if !window.admit(item.index) {
                break;
            }
        }
        chunk.push(item);
        // The window may wait for what is in here; and so may the run, if it has nothing else.
        let waited_for = choice.window.is_some() || to.capacity() == to.max_capacity();
        if (waited_for || chunk.len() >= most)
            && to.blocking_send(std::mem::take(&mut chunk)).is_err()
        {
            return;
        }
    }
    if !chunk.is_empty() {
        // Nobody wants it any more, or it is taken.
        let _ = to.blocking_send(chunk);
    }
}

/// The items, one by one.
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
        let account = Account::default();
        let choice = Choice {
            done: None,
            skip_bad: false,
            window: None,
        };
        let input = std::iter::from_fn(|| panic!("as a fault would"));
        told(&account, || read(input, &choice, &account, &to, 1));
        drop(to);
        assert!(from.blocking_recv().is_none());
        let why = account.failed.get().map(ToString::to_string);
        assert!(why.is_some_and(|why| why.contains("has panicked")));
    }
}
