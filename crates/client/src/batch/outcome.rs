//! The outcome of one item of a batch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fetchway_policy::ErrorName;
use fetchway_wire::json::{ClientLine, ClientOutcome};
use http::Response;

use crate::error::Error;
use crate::exchange::response;
use crate::link::{read_error, read_outcome};

/// The outcome of one item of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Index of the item in the input, from 0.
    pub index: u64,
    /// URL of the item, as it was passed in.
    pub url: String,
    /// The response, whatever its status, with a [`FinalUrl`](crate::FinalUrl) if it was redirected; or why
    /// there is none.
    pub result: Result<Response<Bytes>, Error>,
    /// Number of times that the request was sent; 0 if it never was.
    pub attempts: u32,
    /// Times of the relay's clock.
    pub timing: OutcomeTiming,
}

/// Times of an item's last attempt, by the relay's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeTiming {
    /// When the item was first due to be sent.
    pub scheduled: Option<SystemTime>,
    /// When the request was passed to its connection.
    pub sent: Option<SystemTime>,
    /// When the response's head arrived.
    pub first_byte: Option<SystemTime>,
    /// When the fetch ended.
    pub end: Option<SystemTime>,
}

impl Outcome {
    /// Parses a line.
    ///
    /// # Errors
    /// Why the batch ends, if the line says that; `http_protocol_error` if the line is not an outcome.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Error> {
        let line: ClientLine = serde_json::from_slice(line).map_err(|error| {
            let detail = format!("An outcome of the batch cannot be read: {error}.");
            Error::new(ErrorName::HttpProtocolError, detail)
        })?;
        let outcome = match line {
            ClientLine::Outcome(outcome) => *outcome,
            ClientLine::End(code, detail) => return Err(read_error(Some(&code), Some(detail))),
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
        let result = read_outcome(answer).map(|(mut head, body)| {
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
