//! The layout of requests to the API on the reactor's own connections.

use std::io::Write as _;

use fetchway_fetch::Direct;
use fetchway_upstream::Request;
use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

use super::call::Call;
use super::item::{CONNECTION, Client, EPOCH, SEQUENCE, STATE, connection_name};

/// Characters that are encoded in the segment of a path: the same as by the `url` crate for `http`, with
/// the slash and the percent sign. So an id looks the same over every way to the API.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b'\\')
    .add(b'%');

/// The parts of a request that do not change, and space for those that do.
pub(super) struct Format {
    authority: String,
    user_agent: HeaderValue,
    /// Path of the API's URL. Ends in a slash.
    base: String,
    salt: u32,
    /// Path of the request at hand.
    path: String,
    /// Space for a request's bytes, shared by all connections of HTTP/1.1, as hardly ever anything is
    /// left of it.
    pub(super) bytes: Vec<u8>,
}

impl Format {
    pub(super) fn new(direct: &Direct, base: &Url, salt: u32) -> Self {
        Self {
            // A host and a port: never anything but ASCII.
            authority: direct.authority().to_str().unwrap_or_default().to_owned(),
            user_agent: direct.user_agent().clone(),
            base: base.path().to_owned(),
            salt,
            path: String::new(),
            bytes: Vec::new(),
        }
    }

    /// Calls `put` with the request of a call.
    pub(super) fn with<C: Client, T>(
        &mut self,
        call: &Call<C>,
        put: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        self.path.clear();
        self.path.push_str(&self.base);
        let id = utf8_percent_encode(call.client.id(), SEGMENT);
        self.path.extend(id);
        let (mut epoch, mut sequence) = ([0; 20], [0; 20]);
        let name = connection_name(self.salt, call.client.epoch());
        let none: (&str, &[u8]) = ("", b"");
        let mut fields = [none; 7];
        let mut len = 0;
        let mut add = |name, value| {
            fields[len] = (name, value);
            len += 1;
        };
        add("accept", b"*/*" as &[u8]);
        add("user-agent", self.user_agent.as_bytes());
        add(CONNECTION, &name);
        add(EPOCH, digits(call.client.epoch(), &mut epoch));
        add(SEQUENCE, digits(call.item.sequence, &mut sequence));
        if let Some(state) = &call.attached {
            add(STATE, state.as_bytes());
        }
        if let Some(kind) = call.item.media_type() {
            add("content-type", kind.as_bytes());
        }
        put(&Request {
            method: call.item.method().as_str(),
            authority: &self.authority,
            path: &self.path,
            fields: &fields[..len],
            body: call.item.body(),
        })
    }
}

fn digits(number: u64, into: &mut [u8; 20]) -> &[u8] {
    let mut rest = &mut into[..];
    // Twenty digits are room for any number.
    let _ = write!(rest, "{number}");
    let left = rest.len();
    &into[..20 - left]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_encoded_as_in_a_url() {
        let printable: String = (' '..='~').collect();
        for id in [&*printable, "a b/c", "é€😀", "..a", "%2e", "~"] {
            let mut url = Url::parse("http://api/base/").expect("a URL");
            let segments = url.path_segments_mut();
            segments.expect("a path").pop_if_empty().push(id);
            let ours = format!("/base/{}", utf8_percent_encode(id, SEGMENT));
            assert_eq!(ours, url.path(), "{id:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 7, 10, u64::MAX] {
            assert_eq!(digits(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
