//! The ways of a message to the API, and the cost of each.

use clap::ValueEnum;

use crate::load::Run;
use crate::process::Each;
use crate::say;
use crate::spread::Spread;

/// Way of a message to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// POSTs through nginx
    Nginx,
    /// WebSockets at Pushpin, if it is installed
    Pushpin,
    /// WebSockets at a gateway that uses HTTP/1.1 to the API
    Http1,
    /// WebSockets at a gateway that uses HTTP/2 with prior knowledge to the API
    H2c,
    /// Like http1, with many senders
    Http1Many,
    /// Like h2c, with many senders
    H2cMany,
}

impl Way {
    pub(super) const ALL: [Self; 6] = [
        Self::Nginx,
        Self::Pushpin,
        Self::Http1,
        Self::H2c,
        Self::Http1Many,
        Self::H2cMany,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Pushpin => "Pushpin",
            Self::Http1 => "HTTP/1.1",
            Self::H2c => "h2c",
            Self::Http1Many => "HTTP/1.1, many",
            Self::H2cMany => "h2c, many",
        }
    }

    /// Index of the crowd that sends this way: gateway over HTTP/1.1, gateway over h2c, Pushpin.
    pub(super) fn crowd(self) -> Option<usize> {
        match self {
            Self::Nginx => None,
            Self::Http1 | Self::Http1Many => Some(0),
            Self::H2c | Self::H2cMany => Some(1),
            Self::Pushpin => Some(2),
        }
    }
}

/// Cost and results of one run.
pub(super) struct Cost {
    pub(super) cpu: Each,
    pub(super) run: Run,
}

/// Prints the figures of each way, and their ratios.
pub(super) fn report(ways: &[Way], costs: &[Vec<Cost>]) {
    let figures =
        |costs: &[Cost], of: &dyn Fn(&Cost) -> f64| costs.iter().map(of).collect::<Vec<_>>();
    say("");
    say("median of the rounds (minimum..maximum)");
    for (way, costs) in ways.iter().zip(costs) {
        let name = way.name();
        let cpu = Spread::of(&figures(costs, &|cost| cost.cpu.total), 1);
        let user = Spread::of(&figures(costs, &|cost| cost.cpu.user), 1);
        let rate = Spread::of(&figures(costs, &|cost| cost.run.per_second()), 0);
        let p50 = Spread::of(&figures(costs, &|cost| cost.run.micros(0.50) as f64), 0);
        let p99 = Spread::of(&figures(costs, &|cost| cost.run.micros(0.99) as f64), 0);
        say(&format!(
            "{name:<16} CPU per message {cpu} µs, of it user {user}"
        ));
        say(&format!(
            "{:<16} messages per second {rate}; latency p50 {p50} µs, p99 {p99} µs",
            ""
        ));
    }
    say("");
    say("ratios, round by round             CPU                  rate");
    for (this, that) in [
        (Way::Http1, Way::Nginx),
        (Way::H2c, Way::Nginx),
        (Way::Http1Many, Way::Http1),
        (Way::H2cMany, Way::H2c),
        (Way::Pushpin, Way::Nginx),
        (Way::Pushpin, Way::Http1),
    ] {
        let of = |way: Way| {
            ways.iter()
                .position(|known| *known == way)
                .map(|at| &costs[at])
        };
        let (Some(these), Some(those)) = (of(this), of(that)) else {
            continue;
        };
        let ratio = |of: &dyn Fn(&Cost) -> f64| {
            let pairs = these.iter().zip(those);
            let ratios: Vec<f64> = pairs.map(|(this, that)| of(this) / of(that)).collect();
            Spread::of(&ratios, 2).to_string()
        };
        let (cpu, rate) = (
            ratio(&|cost| cost.cpu.total),
            ratio(&|cost| cost.run.per_second()),
        );
        let name = format!("{} / {}", this.name(), that.name());
        say(&format!("{name:<34} {cpu:<20} {rate}"));
    }
}
