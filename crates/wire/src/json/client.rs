//! The client's side of the JSON encoding, and the output lines of a batch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request, as a client sends it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientRequest<'a> {
    /// Id that the answer repeats.
    pub id: u64,
    /// URL to fetch.
    pub url: &'a str,
    /// Method; GET if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// Body, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a str>,
}

/// An answer, as a client receives it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientResponse {
    /// Id of the request.
    pub id: Value,
    /// Status of the response; 0 if the fetch failed.
    pub status: u16,
    /// Header fields by their lower-case names.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body, if it is UTF-8.
    #[serde(default)]
    pub body: String,
    /// Body in base64, if it is not UTF-8.
    pub body_base64: Option<String>,
    /// Values of all `Set-Cookie` fields.
    #[serde(default)]
    pub set_cookie: Vec<String>,
    /// Final URL, after redirects.
    pub url: Option<String>,
    /// Reason for a failed fetch, as a sentence.
    pub error: Option<String>,
    /// Name of the failure, if the fetch failed.
    pub error_code: Option<String>,
}

/// The outcome of one batch item, as a client receives it.
#[derive(Clone, Debug)]
pub struct ClientOutcome {
    /// Position of the item in the input, counted from 0.
    pub index: u64,
    /// URL of the item, as written in the input.
    pub url: String,
    /// Number of times that the request was sent.
    pub attempts: u32,
    /// Times of the item's events.
    pub timing: ClientTiming,
    /// The answer; its URL is the final one.
    pub answer: ClientResponse,
}

/// Times of an item's events, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTiming {
    /// Time at which the request was due.
    pub scheduled: Option<f64>,
    /// Time at which the request was handed to its connection.
    pub sent: Option<f64>,
    /// Time at which the response header was complete.
    pub first_byte: Option<f64>,
    /// Time at which the item ended.
    pub end: Option<f64>,
}

/// One output line of a batch.
#[derive(Clone, Debug)]
pub enum ClientLine {
    /// The outcome of an item.
    Outcome(Box<ClientOutcome>),
    /// The batch ends early: the name of the failure and a sentence.
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
