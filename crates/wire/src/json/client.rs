//! The client's side of the JSON encoding, and of a batch's outcomes.

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

/// An outcome of a batch as a client reads it.
#[derive(Clone, Debug)]
pub struct ClientOutcome {
    /// The item's place in its input, from 0.
    pub index: u64,
    /// The item's URL, as its input has it.
    pub url: String,
    /// Times that it was sent.
    pub attempts: u32,
    /// When what happened.
    pub timing: ClientTiming,
    /// What became of it; its URL is the final one.
    pub answer: ClientResponse,
}

/// When what happened to an item: milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTiming {
    /// It was to be sent.
    pub scheduled: Option<f64>,
    /// It was handed to its connection.
    pub sent: Option<f64>,
    /// The response's header was there.
    pub first_byte: Option<f64>,
    /// All was over.
    pub end: Option<f64>,
}

/// A line of a batch's outcomes.
#[derive(Clone, Debug)]
pub enum ClientLine {
    /// What became of an item.
    Outcome(Box<ClientOutcome>),
    /// Why the batch ends here, before its time: a name and a sentence.
    End(String, String),
}

impl<'de> Deserialize<'de> for ClientLine {
    fn deserialize<D: serde::Deserializer<'de>>(given: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Line {
            index: Option<u64>,
            #[serde(default)]
            id: Value,
            #[serde(default)]
            url: String,
            final_url: Option<String>,
            status: u16,
            #[serde(default)]
            headers: BTreeMap<String, String>,
            #[serde(default)]
            set_cookie: Vec<String>,
            #[serde(default)]
            body: String,
            body_base64: Option<String>,
            error: Option<String>,
            error_code: Option<String>,
            #[serde(default)]
            attempts: u32,
            #[serde(default)]
            timing: ClientTiming,
        }
        let line = Line::deserialize(given)?;
        let Some(index) = line.index else {
            let missing = serde::de::Error::missing_field;
            let code = line.error_code.ok_or_else(|| missing("index"))?;
            return Ok(Self::End(code, line.error.unwrap_or_default()));
        };
        Ok(Self::Outcome(Box::new(ClientOutcome {
            index,
            url: line.url,
            attempts: line.attempts,
            timing: line.timing,
            answer: ClientResponse {
                id: line.id,
                status: line.status,
                headers: line.headers,
                body: line.body,
                body_base64: line.body_base64,
                set_cookie: line.set_cookie,
                url: line.final_url,
                error: line.error,
                error_code: line.error_code,
            },
        })))
    }
}
