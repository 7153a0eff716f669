//! What has come of a client goes to the API: POST and DELETE, tried as often as is allowed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fetchway_fetch::{FetchRequest, Queued, RequestBody};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, Timeouts};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::call::{Call, End};
use crate::config::Delivery;
use crate::conn::{Conn, State};
use crate::gateway::Inner;
use crate::lines;
use crate::order::{Item, What};
use crate::stats::add;
use crate::trouble::Trouble;

pub(crate) const CONNECTION: &str = "fetchway-connection";
pub(crate) const EPOCH: &str = "fetchway-epoch";
pub(crate) const SEQUENCE: &str = "fetchway-sequence";
pub(crate) const STATE: &str = "fetchway-state";
const SEND: HeaderName = HeaderName::from_static("fetchway-send");

/// The media types of messages.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const BINARY: &str = "application/octet-stream";

/// Bytes of what an API may attach to a client.
const MAX_STATE: usize = 4 << 10;

/// The pause after a first try that failed; doubled up to the longest, each time by a random part.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What the API has answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Whether what came with it may reach a client. The body of another 2xx is about the request.
fn is_message(status: StatusCode) -> bool {
    matches!(status, StatusCode::OK | StatusCode::NO_CONTENT)
}

/// What of an answer to a message or DELETE matters, whichever way it came.
struct Reply {
    status: StatusCode,
    kind: Option<HeaderValue>,
    /// What the API wants to have back.
    state: Option<HeaderValue>,
    /// It is sent even when empty.
    always: bool,
    body: Bytes,
}

impl From<Answer> for Reply {
    fn from(mut answer: Answer) -> Self {
        Self {
            status: answer.status,
            kind: answer.headers.remove(CONTENT_TYPE),
            state: answer.headers.remove(STATE),
            always: answer.headers.get(SEND).is_some_and(|v| v == "always"),
            body: answer.body,
        }
    }
}

impl From<fetchway_upstream::Response> for Reply {
    fn from(answer: fetchway_upstream::Response) -> Self {
        let (mut kind, mut state, mut always) = (None, None, false);
        for (name, value) in answer.fields {
            match name {
                "content-type" => kind = Some(value),
                "fetchway-state" => state = Some(value),
                "fetchway-send" => always = value == "always",
                _ => {}
            }
        }
        Self {
            status: answer.status,
            kind,
            state,
            always,
            body: answer.body,
        }
    }
}

impl Inner {
    /// Where the API hears of a client.
    pub(crate) fn url(&self, id: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // What may not stand in a segment is encoded, a slash too. Ids that lead elsewhere have
            // been refused: they would be left out here.
            segments.pop_if_empty().push(id);
        }
        url
    }

    /// How a connection is called towards the API.
    pub(crate) fn name(&self, conn: &Conn) -> [u8; 24] {
        name(self.salt, conn)
    }

    /// The fields by which the API tells connections, and what comes from them, apart.
    pub(crate) fn mark(&self, conn: &Conn, sequence: u64, headers: &mut HeaderMap) {
        let fields = [
            (
                const { HeaderName::from_static(CONNECTION) },
                value(&self.name(conn)),
            ),
            (const { HeaderName::from_static(EPOCH) }, conn.epoch.into()),
            (const { HeaderName::from_static(SEQUENCE) }, sequence.into()),
        ];
        let attached = conn.lock().attached.as_deref().cloned();
        for (name, mut value) in fields
            .into_iter()
            .chain(attached.map(|state| (const { HeaderName::from_static(STATE) }, state)))
        {
            // In HTTP/2 that means: not worth a place in the table of fields that come again.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }

    /// One request to the API, up to the end of its answer.
    ///
    /// The request is made before the future, which so is small: there is one for each message.
    pub(crate) fn ask(
        &self,
        conn: &Conn,
        reactor: Option<u8>,
        (method, url): (Method, Url),
        headers: HeaderMap,
        body: Bytes,
    ) -> impl Future<Output = Result<Answer, FetchError>> {
        add(&self.counters.started);
        let began = Instant::now();
        let request = FetchRequest {
            method,
            url,
            headers,
            body: RequestBody::Full(body),
            lane: self.lane,
            redirect: RedirectMode::Manual,
            decode: false,
            timeouts: Timeouts::default(),
        };
        let queued = self.account(reactor).queue(request);
        async move {
            let answer = answer(queued).await;
            let status = answer.as_ref().map(|answer| answer.status);
            self.count(conn, status, began.elapsed());
            answer
        }
    }

    fn count(&self, conn: &Conn, answer: Result<StatusCode, &FetchError>, took: Duration) {
        self.observer.requested(took);
        match answer {
            Ok(status) if status.is_success() => {
                add(&self.counters.succeeded);
                self.api_answers();
            }
            Ok(status) => {
                add(&self.counters.failed);
                match status.is_server_error() {
                    true => self.trouble(Trouble::Failed, status.as_str()),
                    false => self.api_answers(),
                }
            }
            Err(error) => {
                add(&self.counters.failed);
                let (gateway, client) = (&*self.config.name, &*conn.id);
                tracing::debug!(gateway, client, %error, "a request to the API failed");
                self.trouble(Trouble::Failed, error.name.as_str());
            }
        }
    }

    /// Sends a message over one of this thread's own lines. Gives it back if that cannot be.
    pub(crate) fn post(&self, conn: &Arc<Conn>, state: &State, item: Item) -> Option<Item> {
        let What::Message { data, .. } = &item.what else {
            return Some(item);
        };
        let bytes = data.len();
        let mut left = Some(item);
        let posted = lines::post(|direct| {
            let leave = direct.leave(bytes)?;
            let attached = state.attached.as_deref().cloned();
            Some(Call::new(conn.clone(), left.take()?, attached, leave))
        });
        if posted {
            add(&self.counters.started);
        }
        left
    }

    /// What has come of a message on a line.
    pub(crate) fn heard(self: &Arc<Self>, end: End) {
        match end {
            End::Answered(call, answer) => {
                self.count(&call.conn, Ok(answer.status), call.leave.began().elapsed());
                let heeded = matches!(
                    answer.status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
                );
                if let Some(asked) = answer.field("retry-after").filter(|_| heeded) {
                    lines::heed(asked);
                }
                let (conn, item) = call.over(Ok((answer.status, answer.body.len())));
                match self.asks_again(&item, answer.status) {
                    true => self.send_again(&conn, item, true),
                    false => self.arrived(&conn, &item, &answer.into()),
                }
            }
            End::Failed {
                call,
                error,
                unsent,
            } => {
                self.count(&call.conn, Err(&error), call.leave.began().elapsed());
                let (conn, item) = call.over(Err(&error));
                if unsent || self.may_send_again(&item, error.name) {
                    return self.send_again(&conn, item, !unsent);
                }
                self.failed(&conn, &error.to_string());
                self.never_arrived(&conn, &item);
                self.go_on_with(&conn);
            }
        }
    }

    fn send_again(self: &Arc<Self>, conn: &Arc<Conn>, item: Item, tried: bool) {
        let reactor = conn.lock().reactor;
        self.spawn(conn, reactor, item, tried);
    }

    /// Goes on to send it through the engine. `tried`: after a pause.
    pub(crate) fn spawn(self: &Arc<Self>, conn: &Arc<Conn>, reactor: u8, item: Item, tried: bool) {
        let task = self.clone().deliver(conn.clone(), item, tried);
        // Boxed: tokio moves a task several times, and this one is some kilobytes.
        self.reactors[usize::from(reactor)]
            .tasks
            .spawn(Box::pin(task));
    }

    /// Tells the API of something through the engine, until that has been heard or given up.
    pub(crate) async fn deliver(self: Arc<Self>, conn: Arc<Conn>, item: Item, tried: bool) {
        match self.try_on(&conn, &item, tried).await {
            Some(reply) => self.arrived(&conn, &item, &reply),
            None => {
                self.never_arrived(&conn, &item);
                self.go_on_with(&conn);
            }
        }
    }

    /// The API has answered.
    fn arrived(self: &Arc<Self>, conn: &Arc<Conn>, item: &Item, reply: &Reply) {
        if let Some(state) = &reply.state {
            self.attach_state(conn, state);
        }
        // Whatever it says to a DELETE, it has heard of it.
        if is_message(reply.status) && !item.is_delete() {
            self.reply(conn, reply);
        } else if !reply.status.is_success() && !item.is_delete() {
            self.failed(conn, reply.status.as_str());
            // A 3xx or 4xx is its answer to the message. With a 5xx nobody knows what became of it.
            if reply.status.is_server_error() {
                self.never_arrived(conn, item);
            }
        }
        self.go_on_with(conn);
    }

    /// The API has not taken it, and will not get it again.
    fn never_arrived(self: &Arc<Self>, conn: &Arc<Conn>, item: &Item) {
        if let What::Message { .. } = item.what {
            return self.lost(conn);
        }
        let (gateway, client) = (&*self.config.name, &*conn.id);
        tracing::debug!(gateway, client, "the API never heard that a client is gone");
        self.count_loss(conn);
    }

    pub(crate) fn count_loss(&self, conn: &Conn) {
        self.observer.lost();
        self.trouble(Trouble::Lost, &*conn.id);
    }

    /// One thing is done with: the next one has its turn.
    fn go_on_with(self: &Arc<Self>, conn: &Arc<Conn>) {
        let (full, ended) = {
            let mut state = conn.lock();
            state.order.done();
            self.pump(conn, &mut state);
            (state.is_paused(), state.order.has_ended())
        };
        if full {
            self.read_on(conn);
        }
        self.close_if_broken(conn);
        // The last message of one that has ended makes way for its DELETE.
        if ended {
            self.settle(&conn.id);
        }
    }

    /// Sends it as often as it may be. Nothing if it is lost.
    async fn try_on(&self, conn: &Conn, item: &Item, tried: bool) -> Option<Reply> {
        let until = item.since + self.config.queue_timeout;
        let mut pause = FIRST_PAUSE;
        let mut waits = tried;
        loop {
            if waits {
                let wait = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
                pause = (pause * 2).min(LONGEST_PAUSE);
                if Instant::now() + wait >= until {
                    self.failed(conn, "it was tried for the queue's timeout");
                    return None;
                }
                tokio::time::sleep(wait).await;
            }
            waits = true;
            match self.send_once(conn, item).await {
                Ok(answer) if !self.asks_again(item, answer.status) => return Some(answer.into()),
                Err(error) if !self.may_send_again(item, error.name) => {
                    self.failed(conn, &error.to_string());
                    return None;
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn failed(&self, conn: &Conn, why: &str) {
        let (gateway, client) = (&*self.config.name, &*conn.id);
        tracing::debug!(
            gateway,
            client,
            why,
            "the API did not take what a client sent"
        );
    }

    /// A DELETE changes nothing if it comes twice.
    fn asks_again(&self, item: &Item, status: StatusCode) -> bool {
        let at_least_once = self.config.delivery == Delivery::AtLeastOnce;
        (item.is_delete() || at_least_once) && status.is_server_error()
    }

    fn may_send_again(&self, item: &Item, error: ErrorName) -> bool {
        item.is_delete() || self.config.delivery == Delivery::AtLeastOnce || is_unsent(error)
    }

    async fn send_once(&self, conn: &Conn, item: &Item) -> Result<Answer, FetchError> {
        let mut headers = HeaderMap::with_capacity(8);
        self.mark(conn, item.sequence, &mut headers);
        let (method, body) = match &item.what {
            What::Message { text, data } => {
                let kind = if *text { TEXT } else { BINARY };
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                (Method::POST, data.clone())
            }
            What::Delete(reason) => (Method::DELETE, reason.clone()),
        };
        let (reactor, to) = (conn.lock().reactor, (method, self.url(&conn.id)));
        self.ask(conn, Some(reactor), to, headers, body).await
    }

    /// Keeps what the API wants to have back.
    pub(crate) fn attach_state(&self, conn: &Conn, attached: &HeaderValue) {
        if attached.len() > MAX_STATE {
            return self.trouble(Trouble::State, &*conn.id);
        }
        let kept = (!attached.is_empty()).then(|| Box::new(attached.clone()));
        conn.lock().attached = kept;
    }

    /// Hands an answer to the client.
    fn reply(self: &Arc<Self>, conn: &Arc<Conn>, reply: &Reply) {
        if reply.body.is_empty() && !reply.always {
            return;
        }
        let text = is_text(reply.kind.as_ref(), &reply.body);
        // A client that is gone meanwhile gets nothing, which is all that can be done.
        let _ = self.send(conn, text, &reply.body);
    }
}

/// Performs a request up to the end of its answer.
async fn answer(queued: Queued) -> Result<Answer, FetchError> {
    let (head, body) = queued.perform().await?.collect().await?.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// How a connection is called towards the API: in hexadecimal digits. `salt` tells gateways apart.
pub(crate) fn name(salt: u32, conn: &Conn) -> [u8; 24] {
    // By hand: this is done for each message.
    let number = u128::from(salt) << 64 | u128::from(conn.epoch);
    std::array::from_fn(|at| {
        let digit = (number >> (92 - 4 * at)) as u8 & 15;
        digit + if digit < 10 { b'0' } else { b'a' - 10 }
    })
}

/// Whether an answer of this type is text to a client: bytes that are not UTF-8 never are.
pub(crate) fn is_text(kind: Option<&HeaderValue>, body: &[u8]) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    let begins = |with: &str| {
        let begin = kind.as_bytes().get(..with.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()))
    };
    let ends = |with: &str| {
        let at = kind.len().checked_sub(with.len());
        at.is_some_and(|at| kind.as_bytes()[at..].eq_ignore_ascii_case(with.as_bytes()))
    };
    let says_text = kind.is_empty()
        || begins("text/")
        || ends("json")
        || ends("xml")
        || is("application/javascript")
        || is("application/x-www-form-urlencoded");
    says_text && std::str::from_utf8(body).is_ok()
}

fn value(digits: &[u8]) -> HeaderValue {
    // Digits always are a field's value.
    HeaderValue::from_bytes(digits).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a fetch that failed so has certainly not reached the API.
fn is_unsent(error: ErrorName) -> bool {
    matches!(
        error,
        ErrorName::DnsError
            | ErrorName::DnsTimeout
            | ErrorName::ConnectionRefused
            | ErrorName::ConnectionTimeout
            | ErrorName::ConnectionLimitReached
            | ErrorName::DestinationIpUnroutable
            | ErrorName::DestinationUnavailable
            | ErrorName::TlsProtocolError
            | ErrorName::TlsCertificateError
            | ErrorName::QueueFull
            | ErrorName::QueueTimeout
    )
}
