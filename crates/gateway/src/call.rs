//! A message on its way to the API over one of our own lines, and how its request looks.

use std::io::Write as _;
use std::sync::Arc;

use fetchway_fetch::{Direct, Hold, Leave, Moved};
use fetchway_policy::FetchError;
use fetchway_upstream::{Request, Response};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

use crate::conn::Conn;
use crate::deliver;
use crate::order::{Item, What};

/// What is encoded in the segment of a path: as the `url` crate has it for `http`, the slash and the
/// percent sign too. So an id is the same over every way to the API.
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

/// A message at the API, or about to be.
pub(crate) struct Call {
    pub(crate) conn: Arc<Conn>,
    pub(crate) item: Item,
    /// What the API wanted to have back.
    pub(crate) attached: Option<HeaderValue>,
    pub(crate) leave: Leave,
    /// The place of its request among all bytes of its line: what the line has not got as far as is
    /// certainly unsent.
    pub(crate) from: u64,
    /// Bytes of its answer that may be kept before it is whole, and what reserves those beyond the
    /// first.
    pub(crate) room: u64,
    pub(crate) hold: Option<Hold>,
}

/// Bytes of an answer that are kept, before it is whole, outside of the byte budget.
pub(crate) const FREE: u32 = 64 << 10;

/// What became of it.
pub(crate) enum End {
    Answered(Call, Response),
    Failed {
        call: Call,
        error: FetchError,
        /// The API has provably not seen it.
        unsent: bool,
    },
}

impl Call {
    pub(crate) fn new(
        conn: Arc<Conn>,
        item: Item,
        attached: Option<HeaderValue>,
        leave: Leave,
    ) -> Self {
        Self {
            conn,
            item,
            attached,
            leave,
            from: 0,
            room: FREE.into(),
            hold: None,
        }
    }

    fn body(&self) -> &[u8] {
        match &self.item.what {
            What::Message { data, .. } => data,
            What::Delete(reason) => reason,
        }
    }

    pub(crate) fn answered(self, answer: Response) -> End {
        End::Answered(self, answer)
    }

    pub(crate) fn failed(self, error: impl Into<FetchError>, unsent: bool) -> End {
        End::Failed {
            call: self,
            error: error.into(),
            unsent,
        }
    }

    /// Tells the engine's observer that it is over; gives what else it was.
    pub(crate) fn over(
        self,
        result: Result<(StatusCode, usize), &FetchError>,
    ) -> (Arc<Conn>, Item) {
        let mut moved = Moved {
            sent: self.body().len() as u64,
            received: 0,
        };
        match result {
            Ok((status, received)) => {
                moved.received = received as u64;
                self.leave.answered(status, moved);
            }
            Err(error) => self.leave.failed(error.name, moved),
        }
        (self.conn, self.item)
    }
}

/// How requests to one API look.
pub(crate) struct Form {
    authority: String,
    user_agent: HeaderValue,
    /// Ends in a slash.
    base: String,
    salt: u32,
    /// The path of the request at hand, and the whole of one in HTTP/1.1.
    path: String,
    pub(crate) bytes: Vec<u8>,
}

impl Form {
    pub(crate) fn new(direct: &Direct, base: &Url, salt: u32) -> Self {
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

    /// Gives `put` the request of a call.
    pub(crate) fn put<T>(&mut self, call: &Call, put: impl FnOnce(&Request<'_>) -> T) -> T {
        self.path.clear();
        self.path.push_str(&self.base);
        self.path
            .extend(utf8_percent_encode(&call.conn.id, SEGMENT));
        let (mut epoch, mut sequence) = ([0; 20], [0; 20]);
        let name = deliver::name(self.salt, &call.conn);
        let (method, kind) = match &call.item.what {
            What::Message { text: true, .. } => ("POST", Some(deliver::TEXT)),
            What::Message { text: false, .. } => ("POST", Some(deliver::BINARY)),
            What::Delete(_) => ("DELETE", None),
        };
        let none: (&str, &[u8]) = ("", b"");
        let mut fields = [none; 7];
        let mut len = 0;
        let mut add = |name, value| {
            fields[len] = (name, value);
            len += 1;
        };
        add("accept", b"*/*" as &[u8]);
        add("user-agent", self.user_agent.as_bytes());
        add(deliver::CONNECTION, &name);
        add(deliver::EPOCH, digits(call.conn.epoch, &mut epoch));
        let sequence = digits(call.item.sequence, &mut sequence);
        add(deliver::SEQUENCE, sequence);
        if let Some(state) = &call.attached {
            add(deliver::STATE, state.as_bytes());
        }
        if let Some(kind) = kind {
            add("content-type", kind.as_bytes());
        }
        put(&Request {
            method,
            authority: &self.authority,
            path: &self.path,
            fields: &fields[..len],
            body: call.body(),
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
