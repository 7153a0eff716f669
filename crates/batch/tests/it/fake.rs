//! A performer that fetches nothing, and what to feed it with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fetchway_batch::{Done, Handover, Item, Outcomes, Performer, Request, Response};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, Timeouts};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, StatusCode};

/// What an origin does: a status and fields, or a failure.
pub(crate) type Answer = Result<(u16, HeaderMap), FetchError>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Answers by a function, and counts what is under way.
pub(crate) struct Fake {
    origin: Box<dyn Fn(&Request) -> Answering + Send + Sync>,
    /// Requests that each fetch sends: more than one stands for redirects.
    pub(crate) requests: usize,
    /// Waits before the request is handed over: a connection is opened.
    pub(crate) connect: Box<dyn Fn() -> std::time::Duration + Send + Sync>,
    pub(crate) under_way: Arc<UnderWay>,
}

#[derive(Default)]
pub(crate) struct UnderWay {
    now: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
}

impl UnderWay {
    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

struct One(Arc<UnderWay>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    pub(crate) fn new<F>(origin: impl Fn(&Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self {
            origin: Box::new(move |request| Box::pin(origin(request))),
            requests: 1,
            connect: Box::new(|| std::time::Duration::ZERO),
            under_way: Arc::default(),
        }
    }
}

impl Performer for Fake {
    type Hold = ();

    async fn perform(
        &self,
        request: &Request,
        handover: &Handover<'_>,
    ) -> Result<(Response, ()), FetchError> {
        let now = self.under_way.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.under_way.most.fetch_max(now, Ordering::SeqCst);
        self.under_way.begun.fetch_add(1, Ordering::SeqCst);
        let _one = One(Arc::clone(&self.under_way));
        let connect = (self.connect)();
        if !connect.is_zero() {
            tokio::time::sleep(connect).await;
        }
        for _ in 0..self.requests {
            while let Some(at) = handover.pass() {
                tokio::time::sleep_until(at).await;
            }
        }
        let (status, headers) = (self.origin)(request).await?;
        handover.answered();
        let response = Response {
            url: request.url.clone(),
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: Bytes::new(),
        };
        Ok((response, ()))
    }
}

/// An answer with this status and nothing else.
pub(crate) fn status(status: u16) -> Answer {
    Ok((status, HeaderMap::new()))
}

pub(crate) fn item(index: u64, url: &str) -> Item {
    Item {
        index,
        depth: 0,
        id: None,
        url: url.to_owned(),
        request: Ok(Request {
            method: Method::GET,
            url: url.parse().expect("a URL"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            lane: None,
            timeouts: Timeouts::default(),
            redirect: RedirectMode::Follow,
            decode: true,
        }),
        fingerprint: index,
    }
}

/// An item whose line makes no sense.
pub(crate) fn bad(index: u64) -> Item {
    Item {
        request: Err(FetchError::new(
            ErrorName::InvalidRequest,
            "It makes no sense.",
        )),
        ..item(index, "http://a/")
    }
}

/// So many items for one origin.
pub(crate) fn items(count: u64) -> impl futures_util::Stream<Item = Item> + Send + 'static {
    futures_util::stream::iter((0..count).map(|index| item(index, &format!("http://a/{index}"))))
}

/// All outcomes, each item's once, by index.
pub(crate) async fn all(mut outcomes: Outcomes<()>, count: u64) -> Vec<Done<()>> {
    let mut all = Vec::new();
    while let Some(done) = outcomes.next().await {
        all.push(done);
    }
    all.sort_by_key(|done| done.outcome.index);
    let indexes: Vec<u64> = all.iter().map(|done| done.outcome.index).collect();
    assert_eq!(indexes, (0..count).collect::<Vec<_>>());
    all
}
