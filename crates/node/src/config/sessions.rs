//! `[relay]` and `[[tokens]]`: who may open sessions, and the limits of a session.

use std::path::PathBuf;
use std::time::Duration;

use fetchway_policy::guard::IpNet;
use fetchway_policy::units::Size;
use fetchway_service::{BinaryLimits, Limits};
use toml::{Table, Value};

use super::Secret;
use super::bounds::{at_least, some, some_time};
use super::leaf::{KeyPath, Step};
use super::setting::{Given, Reader, Setting, section};

const KIB: u64 = 1 << 10;

section! {
    /// `[relay]`: limits of sessions. A token may have others.
    pub struct RelaySection {
        /// Sessions at once of one token, or of all clients without one. Further ones are refused with 429.
        max_sessions: usize = 10_000, some;
        /// Fetches of one session dispatched and not yet answered. Further ones wait.
        max_in_flight: usize = Limits::default().in_flight, some;
        /// Fetches of one session that wait. Further ones are refused with `queue_full`.
        max_queued: usize = Limits::default().queued, some;
        /// Bytes of the fetches that wait. Further ones are refused with `queue_full`.
        max_queued_bytes: Size = Size(Limits::default().queued_bytes as u64), at_least(KIB);
        /// Bytes of one message. A longer one is skipped and answered with `limit_exceeded`.
        max_message: Size = Size(Limits::default().message as u64), at_least(KIB);
        /// Bytes of answers not yet written. Beyond it the relay stops taking results from origins.
        max_answers: Size = Size(Limits::default().answers as u64), at_least(KIB);
        /// Time between pings of a quiet connection.
        ping_interval: Duration = Limits::default().ping_interval, some_time;
        /// Time without any sign of life after which a connection is closed.
        idle_timeout: Duration = Limits::default().idle_timeout;
        /// Time after which a connection that takes none of the waiting bytes is closed.
        write_stall: Duration = Limits::default().write_stall, some_time;
        /// Bytes of request bodies that one binary session may send before origins have taken them. At least
        /// a few frames.
        session_window: Size = Size(BinaryLimits::default().session_window as u64), at_least(64 * KIB);
        /// The same limit for one fetch. At least one frame, at most `session_window`.
        stream_window: Size = Size(BinaryLimits::default().stream_window as u64), at_least(16 * KIB);
        /// Bytes sent to a binary client and not acknowledged. Beyond it sending waits.
        max_unacked: Size = Size(BinaryLimits::default().unacked as u64), at_least(64 * KIB);
        /// Time for which a binary session outlives its connection; zero for not at all.
        resume_within: Duration = BinaryLimits::default().resume_within;
        /// Binary sessions of one token without a connection. Beyond it the oldest ends.
        max_parked: usize = BinaryLimits::default().parked, parked;
        /// Bytes that those sessions hold. Beyond it the oldest ends.
        max_parked_bytes: Size = Size(BinaryLimits::default().parked_bytes as u64), at_least(KIB);
    }
}

fn parked(count: &usize) -> Option<String> {
    let why =
        "expected at least 1; to keep no session without a connection, set resume-within to 0s";
    (*count == 0).then(|| why.to_owned())
}

impl RelaySection {
    /// Returns the limits as the relay takes them; `max_sessions` is the node's own.
    #[must_use]
    pub fn to_limits(&self) -> Limits {
        Limits {
            in_flight: self.max_in_flight,
            queued: self.max_queued,
            queued_bytes: self.max_queued_bytes.as_usize(),
            message: self.max_message.as_usize(),
            answers: self.max_answers.as_usize(),
            ping_interval: self.ping_interval,
            idle_timeout: self.idle_timeout,
            write_stall: self.write_stall,
            binary: BinaryLimits {
                session_window: self.session_window.as_usize(),
                stream_window: self.stream_window.as_usize(),
                unacked: self.max_unacked.as_usize(),
                resume_within: self.resume_within,
                parked: self.max_parked,
                parked_bytes: self.max_parked_bytes.as_usize(),
            },
        }
    }

    /// Returns these limits with those of a token in their place.
    #[must_use]
    pub fn overridden(&self, overrides: &LimitOverrides) -> Self {
        let mut limits = self.clone();
        let mut reader = Reader {
            at: KeyPath::default(),
            problems: &mut Vec::new(),
        };
        // Each of the values has been accepted before.
        let given = Value::Table(overrides.0.clone());
        limits.set(&[], Given::Value(&given), &mut reader);
        limits
    }
}

section! {
    /// One of `[[tokens]]`: a credential, and the rights of its holder.
    pub struct TokenSection {
        /// Name of the holder; shown in logs.
        name: String = String::new();
        /// The credential: visible ASCII. This or `token-file`.
        token: Secret = Secret::default();
        /// A file that holds the credential.
        token_file: PathBuf = PathBuf::new();
        /// Lanes that the holder may name. Left out: all.
        lanes: Option<Vec<String>> = None;
        /// Address ranges that the holder may reach beside those of `[guard]`.
        allow_net: Vec<IpNet> = Vec::new();
        /// Limits of the holder's own, by the keys of `[relay]`.
        limits: LimitOverrides = LimitOverrides::default();
    }
}

/// `limits` of a token: a table to be merged over `[relay]`.
#[derive(Clone, Debug, Default)]
pub struct LimitOverrides(Table);

impl Setting for LimitOverrides {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let mut overrides = Self::default();
        overrides.set(way, given, reader);
        Some(overrides)
    }

    fn set(&mut self, way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) {
        let known = reader.problems.len();
        let mut limits = RelaySection::default();
        limits.set(way, given, reader);
        let is_wrong = |key: &str| {
            let at = reader.at.key(key);
            reader.problems[known..]
                .iter()
                .any(|problem| problem.at == at)
        };
        let given = match (way, given.value()) {
            ([Step::Key(key)], value) => Table::from_iter([(key.clone(), value)]),
            ([], Value::Table(table)) => table,
            _ => return,
        };
        let sound = given.into_iter().filter(|(key, _)| !is_wrong(key));
        self.0.extend(sound);
    }

    fn write(&self) -> Option<Value> {
        Some(self.0.clone().into())
    }
}
