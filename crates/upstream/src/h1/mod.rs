//! HTTP/1.1 (RFC 9112), one request and its response at a time: [`put_request`] writes the request, and
//! a [`Reading`] reads the response.

mod chunked;
mod head;
mod reading;
mod request;

pub use reading::Reading;
pub use request::put_request;
