//! Reads back from a line of the output what is needed to resume.

use std::borrow::Cow;

use http::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::follow;
use crate::outcome::is_failure;

/// Content of a line that is needed to resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Place of the item in the input.
    pub(crate) index: u64,
    /// Fingerprint of the item when it was fetched.
    pub(crate) fingerprint: u64,
    /// The outcome is a failure, see [`Outcome::is_failed`](crate::Outcome::is_failed).
    pub(crate) failed: bool,
    /// Page of the item.
    pub(crate) depth: u32,
    /// The next page that the line names.
    pub(crate) next: Option<NextPage>,
}

/// Page that a line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextPage {
    /// URL of the page, as the line has it.
    pub(crate) url: Box<str>,
    /// The page is of another origin than the line's own page.
    pub(crate) leaves: bool,
}

#[derive(Deserialize)]
struct Shape<'a> {
    index: u64,
    #[serde(default)]
    depth: u32,
    #[serde(borrow, default)]
    url: Cow<'a, str>,
    #[serde(default)]
    next: Option<Box<str>>,
    status: u16,
    #[serde(borrow)]
    fingerprint: Cow<'a, str>,
}

/// Reads a line. Returns none if it is not JSON or not an outcome.
pub(crate) fn decode(line: &[u8]) -> Option<Record> {
    let shape: Shape<'_> = serde_json::from_slice(line).ok()?;
    let digits = shape.fingerprint.as_bytes();
    if digits.len() != 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let failed = match shape.status {
        0 => true,
        status => is_failure(StatusCode::from_u16(status).ok()?),
    };
    Some(Record {
        index: shape.index,
        depth: shape.depth,
        next: shape.next.filter(|_| !failed).map(|url| NextPage {
            leaves: leaves(&shape.url, &url),
            url,
        }),
        fingerprint: u64::from_str_radix(&shape.fingerprint, 16).ok()?,
        failed,
    })
}

/// Returns true if the URLs are of different origins, or one of them is not valid.
fn leaves(from: &str, to: &str) -> bool {
    match (Url::parse(from), Url::parse(to)) {
        (Ok(from), Ok(to)) => follow::leaves(&from, &to),
        _ => true,
    }
}

/// Returns the URL of a line, for errors.
pub(crate) fn url_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Url {
        url: String,
    }
    serde_json::from_slice::<Url>(line).ok().map(|it| it.url)
}
