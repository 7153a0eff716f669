//! `[relay]` and `[[tokens]]`: who may open sessions, and what a session may ask for.

use std::path::PathBuf;

use fetchway_policy::guard::IpNet;
use fetchway_service::{BinaryLimits, Limits};
use serde::{Deserialize, Serialize};

use super::{Dur, Secret, Size, Text};

/// `[relay]`: limits of sessions. A token may have others.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RelaySection {
    /// Sessions at once of one token, or of all who come without. Further ones are refused with 429.
    pub max_sessions: usize,
    /// Fetches of one session dispatched and not yet answered. Further ones wait.
    pub max_in_flight: usize,
    /// Fetches of one session that wait. Further ones are refused with `queue_full`.
    pub max_queued: usize,
    /// Bytes of the fetches that wait. Further ones are refused with `queue_full`.
    pub max_queued_bytes: Text<Size>,
    /// Bytes of one message. A longer one is skipped and answered with `limit_exceeded`.
    pub max_message: Text<Size>,
    /// Bytes of answers not yet written. Beyond it the relay stops taking results from origins.
    pub max_answers: Text<Size>,
    /// Time between pings of a quiet connection.
    pub ping_interval: Text<Dur>,
    /// A connection without any sign of life for this long is closed.
    pub idle_timeout: Text<Dur>,
    /// A connection that takes none of the bytes waiting for it for this long is closed.
    pub write_stall: Text<Dur>,
    /// Bytes of request bodies that one binary session may send ahead of what origins take.
    pub session_window: Text<Size>,
    /// The same of one fetch. At most `session_window`.
    pub stream_window: Text<Size>,
    /// Bytes sent to a binary client and not acknowledged. Beyond it sending waits.
    pub max_unacked: Text<Size>,
    /// How long a binary session outlives its connection; zero for not at all.
    pub resume_within: Text<Dur>,
    /// Binary sessions of one token without a connection. Beyond it the oldest ends.
    pub max_parked: usize,
    /// Bytes that they hold. Beyond it the oldest ends.
    pub max_parked_bytes: Text<Size>,
}

impl Default for RelaySection {
    fn default() -> Self {
        let limits = Limits::default();
        let binary = limits.binary;
        Self {
            max_sessions: 10_000,
            max_in_flight: limits.in_flight,
            max_queued: limits.queued,
            max_queued_bytes: Text(Size(limits.queued_bytes as u64)),
            max_message: Text(Size(limits.message as u64)),
            max_answers: Text(Size(limits.answers as u64)),
            ping_interval: Text(Dur(limits.ping_interval)),
            idle_timeout: Text(Dur(limits.idle_timeout)),
            write_stall: Text(Dur(limits.write_stall)),
            session_window: Text(Size(binary.session_window as u64)),
            stream_window: Text(Size(binary.stream_window as u64)),
            max_unacked: Text(Size(binary.unacked as u64)),
            resume_within: Text(Dur(binary.resume_within)),
            max_parked: binary.parked,
            max_parked_bytes: Text(Size(binary.parked_bytes as u64)),
        }
    }
}

impl RelaySection {
    /// As the relay takes them; `max_sessions` is the node's own.
    #[must_use]
    pub fn to_limits(&self) -> Limits {
        Limits {
            in_flight: self.max_in_flight,
            queued: self.max_queued,
            queued_bytes: self.max_queued_bytes.as_usize(),
            message: self.max_message.as_usize(),
            answers: self.max_answers.as_usize(),
            ping_interval: self.ping_interval.0.0,
            idle_timeout: self.idle_timeout.0.0,
            write_stall: self.write_stall.0.0,
            binary: BinaryLimits {
                session_window: self.session_window.as_usize(),
                stream_window: self.stream_window.as_usize(),
                unacked: self.max_unacked.as_usize(),
                resume_within: self.resume_within.0.0,
                parked: self.max_parked,
                parked_bytes: self.max_parked_bytes.as_usize(),
            },
        }
    }

    /// These limits with what `overrides` says instead.
    #[must_use]
    pub fn overridden(&self, overrides: &LimitOverrides) -> Self {
        Self {
            max_sessions: overrides.max_sessions.unwrap_or(self.max_sessions),
            max_in_flight: overrides.max_in_flight.unwrap_or(self.max_in_flight),
            max_queued: overrides.max_queued.unwrap_or(self.max_queued),
            max_queued_bytes: overrides.max_queued_bytes.unwrap_or(self.max_queued_bytes),
            max_message: overrides.max_message.unwrap_or(self.max_message),
            max_answers: overrides.max_answers.unwrap_or(self.max_answers),
            ping_interval: overrides.ping_interval.unwrap_or(self.ping_interval),
            idle_timeout: overrides.idle_timeout.unwrap_or(self.idle_timeout),
            write_stall: overrides.write_stall.unwrap_or(self.write_stall),
            session_window: overrides.session_window.unwrap_or(self.session_window),
            stream_window: overrides.stream_window.unwrap_or(self.stream_window),
            max_unacked: overrides.max_unacked.unwrap_or(self.max_unacked),
            resume_within: overrides.resume_within.unwrap_or(self.resume_within),
            max_parked: overrides.max_parked.unwrap_or(self.max_parked),
            max_parked_bytes: overrides.max_parked_bytes.unwrap_or(self.max_parked_bytes),
        }
    }
}

/// One of `[[tokens]]`: a credential, and what comes with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenSection {
    /// Name of the token's owner, for logs.
    pub name: String,
    /// The credential: visible ASCII. This or `token-file`.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    /// A file that holds the credential.
    #[serde(skip_serializing_if = "is_empty")]
    pub token_file: PathBuf,
    /// Lanes it may name. Left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lanes: Option<Vec<String>>,
    /// Address ranges it may reach beside those of `[guard]`.
    pub allow_net: Vec<Text<IpNet>>,
    /// Limits of its own, by the keys of `[relay]`.
    pub limits: LimitOverrides,
}

fn is_empty(path: &std::path::Path) -> bool {
    path.as_os_str().is_empty()
}

/// `limits` of a token: keys of `[relay]`; what is left out is as there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of RelaySection")]
pub struct LimitOverrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queued_bytes: Option<Text<Size>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message: Option<Text<Size>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_answers: Option<Text<Size>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_interval: Option<Text<Dur>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Text<Dur>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_stall: Option<Text<Dur>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_window: Option<Text<Size>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_window: Option<Text<Size>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unacked: Option<Text<Size>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_within: Option<Text<Dur>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parked: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parked_bytes: Option<Text<Size>>,
}
