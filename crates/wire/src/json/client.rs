//! The client's side of the JSON encoding, for the probe, the benches and the tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request as a client writes it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientRequest<'a> {
    /// Brought back by the answer.
    pub id: u64,
    /// Where to.
    pub url: &'a str,
    /// GET unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// A text body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a str>,
}

/// An answer as a client reads it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientResponse {
    /// The request's id.
    pub id: Value,
    /// The status; 0 when the fetch failed.
    pub status: u16,
    /// Fields by lower-case name.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, if it is UTF-8.
    #[serde(default)]
    pub body: String,
    /// The body, if it is not.
    pub body_base64: Option<String>,
    /// Each `Set-Cookie`.
    #[serde(default)]
    pub set_cookie: Vec<String>,
    /// The final URL.
    pub url: Option<String>,
    /// Why the fetch failed, for people.
    pub error: Option<String>,
    /// Why the fetch failed, by name.
    pub error_code: Option<String>,
}
