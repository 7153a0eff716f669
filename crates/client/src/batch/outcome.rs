//! What became of one item of a batch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fetchway_policy::ErrorName;
use fetchway_wire::json::{ClientLine, ClientOutcome};
use http::Response;

use crate::client::response;
use crate::error::Error;
use crate::link::{failed, whole};

/// What became of one item.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Its place among the items, from 0.
    pub index: u64,
    /// Its URL, as it was given.
    pub url: String,
    /// The response, whatever its status, with [`FinalUrl`](crate::FinalUrl) if it was redirected; or
    /// why there is none.
    pub result: Result<Response<Bytes>, Error>,
    /// Times that it was sent; 0 if it never was.
    pub attempts: u32,
    /// When what happened, by the relay's clock.
    pub timing: OutcomeTiming,
}

/// When what happened to an item, of the try that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeTiming {
    /// It was to be sent first.
    pub scheduled: Option<SystemTime>,
    /// It was handed to its connection.
    pub sent: Option<SystemTime>,
    /// The response's header was there.
    pub first_byte: Option<SystemTime>,
    /// All was over.
    pub end: Option<SystemTime>,
}

impl Outcome {
    /// Reads a line.
    ///
    /// # Errors
    /// Why the batch ends here, if the line says so; `http_protocol_error` if it is none.
    pub(super) fn read(line: &[u8]) -> Result<Self, Error> {
        let line: ClientLine = serde_json::from_slice(line).map_err(|error| {
            let detail = format!("An outcome of the batch cannot be read: {error}.");
            Error::new(ErrorName::HttpProtocolError, detail)
        })?;
        let outcome = match line {
            ClientLine::Outcome(outcome) => *outcome,
            ClientLine::End(code, detail) => return Err(failed(Some(&code), Some(detail))),
        };
        let at = |millis: Option<f64>| {
            let micros = (millis? * 1_000.0).round() as u64;
            UNIX_EPOCH.checked_add(Duration::from_micros(micros))
        };
        let timing = OutcomeTiming {
            scheduled: at(outcome.timing.scheduled),
            sent: at(outcome.timing.sent),
            first_byte: at(outcome.timing.first_byte),
            end: at(outcome.timing.end),
        };
        let ClientOutcome {
            index,
            url,
            attempts,
            answer,
            ..
        } = outcome;
        let result = whole(answer).map(|(mut head, body)| {
            if head.url == url {
                head.url.clear();
            }
            response(*head, body)
        });
        Ok(Self {
            index,
            url,
            result,
            attempts,
            timing,
        })
    }
}
