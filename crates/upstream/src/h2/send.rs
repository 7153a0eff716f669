//! Requests, sent within the windows and the frame size that the server allows.

use bytes::{Buf, Bytes};

use super::connection::Connection;
use super::frame::{self, END_HEADERS, END_STREAM, kind};
use super::stream::Stream;
use crate::Request;
use crate::decimal::Digits;

impl Connection {
    /// Opens a stream for `request`, and returns its id. Part of the body may have to wait for the
    /// windows; later calls of [`Connection::take`] write it. Call this only when [`Connection::room`]
    /// is above 0.
    pub fn send(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> u32 {
        debug_assert!(self.room() > 0, "a stream that the server does not allow");
        let (id, known) = (self.next, out.len());
        self.next += 2;
        self.put_head(id, request, out);
        let window = i64::from(self.server.window);
        let mut stream = Stream::new(id, window, self.limits.free, Bytes::new());
        let sent = self.put_data(&mut stream, request.body, out);
        if sent < request.body.len() {
            stream.unsent = Bytes::copy_from_slice(&request.body[sent..]);
            self.waiting += 1;
        }
        self.streams.push(stream);
        self.count_appended(known, out);
        id
    }

    fn put_head(&mut self, id: u32, request: &Request<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        // The header is written once the length is known.
        out.extend_from_slice(&[0; frame::HEADER]);
        let fixed = (request.method, request.authority, request.path);
        self.encoder.begin(out, fixed);
        for (name, value) in request.fields {
            self.encoder.field(out, name, value);
        }
        let length = Digits::of(request.body.len());
        let encoder = &mut self.encoder;
        encoder.field(out, "content-length", length.as_bytes());
        let end_stream = if request.body.is_empty() {
            END_STREAM
        } else {
            0
        };
        let block = start + frame::HEADER;
        if out.len() - block > self.server.payload {
            return self.split_head(id, end_stream, start, out);
        }
        let flags = END_HEADERS | end_stream;
        let header = frame::header(out.len() - block, kind::HEADERS, flags, id);
        out[start..block].copy_from_slice(&header);
    }

    /// Splits a head that is larger than a frame into HEADERS and CONTINUATION frames.
    fn split_head(&mut self, id: u32, end_stream: u8, start: usize, out: &mut Vec<u8>) {
        let block = out.split_off(start + frame::HEADER);
        out.truncate(start);
        let pieces = block.len().div_ceil(self.server.payload);
        for (at, piece) in block.chunks(self.server.payload).enumerate() {
            let end = if at + 1 == pieces { END_HEADERS } else { 0 };
            let (kind, flags) = match at {
                0 => (kind::HEADERS, end | end_stream),
                _ => (kind::CONTINUATION, end),
            };
            frame::put_header(out, piece.len(), kind, flags, id);
            out.extend_from_slice(piece);
        }
    }

    /// Writes as much of `body`, the unsent part of the stream's body, as the windows allow. Returns
    /// the number of bytes written.
    fn put_data(&mut self, stream: &mut Stream, body: &[u8], out: &mut Vec<u8>) -> usize {
        put_data(&mut self.window, self.server.payload, stream, body, out)
    }

    /// Writes waiting bodies after the windows have grown, the oldest first.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) {
        if self.waiting == 0 {
            return;
        }
        for stream in self.streams.iter_mut() {
            if self.window <= 0 {
                break;
            }
            if stream.unsent.is_empty() {
                continue;
            }
            let body = stream.unsent.clone();
            let sent = put_data(&mut self.window, self.server.payload, stream, &body, out);
            stream.unsent.advance(sent);
            if stream.unsent.is_empty() {
                self.waiting -= 1;
                // `advance` would keep the memory.
                stream.unsent = Bytes::new();
            }
        }
    }

    /// Removes a stream.
    pub(super) fn close(&mut self, id: u32) -> Option<Stream> {
        let stream = self.streams.remove(id)?;
        if !stream.unsent.is_empty() {
            self.waiting -= 1;
        }
        Some(stream)
    }
}

fn put_data(
    window: &mut i64,
    payload: usize,
    stream: &mut Stream,
    body: &[u8],
    out: &mut Vec<u8>,
) -> usize {
    let allowed = (*window).min(stream.window).max(0);
    let sending = usize::try_from(allowed).map_or(body.len(), |allowed| allowed.min(body.len()));
    let mut sent = 0;
    while sent < sending {
        let piece = &body[sent..sending.min(sent + payload)];
        sent += piece.len();
        let flags = if sent == body.len() { END_STREAM } else { 0 };
        frame::put_header(out, piece.len(), kind::DATA, flags, stream.id);
        out.extend_from_slice(piece);
    }
    // The number is within the windows, so it fits.
    *window -= sent as i64;
    stream.window -= sent as i64;
    sent
}
