//! A session of the JSON encoding: makes a fetch of each message, and an answer of each fetch.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fetchway_fetch::{Account, Hold, Queued, RequestBody};
use fetchway_policy::{ErrorName, FetchError};
use fetchway_service::Principal;
use fetchway_wire::json::{
    Answer, FetchMessage, Id, Message, Outcome, Refusal, Timing, decode_request,
};
use parking_lot::Mutex;

use super::outbox::{ANSWER_WEIGHT, Outbox, Waiting};
use super::running::{Entry, Running};
use crate::refusals::{leaving, too_many};

/// The session of one client.
#[derive(Debug)]
pub(crate) struct Session {
    account: Account,
    principal: Principal,
    pub(crate) outbox: Outbox,
    /// The fetches in progress. The lock is held while an answer goes to the outbox, so a fetch is always in
    /// one of the two until its answer is written.
    running: Mutex<Running>,
}

/// Returns the time in milliseconds since 1970, as the field `timing` of an answer has it.
fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Session {
    pub(crate) fn new(account: Account, principal: Principal) -> Self {
        Self {
            account,
            principal,
            outbox: Outbox::default(),
            running: Mutex::default(),
        }
    }

    /// Handles one message. With `is_leaving`, no new fetch begins.
    pub(crate) fn message(self: &Arc<Self>, text: &[u8], serial: u64, is_leaving: bool) {
        match decode_request(text) {
            Ok(Message::Fetch(message)) => {
                let id = message.id.clone();
                if let Err(error) = self.begin(*message, serial, is_leaving) {
                    self.refuse(id, error);
                }
            }
            Ok(Message::Cancel(id)) => self.cancel(&id),
            Err(Refusal {
                id: Some(id),
                error,
            }) => self.refuse(id, error),
            Err(Refusal { id: None, error }) => self.refuse_unnamed(error),
        }
    }

    /// Answers a message that was skipped because it is too long.
    pub(crate) fn too_long(&self, len: u64) {
        let limit = self.principal.limits.message;
        let detail = format!(
            "The message of {len} bytes is over the limit of {limit} bytes: send a smaller body."
        );
        self.refuse_unnamed(FetchError::new(ErrorName::LimitExceeded, detail));
    }

    /// Answers a fetch that has not begun.
    fn refuse(&self, id: Id, error: FetchError) {
        let now = now_ms();
        self.failed(
            id,
            error,
            Some(Timing {
                start: now,
                end: now,
            }),
        );
    }

    /// Answers a message without a readable id.
    fn refuse_unnamed(&self, error: FetchError) {
        self.failed(Id::unknown(), error, None);
    }

    fn failed(&self, id: Id, error: FetchError, timing: Option<Timing>) {
        let outcome = Outcome::Failed(error);
        let answer = Answer {
            id,
            outcome,
            timing,
        };
        self.outbox.answer(Waiting { answer, hold: None });
    }

    fn begin(
        self: &Arc<Self>,
        message: FetchMessage,
        serial: u64,
        is_leaving: bool,
    ) -> Result<(), FetchError> {
        if is_leaving {
            return Err(leaving());
        }
        let lane = message.request.lane.as_deref();
        let lane = self.principal.lane(self.account.engine(), lane)?;
        let limits = &self.principal.limits;
        let mut running = self.running.lock();
        if running.len() >= limits.in_flight.saturating_add(limits.queued) {
            return Err(too_many());
        }
        let (id, start) = (message.id, now_ms());
        let request = message.request;
        let request = request.map(|body, _lane, url| (RequestBody::Full(body), lane, url));
        // Queued here and not in the task, because tasks start in any order.
        let queued = self.account.queue(request);
        // The lock is held until the entry stands, so that the task finds it however fast it is.
        // Boxed: tokio moves a task several times, and this one is some kilobytes.
        let task = tokio::spawn(Box::pin(self.clone().perform(id.clone(), serial, queued)));
        running.insert(Entry {
            serial,
            id,
            start,
            task: task.abort_handle(),
        });
        Ok(())
    }

    async fn perform(self: Arc<Self>, id: Id, serial: u64, queued: Queued) {
        let (outcome, hold) = match fetch(queued).await {
            Ok((outcome, hold)) => (outcome, Some(hold)),
            Err(error) => (Outcome::Failed(error), None),
        };
        let mut running = self.running.lock();
        // Otherwise a cancel has answered the fetch.
        if let Some(entry) = running.take(id.key(), serial) {
            let timing = Some(entry.timing(now_ms()));
            let answer = Answer {
                id,
                outcome,
                timing,
            };
            self.outbox.answer(Waiting { answer, hold });
        }
    }

    fn cancel(&self, id: &Id) {
        let mut running = self.running.lock();
        for entry in running.take_all_of(id.key()) {
            entry.task.abort();
            let error = FetchError::new(
                ErrorName::Cancelled,
                "The fetch was cancelled by its client.",
            );
            let timing = entry.timing(now_ms());
            self.failed(entry.id, error, Some(timing));
        }
    }

    /// Returns true if no fetch is in progress and every answer is written.
    pub(crate) fn is_done(&self) -> bool {
        let running = self.running.lock();
        running.len() == 0 && self.outbox.is_empty()
    }

    /// Ends every fetch without an answer.
    pub(crate) fn abort(&self) {
        self.running.lock().abort_all();
    }
}

/// Performs a fetch, to the end of its body.
async fn fetch(queued: Queued) -> Result<(Outcome, Hold), FetchError> {
    let whole = queued.perform_whole(ANSWER_WEIGHT as u64).await?;
    let (head, body) = whole.response.into_parts();
    let outcome = Outcome::Response {
        status: head.status,
        headers: head.headers,
        url: String::from(whole.url).into(),
        body,
    };
    Ok((outcome, whole.hold))
}
