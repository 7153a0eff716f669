//! HTTP/1.1 (RFC 9112), one request and its response at a time: [`put_request`], then a [`Reading`].

mod chunked;
mod head;
mod reading;
mod request;

pub use reading::Reading;
pub use request::put_request;
