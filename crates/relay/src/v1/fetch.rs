//! One fetch of a binary session: from its OPEN to its end.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fetchway_fetch::{Body, Fetched, Queued, RequestBody, StreamedBody};
use fetchway_policy::{ErrorName, FetchError, headers, redirect};
use fetchway_wire::v1::{self, Event, Gone, Malformed, RequestHead, Reset, ResponseHead};
use http::{HeaderMap, Method, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::node_stream::is_node_stream;
use super::session::{Fetches, Running, Session};
use super::upload::Upload;
use super::upload_body::UploadBody;
use crate::refusals::{leaving, too_many};

/// The parts of a request that its answer needs.
struct Asked {
    stream: u64,
    tag: Bytes,
    url: String,
    /// Set if the request has a body, which may still be on its way.
    uploads: bool,
}

impl Session {
    /// Handles an event of the state machine.
    pub(super) fn event(self: &Arc<Self>, event: Event) {
        match event {
            Event::Opened { stream, head, end } => self.opened(stream, head, end),
            Event::Data { stream, bytes, end } => {
                if let Some(upload) = self.upload(stream, end) {
                    let taken = upload.data(bytes, end);
                    self.taken(stream, &upload, taken);
                }
            }
            Event::Trailers { stream, trailers } => {
                if let Some(upload) = self.upload(stream, true) {
                    let taken = upload.trailers(trailers);
                    self.taken(stream, &upload, taken);
                }
            }
            Event::Reset { stream, .. } => self.withdraw(stream),
            // The HELLO was read before, and a client sends none of the others.
            Event::Hello(_) | Event::Head { .. } | Event::Stopped { .. } | Event::GoingAway(_) => {}
        }
    }

    /// Returns the destination of a stream's body. With `end`, the body is complete.
    fn upload(&self, stream: u64, end: bool) -> Option<Arc<Upload>> {
        let mut running = self.running();
        let upload = &mut running.by_stream.get_mut(&stream)?.upload;
        if end { upload.take() } else { upload.clone() }
    }

    /// Ends a fetch whose body does not have the length that its header says.
    fn taken(&self, stream: u64, upload: &Upload, taken: Result<(), FetchError>) {
        if let Err(error) = taken {
            self.fail(stream, upload.tag.clone(), &error);
            self.withdraw(stream);
        }
    }

    fn withdraw(&self, stream: u64) {
        let running = self.running().by_stream.remove(&stream);
        if let Some(running) = running {
            running.task.abort();
        }
    }

    fn opened(self: &Arc<Self>, stream: u64, head: Result<Box<RequestHead>, Malformed>, end: bool) {
        let (tag, begun) = match head {
            Ok(head) => (head.tag.clone(), self.begin(stream, *head, end)),
            Err(malformed) => {
                let detail = format!("The request's head cannot be read: {malformed}.");
                let error = FetchError::new(ErrorName::InvalidRequest, detail);
                (Bytes::new(), Err(error))
            }
        };
        if let Err(error) = begun {
            self.fail(stream, tag, &error);
        }
    }

    pub(super) fn fail(&self, stream: u64, tag: Bytes, error: &FetchError) {
        // A stream that has ended in the meantime needs no reset.
        let _ = self.act(|state| state.machine.reset(stream, Reset::new(tag, error)));
    }

    fn begin(
        self: &Arc<Self>,
        stream: u64,
        head: RequestHead,
        end: bool,
    ) -> Result<(), FetchError> {
        if !self.services.is_empty() && is_node_stream(&head.request.url) {
            return self.begin_node_stream(stream, head, end);
        }
        let url = redirect::parse_url(&head.request.url)?;
        let method = headers::method(head.request.method.as_str())?;
        if !end && matches!(method, Method::GET | Method::HEAD) {
            let detail = format!(
                "A {method} request has no body: set the end flag of its OPEN, or use POST."
            );
            return Err(FetchError::new(ErrorName::InvalidRequest, detail));
        }
        let named = Some(&*head.request.lane).filter(|name| !name.is_empty());
        let lane = self.principal.lane(self.account.engine(), named)?;
        let mut running = self.running();
        self.may_begin(&running)?;
        let (upload, body) = match end {
            true => (None, RequestBody::empty()),
            false => {
                let (upload, body) = self.receive(stream, &head);
                (Some(upload), RequestBody::stream(body))
            }
        };
        let mut asked = Asked {
            stream,
            tag: head.tag,
            url: String::new(),
            uploads: upload.is_some(),
        };
        let mut request = head.request.map(|(), _lane, text| {
            asked.url = text;
            (body, lane, url)
        });
        request.method = method;
        // Queued here and not in the task, because tasks start in any order.
        let queued = self.account.queue(request);
        // The lock is held until the entry stands, so that the task finds it however fast it is.
        // Boxed: tokio moves a task several times, and this one is some kilobytes.
        let task = tokio::spawn(Box::pin(self.clone().perform(asked, queued)));
        let task = task.abort_handle();
        running.by_stream.insert(stream, Running { task, upload });
        Ok(())
    }

    /// Checks that one more stream may begin.
    pub(super) fn may_begin(&self, running: &Fetches) -> Result<(), FetchError> {
        let limits = &self.principal.limits;
        if running.closed {
            return Err(leaving());
        }
        if running.by_stream.len() >= limits.in_flight.saturating_add(limits.queued) {
            return Err(too_many());
        }
        Ok(())
    }

    /// Returns the two ends of a request body: the one that receives it, and the one that the engine reads.
    pub(super) fn receive(
        self: &Arc<Self>,
        stream: u64,
        head: &RequestHead,
    ) -> (Arc<Upload>, StreamedBody) {
        let length = length(&head.request.headers);
        let upload = Arc::new(Upload::new(length, head.tag.clone()));
        let body = Box::pin(UploadBody {
            session: self.clone(),
            stream,
            upload: upload.clone(),
            left: length,
            ended: false,
        });
        (upload, body)
    }

    async fn perform(self: Arc<Self>, asked: Asked, queued: Queued) {
        let Asked { stream, tag, .. } = &asked;
        match queued.perform().await {
            Ok(fetched) => {
                if let Err(error) = self.answer(&asked, fetched).await {
                    self.fail(*stream, tag.clone(), &error);
                }
            }
            Err(error) => self.fail(*stream, tag.clone(), &error),
        }
        self.running().by_stream.remove(stream);
    }

    async fn answer(&self, asked: &Asked, fetched: Fetched) -> Result<(), FetchError> {
        let (parts, mut body) = fetched.response.into_parts();
        let url = fetched.url.as_str();
        let head = ResponseHead {
            tag: asked.tag.clone(),
            status: parts.status,
            url: if url == asked.url {
                String::new()
            } else {
                url.to_owned()
            },
            fields: parts.headers,
        };
        let stream = asked.stream;
        // Waits for room before anything is read. A stream that is gone was cancelled.
        if !self.is_roomy() && self.room(asked, &mut body).await.is_err() {
            return Ok(());
        }
        // A piece of the body that came together with the header is sent together with it.
        let first = body.at_once()?;
        let whole = body.is_end_stream();
        let given = self.act(|state| {
            let machine = &mut state.machine;
            machine.respond(stream, &head, whole && first.is_none())?;
            match first {
                Some(frame) => give(machine, stream, frame, whole),
                None => Ok(()),
            }
        });
        if whole || given.is_err() {
            return Ok(());
        }
        self.body(asked, &mut body).await
    }

    /// Sends the rest of a body, until the body or the stream has ended.
    async fn body(&self, asked: &Asked, body: &mut Body) -> Result<(), FetchError> {
        let stream = asked.stream;
        while self.room(asked, body).await.is_ok() {
            let frame = body.frame().await.transpose()?;
            let whole = body.is_end_stream();
            let given = self.act(|state| match frame {
                Some(frame) => give(&mut state.machine, stream, frame, whole),
                None => state.machine.end(stream),
            });
            if whole || given.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Waits until the stream can take another piece. Meanwhile the response body is paused, but the request
    /// body is still sent, because the client may read only when all of it is sent.
    async fn room(&self, asked: &Asked, body: &mut Body) -> Result<(), Gone> {
        let mut paused = false;
        std::future::poll_fn(|cx| {
            let room = self.poll_room(asked.stream, cx);
            if room.is_pending() {
                if !std::mem::replace(&mut paused, true) {
                    body.set_paused(true);
                }
                if asked.uploads {
                    body.drive(cx);
                }
            } else if paused {
                body.set_paused(false);
            }
            room
        })
        .await
    }

    pub(super) fn poll_room(&self, stream: u64, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let (room, wakers) = {
            let machine = &mut self.lock().machine;
            (machine.poll_room(stream, cx), machine.take_wakers())
        };
        // Room that this stream may not use goes to others.
        wakers.into_iter().for_each(std::task::Waker::wake);
        room
    }
}

/// Sends a frame of a body. With `whole`, it is the last one.
pub(super) fn give(
    machine: &mut v1::Session,
    stream: u64,
    frame: http_body::Frame<Bytes>,
    whole: bool,
) -> Result<(), Gone> {
    match frame.into_data() {
        Ok(piece) => {
            machine.data(stream, piece)?;
            if whole { machine.end(stream) } else { Ok(()) }
        }
        Err(frame) => machine.trailers(stream, &frame.into_trailers().unwrap_or_default()),
    }
}

/// Returns the length of the body by its `content-length`.
fn length(fields: &HeaderMap) -> Option<u64> {
    fields
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
