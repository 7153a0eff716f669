//! What has come of a client goes to the API: POST and DELETE, tried as often as is allowed.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fetchway_fetch::{FetchRequest, Queued, RequestBody, Session};
use fetchway_policy::redirect::RedirectMode;
use fetchway_policy::{ErrorName, FetchError, Timeouts};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;
use url::Url;

use crate::config::Delivery;
use crate::conn::Conn;
use crate::gateway::Inner;
use crate::order::{Item, What};
use crate::stats::{add, sub};

const CONNECTION: HeaderName = HeaderName::from_static("fetchway-connection");
const EPOCH: HeaderName = HeaderName::from_static("fetchway-epoch");
const SEQUENCE: HeaderName = HeaderName::from_static("fetchway-sequence");
pub(crate) const STATE: HeaderName = HeaderName::from_static("fetchway-state");
const SEND: HeaderName = HeaderName::from_static("fetchway-send");

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

impl Answer {
    /// Whether a body of it may reach a client.
    fn is_success(&self) -> bool {
        matches!(self.status, StatusCode::OK | StatusCode::NO_CONTENT)
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

    /// How a connection is called towards the API: in hexadecimal digits.
    pub(crate) fn name(&self, conn: &Conn) -> [u8; 24] {
        // By hand: this is done for each message.
        let number = u128::from(self.salt) << 64 | u128::from(conn.epoch);
        std::array::from_fn(|at| {
            let digit = (number >> (92 - 4 * at)) as u8 & 15;
            digit + if digit < 10 { b'0' } else { b'a' - 10 }
        })
    }

    /// The fields by which the API tells connections, and what comes from them, apart.
    pub(crate) fn mark(&self, conn: &Conn, sequence: u64, headers: &mut HeaderMap) {
        let fields = [
            (CONNECTION, value(&self.name(conn))),
            (EPOCH, conn.epoch.into()),
            (SEQUENCE, sequence.into()),
        ];
        let attached = conn.lock().attached.as_deref().cloned();
        for (name, mut value) in fields
            .into_iter()
            .chain(attached.map(|state| (STATE, state)))
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
        reactor: Option<u8>,
        (method, url): (Method, Url),
        headers: HeaderMap,
        body: Bytes,
    ) -> impl Future<Output = Result<Answer, FetchError>> {
        add(&self.counters.started);
        let began = Instant::now();
        let fetches = self.fetches(reactor);
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
        let queued = fetches.engine().queue(fetches, request);
        async move {
            let answer = self.answer(fetches, queued).await;
            self.count(&answer, began.elapsed());
            answer
        }
    }

    fn count(&self, answer: &Result<Answer, FetchError>, took: Duration) {
        self.observer.requested(took);
        match answer {
            Ok(answer) if answer.is_success() => add(&self.counters.succeeded),
            Ok(_) => add(&self.counters.failed),
            Err(error) => {
                add(&self.counters.failed);
                tracing::debug!(%error, "a request to the API failed");
            }
        }
    }

    async fn answer(&self, fetches: &Session, queued: Queued) -> Result<Answer, FetchError> {
        let engine = fetches.engine();
        let fetched = engine.perform(fetches, queued).await?;
        let (head, mut body) = fetched.response.into_parts();
        // Most answers are whole by now, and in one piece.
        let first = body.at_once()?;
        let first = first.and_then(|frame| frame.into_data().ok());
        let body = if body.is_end_stream() {
            first.unwrap_or_default()
        } else {
            let mut hold = fetches.hold();
            let cap = engine.response_cap(self.lane);
            let rest = body.whole(&mut hold, 0, cap).await?;
            match first {
                None => rest,
                Some(first) => {
                    let mut whole = BytesMut::from(first);
                    whole.extend_from_slice(&rest);
                    whole.freeze()
                }
            }
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Tells the API of one thing after the other, until nothing more of this client may go.
    pub(crate) async fn deliver(self: Arc<Self>, conn: Arc<Conn>, first: Item) {
        let mut next = Some(first);
        while let Some(item) = next.take() {
            let is_message = matches!(item.what, What::Message { .. });
            if is_message {
                sub(&self.counters.queued);
            }
            match self.try_on(&conn, &item).await {
                Some(answer) if is_message => self.reply(&conn, &answer),
                Some(_) => {}
                None if is_message => self.lost(&conn),
                None => {
                    let (gateway, client) = (&*self.config.name, &*conn.id);
                    tracing::warn!(gateway, client, "the API never heard that a client is gone");
                    self.observer.lost();
                }
            }
            let full = {
                let mut state = conn.lock();
                state.order.done();
                next = state.order.next(self.config.order.at_once());
                state.is_paused()
            };
            if full {
                self.read_on(&conn);
            }
        }
        self.close_if_broken(&conn);
        // The last message of one that has ended makes way for its DELETE.
        if conn.has_ended() {
            self.settle(&conn.id);
        }
    }

    /// Sends it as often as it may be. Nothing if it is lost.
    async fn try_on(&self, conn: &Conn, item: &Item) -> Option<Answer> {
        let until = item.since + self.config.queue_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.send_once(conn, item).await;
            let again = match &answer {
                Ok(answer) => self.asks_again(item, answer.status),
                Err(error) => self.may_send_again(item, error.name),
            };
            if !again {
                return match answer {
                    Ok(answer) if answer.is_success() => Some(answer),
                    Ok(answer) => {
                        self.failed(conn, &answer.status.to_string());
                        None
                    }
                    Err(error) => {
                        self.failed(conn, &error.to_string());
                        None
                    }
                };
            }
            let wait = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if Instant::now() + wait >= until {
                self.failed(conn, "it was tried for the queue's timeout");
                return None;
            }
            tokio::time::sleep(wait).await;
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
        let repeatable = matches!(item.what, What::Delete(_));
        let at_least_once = self.config.delivery == Delivery::AtLeastOnce;
        (repeatable || at_least_once) && status.is_server_error()
    }

    fn may_send_again(&self, item: &Item, error: ErrorName) -> bool {
        let repeatable = matches!(item.what, What::Delete(_));
        repeatable || self.config.delivery == Delivery::AtLeastOnce || is_unsent(error)
    }

    async fn send_once(&self, conn: &Conn, item: &Item) -> Result<Answer, FetchError> {
        let mut headers = HeaderMap::with_capacity(8);
        self.mark(conn, item.sequence, &mut headers);
        let (method, body) = match &item.what {
            What::Message { text, data } => {
                let kind = match text {
                    true => "text/plain; charset=utf-8",
                    false => "application/octet-stream",
                };
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                (Method::POST, data.clone())
            }
            What::Delete(reason) => (Method::DELETE, reason.clone()),
        };
        let (reactor, to) = (conn.lock().reactor, (method, self.url(&conn.id)));
        let answer = self.ask(Some(reactor), to, headers, body).await?;
        self.attach_state(conn, &answer.headers);
        Ok(answer)
    }

    /// Keeps what the API wants to have back.
    pub(crate) fn attach_state(&self, conn: &Conn, headers: &HeaderMap) {
        let Some(attached) = headers.get(STATE) else {
            return;
        };
        if attached.len() > MAX_STATE {
            let (gateway, client) = (&*self.config.name, &*conn.id);
            tracing::warn!(
                gateway,
                client,
                "a Fetchway-State of over 4 KiB was ignored"
            );
            return;
        }
        let kept = (!attached.is_empty()).then(|| Box::new(attached.clone()));
        conn.lock().attached = kept;
    }

    /// Hands an answer to the client.
    fn reply(self: &Arc<Self>, conn: &Arc<Conn>, answer: &Answer) {
        let always = answer.headers.get(SEND).is_some_and(|v| v == "always");
        if answer.body.is_empty() && !always {
            return;
        }
        let text = is_text(answer.headers.get(CONTENT_TYPE), &answer.body);
        // A client that is gone meanwhile gets nothing, which is all that can be done.
        let _ = self.send(conn, text, &answer.body);
    }
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
