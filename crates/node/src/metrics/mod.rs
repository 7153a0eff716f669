//! Counters of a node. On the path of a fetch, each is an atomic that is found by the lane's index, without
//! a lock or a hash. `scrape` writes them in OpenMetrics format.

mod gateways;
mod histogram;
mod process;
mod scrape;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use fetchway_fetch::{Moved, Observer, Outcome};
use fetchway_policy::ErrorName;
use fetchway_relay::{EndReason, SessionObserver};

pub(crate) use gateways::{GatewayMetrics, Told};
use histogram::Histogram;
pub(crate) use scrape::Scrape;

/// A number that only grows.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One lane's fetches.
#[derive(Debug)]
struct Lane {
    name: String,
    started: Count,
    succeeded: Count,
    /// By the position of the name in [`ErrorName::ALL`].
    failed: Box<[Count]>,
    took: Histogram,
    sent: Count,
    received: Count,
}

/// A listener, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerName {
    Main,
    Admin,
    /// The listeners for clients of gateways, all together.
    Gateway,
    /// The listeners for pushes, all together.
    Push,
}

impl ListenerName {
    const ALL: [Self; 4] = [Self::Main, Self::Admin, Self::Gateway, Self::Push];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Admin => "admin",
            Self::Gateway => "gateway",
            Self::Push => "push",
        }
    }
}

/// One listener's connections.
#[derive(Debug, Default)]
struct Listener {
    accepted: Count,
    accept_errors: Count,
    handshake_errors: Count,
    proxy_header_errors: Count,
}

/// Why a request was refused at the door, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Origin,
    Host,
    Token,
    Sessions,
}

impl Refused {
    const ALL: [Self; 4] = [Self::Origin, Self::Host, Self::Token, Self::Sessions];

    fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Host => "host",
            Self::Token => "token",
            Self::Sessions => "sessions",
        }
    }
}

/// Everything this node counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    lanes: Box<[Lane]>,
    connections_opened: Count,
    connections_closed: Count,
    sessions_opened: Count,
    /// By the position of the reason in [`EndReason::ALL`].
    sessions_closed: [Count; EndReason::ALL.len()],
    session_bytes_in: Count,
    session_bytes_out: Count,
    listeners: [Listener; ListenerName::ALL.len()],
    refused: [Count; Refused::ALL.len()],
}

impl Metrics {
    /// For lanes of these names, in the engine's order.
    pub(crate) fn new<'a>(lanes: impl IntoIterator<Item = &'a str>) -> Self {
        let lanes = lanes.into_iter().map(|name| Lane {
            name: name.to_owned(),
            started: Count::default(),
            succeeded: Count::default(),
            failed: ErrorName::ALL.iter().map(|_| Count::default()).collect(),
            took: Histogram::default(),
            sent: Count::default(),
            received: Count::default(),
        });
        Self {
            lanes: lanes.collect(),
            connections_opened: Count::default(),
            connections_closed: Count::default(),
            sessions_opened: Count::default(),
            sessions_closed: Default::default(),
            session_bytes_in: Count::default(),
            session_bytes_out: Count::default(),
            listeners: Default::default(),
            refused: Default::default(),
        }
    }

    fn listener(&self, name: ListenerName) -> &Listener {
        &self.listeners[name as usize]
    }

    pub(crate) fn accepted(&self, listener: ListenerName) {
        self.listener(listener).accepted.add(1);
    }

    pub(crate) fn accept_failed(&self, listener: ListenerName) {
        self.listener(listener).accept_errors.add(1);
    }

    pub(crate) fn handshake_failed(&self, listener: ListenerName) {
        self.listener(listener).handshake_errors.add(1);
    }

    pub(crate) fn unproxied(&self, listener: ListenerName) {
        self.listener(listener).proxy_header_errors.add(1);
    }

    pub(crate) fn refused(&self, why: Refused) {
        self.refused[why as usize].add(1);
    }
}

impl Observer for Metrics {
    fn fetch_started(&self, lane: usize) {
        if let Some(lane) = self.lanes.get(lane) {
            lane.started.add(1);
        }
    }

    fn fetch_ended(&self, lane: usize, outcome: Outcome, took: Duration, moved: Moved) {
        let Some(lane) = self.lanes.get(lane) else {
            return;
        };
        match outcome {
            Ok(_) => lane.succeeded.add(1),
            // The enum counts from 0 in the order of `ALL`; a test says so.
            Err(name) => lane.failed[name as usize].add(1),
        }
        lane.took.observe(took);
        lane.sent.add(moved.sent);
        lane.received.add(moved.received);
    }

    fn connection_opened(&self) {
        self.connections_opened.add(1);
    }

    fn connection_closed(&self) {
        self.connections_closed.add(1);
    }
}

impl SessionObserver for Metrics {
    fn session_opened(&self) {
        self.sessions_opened.add(1);
    }

    fn session_closed(&self, reason: EndReason) {
        self.sessions_closed[reason as usize].add(1);
    }

    fn session_refused(&self) {
        self.refused(Refused::Sessions);
    }

    fn bytes_in(&self, n: u64) {
        self.session_bytes_in.add(n);
    }

    fn bytes_out(&self, n: u64) {
        self.session_bytes_out.add(n);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_stand_at_their_own_index() {
        for (index, name) in ErrorName::ALL.iter().enumerate() {
            assert_eq!(*name as usize, index, "{name}");
        }
        for (index, why) in Refused::ALL.iter().enumerate() {
            assert_eq!(*why as usize, index);
        }
        for (index, name) in ListenerName::ALL.iter().enumerate() {
            assert_eq!(*name as usize, index);
        }
        for (index, reason) in EndReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn each_reason_of_an_end_is_counted_under_its_own_label() {
        let metrics = Metrics::new(["default"]);
        for (index, reason) in EndReason::ALL.iter().enumerate() {
            for _ in 0..=index {
                metrics.session_closed(*reason);
            }
        }
        let counts: Vec<u64> = metrics.sessions_closed.iter().map(Count::get).collect();
        let expected: Vec<u64> = (1..=EndReason::ALL.len() as u64).collect();
        assert_eq!(counts, expected);
        let labels: BTreeSet<&str> = EndReason::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(labels.len(), EndReason::ALL.len());
    }
}
