//! The items of a batch, from the pieces of its input.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fetchway_batch::{Feed, Item};
use fetchway_policy::FetchError;
use futures_util::Stream;

use crate::lines::Failure;
use crate::order::Order;

/// The items of a batch. A line that is not a valid request becomes an item that reports the mistake.
pub(crate) struct Items<S> {
    input: S,
    feed: Feed,
    /// Item that the order does not admit yet.
    waiting: Option<Item>,
    order: Option<Order>,
    ended: bool,
    failure: Failure,
}

impl<S> Items<S> {
    /// Returns the items of `input`, whose lines may have `limit` bytes. An error of the input is stored in
    /// `failure`.
    pub(crate) fn new(input: S, limit: usize, order: Option<Order>, failure: Failure) -> Self {
        Self {
            input,
            feed: Feed::new(limit),
            waiting: None,
            order,
            ended: false,
            failure,
        }
    }
}

impl<S> Stream for Items<S>
where
    S: Stream<Item = Result<Bytes, FetchError>> + Unpin,
{
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = self.get_mut();
        loop {
            if let Some(item) = this.waiting.take().or_else(|| this.feed.next()) {
                let order = this.order.as_ref();
                if order.is_none_or(|order| order.admits(item.index, cx)) {
                    return Poll::Ready(Some(item));
                }
                this.waiting = Some(item);
                return Poll::Pending;
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.input).poll_next(cx)) {
                Some(Ok(piece)) => this.feed.push(piece),
                Some(Err(error)) => {
                    // A line that was cut off is dropped.
                    this.ended = true;
                    let _first = this.failure.set(error);
                }
                None => {
                    this.ended = true;
                    this.waiting = this.feed.finish();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fetchway_policy::ErrorName;
    use futures_util::{StreamExt as _, stream};

    use super::*;

    fn urls(pieces: Vec<Result<&'static str, FetchError>>) -> (Vec<String>, Failure) {
        let pieces = pieces.into_iter().map(|piece| piece.map(Bytes::from));
        let failure = Failure::default();
        let items = Items::new(stream::iter(pieces), 1_000, None, Failure::clone(&failure));
        let urls = items.map(|item| item.url).collect::<Vec<_>>();
        let urls = futures_util::FutureExt::now_or_never(urls);
        (urls.expect("all pieces are there"), failure)
    }

    #[test]
    fn a_last_line_counts_whole_or_not_at_all() {
        let (items, failure) = urls(vec![Ok("http://a/\nhttp"), Ok("://b/")]);
        assert_eq!(items, ["http://a/", "http://b/"]);
        assert!(failure.get().is_none());
        let error = FetchError::new(ErrorName::LimitExceeded, "no more");
        let (items, failure) = urls(vec![Ok("http://a/\nhttp://b/cut"), Err(error)]);
        assert_eq!(items, ["http://a/"]);
        let failure = failure.get().map(|error| error.name);
        assert_eq!(failure, Some(ErrorName::LimitExceeded));
    }
}
