//! The account of a run. Its JSON has the names of these fields, in camelCase, and they stay.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fetchway_policy::Rate;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Pace, Statistics};
use crate::{Found, FoundRates};

/// What whoever ran it knows of a run.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What the input is called.
    pub input: String,
    /// What the output is called.
    pub output: String,
    /// The rate that was to be held; none: as fast as it goes.
    pub target: Option<Rate>,
    /// It was stopped before all was done.
    pub stopped: bool,
    /// What an earlier run had left, if this one resumed it.
    pub earlier: Found,
    /// Bad lines that were skipped.
    pub skipped: u64,
    /// Items to which further pages would follow, but for the bound.
    pub cut: u64,
    /// From start to end.
    pub wall: Duration,
    /// For how long the schedule was held up, by what.
    pub held_up: Vec<(String, Duration)>,
    /// What an adaptive run has found.
    pub adaptive: Option<FoundRates>,
}

/// The account of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What the input is called.
    pub input: String,
    /// What the output is called.
    pub output: String,
    /// When it began, as an HTTP date.
    pub started: String,
    /// How long it took.
    pub wall_seconds: f64,
    /// It was stopped before all was done.
    pub stopped: bool,
    /// Of items.
    pub items: Items,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Items without a response, by the name of the error.
    pub errors: BTreeMap<&'static str, u64>,
    /// Of each of these names the sentence of one such item, 160 characters at most.
    pub error_examples: BTreeMap<&'static str, String>,
    /// Requests.
    pub sends: Sends,
    /// From the scheduled time to the end, of items with a response; none without any.
    pub latency: Option<Latency>,
    /// The same of items that were sent and got none.
    pub latency_of_errors: Option<Latency>,
    /// The rate.
    pub rate: Held,
    /// Sizes.
    pub bytes: Bytes,
    /// How many seconds each point of `points` is long.
    pub point_seconds: u64,
    /// What happened over time; at most 240.
    pub points: Vec<Point>,
    /// The responses' latencies by size, for the report.
    #[serde(skip)]
    pub(super) distribution: Vec<(f64, u64)>,
    /// Seconds from the start to the last request, for the report.
    #[serde(skip)]
    pub(super) dispatch_seconds: f64,
}

/// Counts of items.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// With an outcome of this run; each page that followed one counts as one.
    pub done: u64,
    /// Of them, those with a response of a status below 400.
    pub succeeded: u64,
    /// The others.
    pub failed: u64,
    /// Of the failed, those that were never sent.
    pub never_sent: u64,
    /// Of those done, pages that a response named.
    pub followed: u64,
    /// Items to which further pages would follow, but for the bound.
    pub cut: u64,
    /// Bad lines that were skipped.
    pub skipped: u64,
    /// Lines that the output had before.
    pub earlier: u64,
    /// Of them, failures, before they were retried.
    pub earlier_failed: u64,
}

/// Counts of requests.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sends {
    /// All that were handed to a connection: tries, redirects, and what was sent again on another one.
    pub total: u64,
    /// Items with an outcome that were tried more than once.
    pub retried_items: u64,
}

/// A distribution of latencies, in milliseconds; each within 0.1 %.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Half are at most this.
    pub p50_ms: f64,
    /// 90 % are at most this.
    pub p90_ms: f64,
    /// 99 % are at most this.
    pub p99_ms: f64,
    /// 99.9 % are at most this.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// The rate at which requests were sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// As it was to be, like `5000/s`; none: as fast as it goes.
    pub target: Option<String>,
    /// The same, a second.
    pub target_per_second: Option<f64>,
    /// From the first request to the last; none with fewer than two.
    pub mean_per_second: Option<f64>,
    /// How many seconds the windows are long that follow: as the rate's, one without a rate.
    pub window_seconds: f64,
    /// Requests in the window that had most, wherever it begins, to a millionth of its length.
    pub fullest_window: u64,
    /// In the one that had fewest, of those between first tries; none if the run is shorter.
    pub emptiest_window: Option<u64>,
    /// Seconds for which the schedule was held up, by what.
    pub held_up_seconds: BTreeMap<String, f64>,
    /// The rates found, of an adaptive run.
    pub adaptive: Option<FoundRates>,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bytes {
    /// Of response bodies, decoded.
    pub bodies: u64,
}

/// What happened in a while.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// When it begins, in seconds from the start.
    pub from: u64,
    /// Requests sent.
    pub dispatched: u64,
    /// Items that ended with a response of a status below 400.
    pub succeeded: u64,
    /// Items that ended otherwise.
    pub failed: u64,
    /// Half of the latencies of responses that came then are at most this, in milliseconds, within
    /// 1 %.
    pub p50_ms: Option<f64>,
    /// 99 % are at most this.
    pub p99_ms: Option<f64>,
}

impl Latency {
    /// The quantiles that are marked in plots.
    pub(super) fn marks(&self) -> [(&'static str, f64); 4] {
        [
            ("p50", self.p50_ms),
            ("p90", self.p90_ms),
            ("p99", self.p99_ms),
            ("p99.9", self.p999_ms),
        ]
    }

    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean_ms: histogram.mean() / 1e3,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        })
    }
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// `5000/s`, `100/250ms`.
fn written(rate: Rate) -> String {
    let window = format!("{:?}", rate.window);
    let unit = if window == "1s" { "s" } else { &window };
    format!("{}/{unit}", rate.count)
}

impl Held {
    /// What the windows are called: `second`, `15s window`, `250ms window`.
    pub(super) fn window(&self) -> String {
        match self.window_seconds {
            1.0 => "second".to_owned(),
            seconds => format!("{:?} window", Duration::from_secs_f64(seconds)),
        }
    }
}

impl Summary {
    /// Of a run that has ended, or that stands still.
    #[must_use]
    pub fn new(about: About, pace: &Pace, statistics: &Statistics) -> Self {
        let (point_seconds, points) = points(pace, statistics);
        let started = SystemTime::UNIX_EPOCH + Duration::from_micros(statistics.start);
        let held_up = about.held_up.into_iter();
        Self {
            started: httpdate::fmt_http_date(started),
            wall_seconds: about.wall.as_secs_f64(),
            stopped: about.stopped,
            items: Items {
                done: statistics.done(),
                succeeded: statistics.succeeded,
                failed: statistics.failed,
                never_sent: statistics.never_sent,
                followed: statistics.followed,
                cut: about.cut,
                skipped: about.skipped,
                earlier: about.earlier.lines,
                earlier_failed: about.earlier.failed,
            },
            statuses: statistics.statuses.clone(),
            errors: statistics
                .errors
                .iter()
                .map(|(name, count)| (name.as_str(), *count))
                .collect(),
            error_examples: statistics
                .examples
                .iter()
                .map(|(name, detail)| (name.as_str(), detail.clone()))
                .collect(),
            sends: Sends {
                total: pace.count(),
                retried_items: statistics.retried,
            },
            latency: Latency::of(&statistics.answered),
            latency_of_errors: Latency::of(&statistics.unanswered),
            rate: Held {
                target: about.target.map(written),
                target_per_second: about.target.map(|rate| 1.0 / rate.interval().as_secs_f64()),
                mean_per_second: pace.mean(),
                window_seconds: pace.window.as_secs_f64(),
                fullest_window: pace.fullest,
                emptiest_window: pace.emptiest,
                held_up_seconds: held_up.map(|(why, how)| (why, how.as_secs_f64())).collect(),
                adaptive: about.adaptive,
            },
            bytes: Bytes {
                bodies: statistics.bytes,
            },
            point_seconds,
            points,
            distribution: distribution(&statistics.answered),
            dispatch_seconds: pace.last.saturating_sub(statistics.start) as f64 / 1e6,
            input: about.input,
            output: about.output,
        }
    }
}

fn points(pace: &Pace, statistics: &Statistics) -> (u64, Vec<Point>) {
    let (mut sent, mut ended) = (pace.series.clone(), statistics.series.clone());
    sent.as_coarse_as(ended.length());
    ended.as_coarse_as(sent.length());
    let seconds = sent.length();
    let count = sent.points().len().max(ended.points().len());
    let point = |at: usize| {
        let ended = ended.points().get(at);
        let latency = ended.and_then(|it| it.latency.as_ref());
        Point {
            from: at as u64 * seconds,
            dispatched: sent.points().get(at).copied().unwrap_or_default(),
            succeeded: ended.map_or(0, |it| it.succeeded),
            failed: ended.map_or(0, |it| it.failed),
            p50_ms: latency.map(|it| ms(it.value_at_quantile(0.5))),
            p99_ms: latency.map(|it| ms(it.value_at_quantile(0.99))),
        }
    };
    (seconds, (0..count).map(point).collect())
}

/// Bars of the distribution in one octave.
const BARS: f64 = 6.0;

/// Where a bar of the distribution ends that begins here.
pub(super) fn bar_end(begin: f64) -> f64 {
    begin * (1.0 / BARS).exp2()
}

/// Counts of latencies between steps of a sixth of an octave, with the milliseconds at which each
/// begins; without gaps, from the shortest to the longest.
fn distribution(latencies: &Histogram<u64>) -> Vec<(f64, u64)> {
    let step = |micros: u64| ((micros.max(1) as f64).log2() * BARS).floor() as i64;
    let (Some(low), high) = (
        latencies
            .iter_recorded()
            .next()
            .map(|it| step(it.value_iterated_to())),
        step(latencies.max()),
    ) else {
        return Vec::new();
    };
    let begins = |step: i64| (step as f64 / BARS).exp2() / 1e3;
    let mut bars: Vec<(f64, u64)> = (low..=high.max(low)).map(|it| (begins(it), 0)).collect();
    for recorded in latencies.iter_recorded() {
        let at = (step(recorded.value_iterated_to()) - low) as usize;
        let at = at.min(bars.len() - 1);
        bars[at].1 += recorded.count_at_value();
    }
    bars
}
