//! A node stream, from its OPEN to its end. Its URL has the scheme `fetchway`, and the node itself serves it.

use std::future::poll_fn;
use std::sync::Arc;

use fetchway_fetch::StreamedBody;
use fetchway_policy::{ErrorName, FetchError, headers};
use fetchway_service::problem::problem;
use fetchway_service::{Call, StreamServices};
use fetchway_wire::v1::{RequestHead, ResponseHead};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use url::Url;

use super::fetch::give;
use super::session::{Running, Session};

/// Beginning of a node stream's URL.
const SCHEME: &str = "fetchway:";

/// Returns true if a stream's URL addresses the node, and not an origin.
pub(super) fn is_node_stream(url: &str) -> bool {
    let scheme = url.as_bytes().get(..SCHEME.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME.as_bytes()))
}

impl Session {
    /// Begins a stream whose URL [addresses the node](is_node_stream).
    pub(super) fn begin_node_stream(
        self: &Arc<Self>,
        stream: u64,
        head: RequestHead,
        end: bool,
    ) -> Result<(), FetchError> {
        let url = Url::parse(&head.request.url).map_err(|error| {
            let detail = format!("The URL cannot be read ({error}): correct it.");
            FetchError::new(ErrorName::InvalidRequest, detail)
        })?;
        let method = headers::method(head.request.method.as_str())?;
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
        let response = self.call_node(&url, method, body);
        // The lock is held until the entry stands, so that the task finds the entry however fast it is.
        let task = tokio::spawn(Box::pin(self.clone().forward(stream, head, response)));
        let task = task.abort_handle();
        running.by_stream.insert(stream, Running { task, upload });
        Ok(())
    }

    /// Returns the answer of the service that is registered for the URL's path.
    fn call_node(&self, url: &Url, method: Method, body: StreamedBody) -> Response<StreamedBody> {
        let Some(service) = self.services.find(url.path()) else {
            return no_service(url.path(), &self.services);
        };
        let query = url.query().unwrap_or_default().to_owned();
        let call = Call {
            method,
            query,
            body,
        };
        service.call(&self.principal, call)
    }

    async fn forward(
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

    /// Sends head and body until the body has ended, or until the stream is gone.
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
        // If the stream is gone, the loop below ends.
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

fn no_service(path: &str, services: &StreamServices) -> Response<StreamedBody> {
    let shown: String = path.chars().take(100).collect();
    let detail = format!(
        "This node serves no {shown:?}; it serves {}.",
        services.urls()
    );
    let refusal = problem(StatusCode::NOT_FOUND, &detail);
    refusal.map(|body| -> StreamedBody { Box::pin(body.map_err(|never| match never {})) })
}
