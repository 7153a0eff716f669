//! HTTP/1.1 (RFC 9112), one request and its response at a time: [`put_request`] writes the request, and
//! a [`ResponseReader`] reads the response.

mod chunked;
mod head;
mod reader;
mod request;

pub use reader::ResponseReader;
pub use request::put_request;
