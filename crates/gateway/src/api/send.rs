//! Requests to the API through the fetch engine: a client's GET, its DELETE, and messages that cannot go
//! over the reactor's own connections, with retries. Nothing else in this crate performs fetches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_fetch::{
    Account, AccountConfig, AccountLimits, Direct, Engine, FetchRequest, Network, RequestBody,
};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, retry};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response};
use tokio::time::Instant;
use url::Url;

use super::call::Unanswered;
use super::item::{Client, Item, connection_name, mark};
use super::reply::Reply;
use crate::config::{Config, Delivery};
use crate::stats::add;
use crate::telemetry::Telemetry;

/// The pause after a first try that failed. Each further one is twice as long, up to the longest, less a
/// random part.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The API of one gateway.
pub(crate) struct Api {
    /// One for each reactor, and a last one for what no reactor does.
    accounts: Vec<Account>,
    lane: usize,
    base: Url,
    /// Begins the names of connections, so that those of two gateways differ.
    salt: u32,
    delivery: Delivery,
    queue_timeout: Duration,
    telemetry: Arc<Telemetry>,
}

impl Api {
    /// Prepares requests to `config.api`, for clients that so many reactors serve. `network` is to give a
    /// new network each time.
    ///
    /// # Errors
    /// `invalid_request` for an unknown lane or an API URL that cannot work.
    pub(crate) fn new(
        config: &Config,
        engine: &Engine,
        network: impl Fn() -> Arc<Network>,
        reactors: usize,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, FetchError> {
        let unlimited = AccountConfig {
            limits: AccountLimits {
                in_flight: usize::MAX,
                queued: usize::MAX,
                queued_bytes: usize::MAX,
            },
            bodies: u64::MAX,
        };
        let accounts = (0..=reactors).map(|_| Account::open(engine, network(), unlimited));
        Ok(Self {
            lane: engine.lane(config.lane.as_deref())?,
            accounts: accounts.collect(),
            base: base(&config.api)?,
            salt: rand::random(),
            delivery: config.delivery,
            queue_timeout: config.queue_timeout,
            telemetry,
        })
    }

    /// The API's URL. Its path ends in a slash.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn salt(&self) -> u32 {
        self.salt
    }

    pub(super) fn reactors(&self) -> usize {
        self.accounts.len() - 1
    }

    pub(super) fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Returns what a reactor needs to reach the API by itself; nothing if that takes TLS.
    pub(super) fn direct(&self, reactor: usize) -> Result<Option<Direct>, FetchError> {
        Direct::new(&self.accounts[reactor], &self.base, self.lane)
    }

    /// Returns the name of a connection: 24 hexadecimal digits.
    pub(crate) fn connection_name(&self, client: &impl Client) -> [u8; 24] {
        connection_name(self.salt, client.epoch())
    }

    /// Asks for a client that wants to connect. `beyond` is the path behind its id, with the query.
    pub(crate) fn ask_for(
        &self,
        client: &impl Client,
        beyond: &str,
        mut headers: HeaderMap,
    ) -> impl Future<Output = Result<Response<Bytes>, FetchError>> {
        mark(client, self.salt, 0, &mut headers);
        let mut url = self.url(client.id());
        let (path, query) = match beyond.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (beyond, None),
        };
        url.set_path(&format!("{}{path}", url.path()));
        url.set_query(query);
        let request = self.fetch(Method::GET, url, headers, Bytes::new());
        self.perform(self.reactors(), client, request)
    }

    /// Sends a message or DELETE from a reactor's account, until the API has taken it or no more tries
    /// are allowed. `tried`: only after a pause. Returns nothing if the item is lost.
    pub(super) async fn deliver(
        &self,
        reactor: usize,
        client: &impl Client,
        item: &Item,
        tried: bool,
    ) -> Option<Reply> {
        let until = item.since + self.queue_timeout;
        let mut pause = FIRST_PAUSE;
        let mut waits = tried;
        loop {
            if waits {
                let wait = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
                pause = (pause * 2).min(LONGEST_PAUSE);
                if Instant::now() + wait >= until {
                    let reason = "`queue-timeout` has passed";
                    self.telemetry.not_taken(client.id(), reason);
                    return None;
                }
                tokio::time::sleep(wait).await;
            }
            waits = true;
            let request = self.request(client, item);
            let response = self.perform(reactor, client, request).await;
            let result = response.map(Reply::from).map_err(|error| Unanswered {
                is_unsent: retry::is_unsent(error.name),
                error,
            });
            if !self.is_resent(item, &result) {
                return self.given_up(client, result);
            }
        }
    }

    /// Returns the reply to an item that is not sent again. The log learns why there is none.
    pub(super) fn given_up(
        &self,
        client: &impl Client,
        result: Result<Reply, Unanswered>,
    ) -> Option<Reply> {
        let failed = |unanswered: &Unanswered| {
            let reason = unanswered.error.to_string();
            self.telemetry.not_taken(client.id(), &reason);
        };
        result.inspect_err(failed).ok()
    }

    /// Returns true if an item is sent again. A repetition does no harm with at-least-once delivery, and for a
    /// DELETE.
    pub(super) fn is_resent(&self, item: &Item, result: &Result<Reply, Unanswered>) -> bool {
        let may_come_twice = item.is_delete() || self.delivery == Delivery::AtLeastOnce;
        match result {
            Ok(reply) => retry::may_resend(false, may_come_twice) && reply.status.is_server_error(),
            Err(unanswered) => retry::may_resend(unanswered.is_unsent, may_come_twice),
        }
    }

    fn request(&self, client: &impl Client, item: &Item) -> FetchRequest {
        let mut headers = HeaderMap::with_capacity(8);
        mark(client, self.salt, item.sequence, &mut headers);
        if let Some(kind) = item.media_type() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        self.fetch(
            item.method(),
            self.url(client.id()),
            headers,
            item.body().clone(),
        )
    }

    fn fetch(&self, method: Method, url: Url, headers: HeaderMap, body: Bytes) -> FetchRequest {
        let mut request = FetchRequest::new(method, url, self.lane, RequestBody::Full(body));
        request.headers = headers;
        request.redirect = RedirectMode::Manual;
        request.decode = false;
        request
    }

    /// Performs a request, up to the end of its response, in the name of this account.
    ///
    /// The fetch is queued before the future is made, which keeps the future small.
    fn perform(
        &self,
        account: usize,
        client: &impl Client,
        request: FetchRequest,
    ) -> impl Future<Output = Result<Response<Bytes>, FetchError>> {
        add(&self.telemetry.counters.started);
        let began = Instant::now();
        let queued = self.accounts[account].queue(request);
        async move {
            let response = async { queued.perform().await?.collect().await }.await;
            let status = response.as_ref().map(Response::status);
            self.telemetry
                .requested(client.id(), status, began.elapsed());
            response
        }
    }

    /// Returns the URL at which the API hears of a client.
    fn url(&self, id: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Characters that may not stand in a segment are encoded, a slash too. Ids that lead
            // elsewhere have been refused: they would be left out here.
            segments.pop_if_empty().push(id);
        }
        url
    }
}

/// Returns the API's URL, with a path that ends in a slash and nothing behind it.
fn base(api: &Url) -> Result<Url, FetchError> {
    let refused = |why: &str| {
        let detail = format!("The API's URL {why}: write it like http://127.0.0.1:8000/.");
        Err(FetchError::new(ErrorName::InvalidRequest, detail))
    };
    if !matches!(api.scheme(), "http" | "https") || !api.has_host() {
        return refused("is neither http nor https");
    }
    if api.query().is_some() || api.fragment().is_some() {
        return refused("has a query or fragment");
    }
    let mut base = api.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", api.path()));
    }
    Ok(base)
}
