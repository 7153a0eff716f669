//! Results of a run of requests.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;

/// A finished run: every request was answered, and every answer verified.
pub(crate) struct Run {
    pub(crate) requests: usize,
    pub(crate) took: Duration,
    /// Microseconds from the sending of a request to the end of its answer.
    latency: Histogram<u64>,
}

impl Run {
    /// Combines runs that took place at the same time.
    pub(crate) fn all(runs: Vec<Self>) -> anyhow::Result<Self> {
        let mut runs = runs.into_iter();
        let mut all = runs.next().context("there is no run to combine")?;
        for run in runs {
            all.requests += run.requests;
            all.took = all.took.max(run.took);
            all.latency
                .add(run.latency)
                .context("the histograms cannot be added")?;
        }
        Ok(all)
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// A quantile of the latency, in microseconds.
    pub(crate) fn micros(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests in {:.2} s, {:.0}/s, latency p50 {} µs, p95 {} µs, p99 {} µs",
            self.requests,
            self.took.as_secs_f64(),
            self.per_second(),
            self.micros(0.50),
            self.micros(0.95),
            self.micros(0.99),
        )
    }
}

/// A run in progress.
pub(crate) struct Recorder {
    began: Instant,
    latency: Histogram<u64>,
}

impl Recorder {
    pub(crate) fn start() -> anyhow::Result<Self> {
        // One minute, with three significant digits; no request here takes longer.
        let latency =
            Histogram::new_with_max(60_000_000, 3).context("the histogram cannot be created")?;
        Ok(Self {
            began: Instant::now(),
            latency,
        })
    }

    pub(crate) fn record(&mut self, sent: Instant) {
        let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros);
    }

    pub(crate) fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency
            .add(&other.latency)
            .context("the histograms cannot be added")
    }

    pub(crate) fn finish(self, requests: usize) -> anyhow::Result<Run> {
        if self.latency.len() != requests as u64 {
            bail!(
                "{} answers arrived for {requests} requests",
                self.latency.len()
            );
        }
        Ok(Run {
            requests,
            took: self.began.elapsed(),
            latency: self.latency,
        })
    }
}
