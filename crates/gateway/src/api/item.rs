//! Items: messages and ends of clients that the API is told of, and the header fields that name a client.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

pub(super) const CONNECTION: &str = "fetchway-connection";
pub(super) const EPOCH: &str = "fetchway-epoch";
pub(super) const SEQUENCE: &str = "fetchway-sequence";
pub(crate) const STATE: &str = "fetchway-state";

/// The media types of messages.
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// One connection of a client, as far as requests to the API say something of it.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// The client id.
    fn id(&self) -> &str;

    /// The number that tells this connection from the client's others.
    fn epoch(&self) -> u64;

    /// The value of `Fetchway-State`, if the API has attached one.
    fn attached(&self) -> Option<HeaderValue>;
}

/// Either a message or a notice that the client is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A message of the client, text or binary.
    Message { text: bool, data: Bytes },
    /// The client is gone, for this reason.
    Delete(Bytes),
}

/// A message or a notice, with its position in the client's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) content: Content,
    /// Counts what the client has sent, from 1. A resend keeps the number.
    pub(crate) sequence: u64,
    pub(crate) since: Instant,
}

impl Item {
    pub(crate) fn is_delete(&self) -> bool {
        matches!(self.content, Content::Delete(_))
    }

    pub(super) fn method(&self) -> Method {
        match self.content {
            Content::Message { .. } => Method::POST,
            Content::Delete(_) => Method::DELETE,
        }
    }

    /// The media type of the body; none for a DELETE.
    pub(super) fn media_type(&self) -> Option<&'static str> {
        match self.content {
            Content::Message { text: true, .. } => Some(TEXT),
            Content::Message { text: false, .. } => Some(BINARY),
            Content::Delete(_) => None,
        }
    }

    pub(super) fn body(&self) -> &Bytes {
        match &self.content {
            Content::Message { data, .. } => data,
            Content::Delete(reason) => reason,
        }
    }
}

/// Returns the name of a connection: 24 hexadecimal digits. `salt` distinguishes gateways.
pub(super) fn connection_name(salt: u32, epoch: u64) -> [u8; 24] {
    // By hand, as every message needs it.
    let number = u128::from(salt) << 64 | u128::from(epoch);
    std::array::from_fn(|at| {
        let digit = (number >> (92 - 4 * at)) as u8 & 15;
        digit + if digit < 10 { b'0' } else { b'a' - 10 }
    })
}

/// Adds the fields that name a connection and the position of what it sends.
pub(super) fn mark(client: &impl Client, salt: u32, sequence: u64, headers: &mut HeaderMap) {
    let epoch = client.epoch();
    let fields = [
        // Digits are always valid.
        (
            CONNECTION,
            HeaderValue::from_bytes(&connection_name(salt, epoch)).ok(),
        ),
        (EPOCH, Some(epoch.into())),
        (SEQUENCE, Some(sequence.into())),
        (STATE, client.attached()),
    ];
    for (name, value) in fields {
        let Some(mut value) = value else { continue };
        // In HTTP/2 that means: not worth a place in the table of fields that come again.
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
}
