//! Makes a summary of what was counted.

use std::time::{Duration, SystemTime};

use fetchway_policy::Rate;
use hdrhistogram::Histogram;

use super::sends::SendCounter;
use super::statistics::Statistics;
use super::types::{About, Items, Latency, Point, RateHeld, Sends, Sizes, Summary};

impl Summary {
    /// Summary of a run that has ended.
    #[must_use]
    pub fn new(about: About, sends: &SendCounter, statistics: &Statistics) -> Self {
        let (point_seconds, points) = points(sends, statistics);
        let started = SystemTime::UNIX_EPOCH + Duration::from_micros(statistics.start);
        let held_up = about.held_up.into_iter();
        Self {
            started: httpdate::fmt_http_date(started),
            wall_seconds: about.wall.as_secs_f64(),
            stopped: about.stopped,
            items: Items {
                cut: about.cut,
                skipped: about.skipped,
                earlier: about.earlier,
                earlier_failed: about.earlier_failed,
                ..statistics.items
            },
            statuses: statistics.statuses.clone(),
            errors: statistics.errors.clone(),
            error_examples: statistics.error_examples.clone(),
            sends: Sends {
                total: sends.count(),
                retried_items: statistics.retried_items,
            },
            latency: latencies(&statistics.answered),
            latency_of_errors: latencies(&statistics.unanswered),
            rate: RateHeld {
                target: about.target.map(rate_text),
                target_per_second: about.target.map(|rate| 1.0 / rate.interval().as_secs_f64()),
                mean_per_second: sends.mean(),
                window_seconds: sends.window.as_secs_f64(),
                fullest_window: sends.fullest,
                emptiest_window: sends.emptiest,
                held_up_seconds: held_up.map(|(why, how)| (why, how.as_secs_f64())).collect(),
                adaptive: about.adaptive,
            },
            bytes: Sizes {
                bodies: statistics.bytes,
            },
            point_seconds,
            points,
            distribution: distribution(&statistics.answered),
            dispatch_seconds: sends.last.saturating_sub(statistics.start) as f64 / 1e6,
            input: about.input,
            output: about.output,
        }
    }
}

fn points(sends: &SendCounter, statistics: &Statistics) -> (u64, Vec<Point>) {
    let (mut sent, mut ended) = (sends.series.clone(), statistics.series.clone());
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

/// Bars of the distribution in each octave.
const BARS: f64 = 6.0;

/// Returns the end of the bar that begins at `begin`.
pub(crate) fn bar_end(begin: f64) -> f64 {
    begin * (1.0 / BARS).exp2()
}

/// Counts latencies in bars of a sixth of an octave, without gaps from the shortest to the longest. Each bar
/// has its beginning in milliseconds.
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

/// Percentiles of a histogram; none if it is empty.
fn latencies(histogram: &Histogram<u64>) -> Option<Latency> {
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Latency {
        count: histogram.len(),
        mean_ms: histogram.mean() / 1e3,
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: at(1.0),
    })
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// Writes a rate, such as `5000/s` or `100/250ms`.
fn rate_text(rate: Rate) -> String {
    let window = format!("{:?}", rate.window);
    let unit = if window == "1s" { "s" } else { &window };
    format!("{}/{unit}", rate.count)
}
