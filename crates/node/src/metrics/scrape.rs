//! Writes everything down in OpenMetrics form.

use std::fmt;
use std::sync::Arc;

use fetchway_fetch::Engine;
use fetchway_policy::ErrorName;
use fetchway_relay::EndReason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Histogram;
use super::{Count, Lane, ListenerName, Metrics, Refused, Told, process};
use crate::fdlimit;

/// Counters have no exemplars here; the encoder wants the type all the same.
const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

pub(super) type Label<'a> = (&'static str, &'a str);

/// Writes the metrics of one node.
#[derive(Debug)]
pub(crate) struct Scrape {
    registry: Registry,
}

impl Scrape {
    pub(crate) fn new(metrics: Arc<Metrics>, engine: Engine, gateways: Vec<Told>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Source {
            metrics,
            engine,
            gateways,
        }));
        Self { registry }
    }

    /// The whole text. Lists this process's open files: not for the async runtime's threads.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

struct Source {
    metrics: Arc<Metrics>,
    engine: Engine,
    gateways: Vec<Told>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.metrics.fmt(f)
    }
}

impl Collector for Source {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        page.lanes(&self.metrics.lanes)?;
        page.engine(&self.engine, &self.metrics)?;
        page.sessions(&self.metrics)?;
        page.gateways(&self.gateways)?;
        page.listeners(&self.metrics)?;
        page.process()
    }
}

pub(super) struct Page<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Page<'_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut self.encoder.encode_descriptor(name, help, None, kind)?)
    }

    /// A counter with one label.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Label<'l>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            for (label, value) in values {
                let labels = [label];
                let mut one = metric.encode_family(&labels)?;
                one.encode_counter(&value, NO_EXEMPLAR)?;
            }
            Ok(())
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: &Count) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            metric.encode_counter(&value.get(), NO_EXEMPLAR)
        })
    }

    /// A gauge with one label.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Label<'l>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |metric| {
            for (label, value) in values {
                metric.encode_family(&[label])?.encode_gauge(&value)?;
            }
            Ok(())
        })
    }

    /// A counter with a second label, `outcome`, for each of its values in `names`.
    pub(super) fn outcomes<'l>(
        &mut self,
        (name, help, outcome): (&str, &str, &'static str),
        names: &[&'static str],
        counts: impl Iterator<Item = (Label<'l>, &'l [Count])>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            for (label, counts) in counts {
                for (name, count) in names.iter().zip(counts) {
                    let labels = [label, (outcome, *name)];
                    let mut one = metric.encode_family(&labels)?;
                    one.encode_counter(&count.get(), NO_EXEMPLAR)?;
                }
            }
            Ok(())
        })
    }

    /// A histogram of durations with one label.
    pub(super) fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = (Label<'l>, &'l Histogram)>,
    ) -> fmt::Result {
        let (unit, kind) = (Some(&Unit::Seconds), MetricType::Histogram);
        let mut metric = self.encoder.encode_descriptor(name, help, unit, kind)?;
        for (label, histogram) in all {
            let (read, labels) = (histogram.read(), [label]);
            let mut one = metric.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |metric| {
            metric.encode_gauge(&value)
        })
    }

    fn lanes(&mut self, lanes: &[Lane]) -> fmt::Result {
        let each = |value: fn(&Lane) -> u64| lanes.iter().map(move |l| (lane(&l.name), value(l)));
        self.counters(
            "fetchway_fetches_started",
            "Fetches taken on.",
            each(|l| l.started.get()),
        )?;
        self.counters(
            "fetchway_fetches_succeeded",
            "Fetches whose response, of whatever status, came whole.",
            each(|l| l.succeeded.get()),
        )?;
        self.outcomes(
            (
                "fetchway_fetches_failed",
                "Fetches without a whole response.",
                "error",
            ),
            &ErrorName::ALL
                .iter()
                .map(|it| it.as_str())
                .collect::<Vec<_>>(),
            lanes.iter().map(|l| (lane(&l.name), &l.failed[..])),
        )?;
        self.histograms(
            "fetchway_fetch_duration",
            "Time from taking a fetch on to its end, in the queue included.",
            lanes.iter().map(|l| (lane(&l.name), &l.took)),
        )?;
        self.counters(
            "fetchway_fetch_sent_bytes",
            "Request body bytes given to origins.",
            each(|l| l.sent.get()),
        )?;
        self.counters(
            "fetchway_fetch_received_bytes",
            "Response body bytes received from origins, before decoding.",
            each(|l| l.received.get()),
        )
    }

    fn engine(&mut self, engine: &Engine, metrics: &Metrics) -> fmt::Result {
        let stats = engine.lane_stats();
        let names = || metrics.lanes.iter().map(|l| lane(&l.name));
        self.gauges(
            "fetchway_fetches_in_flight",
            "Fetches dispatched and not yet ended.",
            names().zip(stats.iter().map(|s| s.in_flight as u64)),
        )?;
        self.gauges(
            "fetchway_fetches_paused",
            "Of those in flight, the ones whose own reader has stopped.",
            names().zip(stats.iter().map(|s| s.paused as u64)),
        )?;
        self.gauges(
            "fetchway_fetches_queued",
            "Fetches waiting for dispatch.",
            names().zip(stats.iter().map(|s| s.queued as u64)),
        )?;
        self.gauges(
            "fetchway_fetches_queued_bytes",
            "Bytes of the requests waiting for dispatch.",
            names().zip(stats.iter().map(|s| s.queued_bytes as u64)),
        )?;
        self.gauge(
            "fetchway_body_budget_used_bytes",
            "Memory reserved for whole response bodies.",
            engine.budget_used(),
        )?;
        self.counter(
            "fetchway_origin_connections_opened",
            "Connections opened to origins.",
            &metrics.connections_opened,
        )?;
        self.counter(
            "fetchway_origin_connections_closed",
            "Connections to origins that are gone.",
            &metrics.connections_closed,
        )
    }

    fn sessions(&mut self, metrics: &Metrics) -> fmt::Result {
        self.counter(
            "fetchway_sessions_opened",
            "Sessions opened.",
            &metrics.sessions_opened,
        )?;
        let closed = EndReason::ALL.iter().zip(&metrics.sessions_closed);
        let closed = closed.map(|(reason, count)| (("reason", reason.as_str()), count.get()));
        self.counters(
            "fetchway_sessions_closed",
            "Sessions closed.",
            // Reasons that have not occurred have no line.
            closed.filter(|(_, count)| *count > 0),
        )?;
        self.counter(
            "fetchway_session_in_bytes",
            "Bytes received from clients.",
            &metrics.session_bytes_in,
        )?;
        self.counter(
            "fetchway_session_out_bytes",
            "Bytes written to clients.",
            &metrics.session_bytes_out,
        )
    }

    fn listeners(&mut self, metrics: &Metrics) -> fmt::Result {
        let each = |value: fn(&super::Listener) -> &Count| {
            let all = ListenerName::ALL.into_iter();
            all.map(move |name| {
                let label = ("listener", name.as_str());
                (label, value(metrics.listener(name)).get())
            })
        };
        self.counters(
            "fetchway_connections_accepted",
            "Connections accepted.",
            each(|l| &l.accepted),
        )?;
        self.counters(
            "fetchway_accept_errors",
            "Connections that could not be accepted.",
            each(|l| &l.accept_errors),
        )?;
        self.counters(
            "fetchway_handshake_errors",
            "TLS handshakes that failed or took too long.",
            each(|l| &l.handshake_errors),
        )?;
        self.counters(
            "fetchway_proxy_header_errors",
            "Connections closed for want of a PROXY header, or of trust in who sent it.",
            each(|l| &l.proxy_header_errors),
        )?;
        let refused = Refused::ALL.into_iter();
        self.counters(
            "fetchway_requests_refused",
            "Requests refused at the door, by what they lacked or exceeded.",
            refused.map(|why| {
                (
                    ("reason", why.as_str()),
                    metrics.refused[why as usize].get(),
                )
            }),
        )
    }

    fn process(&mut self) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.family(
            "fetchway_build",
            "What is running.",
            MetricType::Info,
            |metric| metric.encode_info(&version),
        )?;
        if let Some(open) = process::open_files() {
            self.gauge("process_open_fds", "Open files.", open)?;
        }
        if let Ok(limit) = fdlimit::soft_limit() {
            self.gauge("process_max_fds", "The most files that can be open.", limit)?;
        }
        if let Some(bytes) = process::resident_bytes() {
            self.gauge("process_resident_memory_bytes", "Memory in use.", bytes)?;
        }
        Ok(())
    }
}

fn lane(name: &str) -> Label<'_> {
    ("lane", name)
}
