//! A stream that is addressed to the node itself: from its OPEN to its end.

use std::future::poll_fn;
use std::sync::Arc;

use fetchway_fetch::StreamedBody;
use fetchway_policy::{ErrorName, FetchError, headers};
use fetchway_wire::v1::{RequestHead, ResponseHead};
use http::Response;
use http_body_util::{BodyExt as _, Empty};
use url::Url;

use super::fetch::give;
use super::session::{Running, Session};
use crate::service::{Call, Service};

/// What its URL begins with.
const SCHEME: &str = "fetchway:";

/// Whether a stream's URL is for the node itself, and not for an origin.
pub(super) fn is_own(url: &str) -> bool {
    let scheme = url.as_bytes().get(..SCHEME.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()))
}

impl Session {
    /// Begins a stream that [`is_own`] and that `service` serves.
    pub(super) fn begin_own(
        self: &Arc<Self>,
        service: &dyn Service,
        stream: u64,
        head: RequestHead,
        end: bool,
    ) -> Result<(), FetchError> {
        let url = Url::parse(&head.url).map_err(|error| {
            let detail = format!("The URL cannot be read ({error}): correct it.");
            FetchError::new(ErrorName::InvalidRequest, detail)
        })?;
        let method = headers::method(head.method.as_str())?;
        let mut running = self.running();
        self.may_begin(&running)?;
        let (upload, body) = match end {
            true => {
                let empty: StreamedBody = Box::pin(Empty::new().map_err(|never| match never {}));
                (None, empty)
            }
            false => {
                let (upload, body) = self.receive(stream, &head);
                (Some(upload), body)
            }
        };
        let call = Call {
            method,
            path: url.path().to_owned(),
            query: url.query().unwrap_or_default().to_owned(),
            body,
        };
        let response = service.call(&self.principal, call);
        // The lock is held until the entry stands, so that the task finds it however fast it is.
        let task = tokio::spawn(Box::pin(self.clone().pass_on(stream, head, response)));
        let task = task.abort_handle();
        running.by_stream.insert(stream, Running { task, upload });
        Ok(())
    }

    async fn pass_on(
        self: Arc<Self>,
        stream: u64,
        head: RequestHead,
        response: Response<StreamedBody>,
    ) {
        let (parts, body) = response.into_parts();
        let answer = ResponseHead {
            tag: head.tag.clone(),
            status: parts.status,
            url: String::new(),
            fields: parts.headers,
        };
        if let Err(error) = self.stream_out(stream, &answer, body).await {
            self.fail(stream, head.tag, &error);
        }
        self.running().by_stream.remove(&stream);
    }

    /// Sends head and body, until the body has ended or nobody wants it.
    async fn stream_out(
        &self,
        stream: u64,
        head: &ResponseHead,
        mut body: StreamedBody,
    ) -> Result<(), FetchError> {
        let room = || poll_fn(|cx| self.poll_room(stream, cx));
        if room().await.is_err() {
            return Ok(());
        }
        // A stream that is gone by now is found so below.
        let _ = self.act(|state| state.machine.respond(stream, head, false));
        while room().await.is_ok() {
            let frame = body.frame().await.transpose()?;
            let last = frame.is_none();
            let given = self.act(|state| match frame {
                Some(frame) => give(&mut state.machine, stream, frame, false),
                None => state.machine.end(stream),
            });
            if last || given.is_err() {
                break;
            }
        }
        Ok(())
    }
}
