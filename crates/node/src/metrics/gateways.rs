//! Metrics of gateways: those that each counts itself, and those that it reports to its observer.

use std::fmt;
use std::time::Duration;

use fetchway_gateway::{Connected, Gateway, Observer, Pushed, Stats};

use super::Count;
use super::histogram::Histogram;
use super::scrape::{Label, Page};

/// The metrics of one gateway.
#[derive(Debug)]
pub(crate) struct GatewayMetrics {
    name: String,
    requested: Histogram,
    lost: Count,
    /// By the position of the outcome in [`Pushed::ALL`].
    pushed: [Count; Pushed::ALL.len()],
    /// By the position of the outcome in [`Connected::ALL`].
    connected: [Count; Connected::ALL.len()],
}

impl GatewayMetrics {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            requested: Histogram::default(),
            lost: Count::default(),
            pushed: Default::default(),
            connected: Default::default(),
        }
    }

    fn label(&self) -> Label<'_> {
        ("gateway", &self.name)
    }
}

impl Observer for GatewayMetrics {
    fn requested(&self, took: Duration) {
        self.requested.observe(took);
    }

    fn lost(&self) {
        self.lost.add(1);
    }

    fn pushed(&self, what: Pushed) {
        // The enum counts from 0 in the order of `ALL`; a test says so.
        self.pushed[what as usize].add(1);
    }

    fn connected(&self, what: Connected) {
        // Likewise.
        self.connected[what as usize].add(1);
    }
}

/// A counter or gauge that a gateway keeps: its name, what it means, and where it is found.
type Kept = (&'static str, &'static str, fn(&Stats) -> u64);

const COUNTERS: [Kept; 7] = [
    (
        "fetchway_gateway_connections_opened",
        "Clients whose connection the API has accepted.",
        |stats| stats.connections_opened,
    ),
    (
        "fetchway_gateway_connections_closed",
        "Clients that are gone, of those whose connection the API had accepted.",
        |stats| stats.connections_closed,
    ),
    (
        "fetchway_gateway_requests_started",
        "Requests to the API that were begun.",
        |stats| stats.requests_started,
    ),
    (
        "fetchway_gateway_requests_failed",
        "Requests to the API that brought no answer, or one that is not a 2xx.",
        |stats| stats.requests_failed,
    ),
    (
        "fetchway_gateway_requests_succeeded",
        "Requests to the API that brought a 2xx.",
        |stats| stats.requests_succeeded,
    ),
    (
        "fetchway_gateway_messages_in",
        "Messages of clients.",
        |stats| stats.messages_in,
    ),
    (
        "fetchway_gateway_messages_out",
        "Messages to clients: answers and pushes.",
        |stats| stats.messages_out,
    ),
];

const GAUGES: [Kept; 3] = [
    (
        "fetchway_gateway_connections",
        "Clients connected.",
        |stats| stats.connections,
    ),
    (
        "fetchway_gateway_queued_messages",
        "Messages that wait for the API.",
        |stats| stats.queued_messages,
    ),
    (
        "fetchway_gateway_pending_deletes",
        "DELETEs that wait to be sent or are tried.",
        |stats| stats.pending_deletes,
    ),
];

/// A gateway, and what it has told.
pub(crate) type Told = (Gateway, std::sync::Arc<GatewayMetrics>);

impl Page<'_> {
    /// Nothing where there is no gateway.
    pub(super) fn gateways(&mut self, gateways: &[Told]) -> fmt::Result {
        if gateways.is_empty() {
            return Ok(());
        }
        let stats: Vec<Stats> = gateways
            .iter()
            .map(|(gateway, _)| gateway.stats())
            .collect();
        let told = || gateways.iter().map(|(_, told)| &**told);
        let labels = || told().map(GatewayMetrics::label);
        for (name, help, value) in COUNTERS {
            self.counters(name, help, labels().zip(stats.iter().map(value)))?;
        }
        for (name, help, value) in GAUGES {
            self.gauges(name, help, labels().zip(stats.iter().map(value)))?;
        }
        self.counters(
            "fetchway_gateway_messages_lost",
            "Messages of clients that were given up before the API had answered.",
            told().map(|told| (told.label(), told.lost.get())),
        )?;
        let help = "Pushes, by what became of them.";
        self.outcomes(
            ("fetchway_gateway_pushes", help, "outcome"),
            &Pushed::ALL.map(Pushed::as_str),
            told().map(|told| (told.label(), &told.pushed[..])),
        )?;
        let help = "Handshakes of clients, by what became of them.";
        self.outcomes(
            ("fetchway_gateway_handshakes", help, "outcome"),
            &Connected::ALL.map(Connected::as_str),
            told().map(|told| (told.label(), &told.connected[..])),
        )?;
        self.histograms(
            "fetchway_gateway_request_duration",
            "Time from beginning a request to the API to its end.",
            told().map(|told| (told.label(), &told.requested)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_their_own_index() {
        for (index, what) in Pushed::ALL.iter().enumerate() {
            assert_eq!(*what as usize, index);
        }
        for (index, what) in Connected::ALL.iter().enumerate() {
            assert_eq!(*what as usize, index);
        }
    }
}
