//! The fields of a summary. The JSON has the same names in camelCase, and they are stable.

use std::collections::BTreeMap;
use std::time::Duration;

use fetchway_dispatch::FoundRates;
use fetchway_policy::Rate;
use serde::Serialize;

/// Facts about a run that statistics cannot know.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Name of the input.
    pub input: String,
    /// Name of the output.
    pub output: String,
    /// Rate to hold; none means as fast as possible.
    pub target: Option<Rate>,
    /// The run was stopped before all items were done.
    pub stopped: bool,
    /// Lines that the output had before this run.
    pub earlier: u64,
    /// Failures among these lines.
    pub earlier_failed: u64,
    /// Bad lines that were skipped.
    pub skipped: u64,
    /// Items with more pages than are followed.
    pub cut: u64,
    /// Duration of the run.
    pub wall: Duration,
    /// Time for which the schedule was held up, for each cause.
    pub held_up: Vec<(String, Duration)>,
    /// Rates that an adaptive run has found.
    pub adaptive: Option<FoundRates>,
}

/// Summary of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Name of the input.
    pub input: String,
    /// Name of the output.
    pub output: String,
    /// Start of the run, as an HTTP date.
    pub started: String,
    /// Duration of the run.
    pub wall_seconds: f64,
    /// The run was stopped before all items were done.
    pub stopped: bool,
    /// Counts of items.
    pub items: Items,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Items without a response, by the name of the error.
    pub errors: BTreeMap<&'static str, u64>,
    /// For each of these names the message of one such item, at most 160 characters.
    pub error_examples: BTreeMap<&'static str, String>,
    /// Counts of requests.
    pub sends: Sends,
    /// Latency from the scheduled time to the end, of items with a response; none without any.
    pub latency: Option<Latency>,
    /// Latency of items that were sent and got no response.
    pub latency_of_errors: Option<Latency>,
    /// Rate at which requests were sent.
    pub rate: RateHeld,
    /// Sizes in bytes.
    pub bytes: Sizes,
    /// Length of each of the `points`, in seconds.
    pub point_seconds: u64,
    /// The run over time, in at most 240 points.
    pub points: Vec<Point>,
    /// Histogram of the latencies of responses, for the page.
    #[serde(skip)]
    pub(crate) distribution: Vec<(f64, u64)>,
    /// Seconds from the start to the last request, for the page.
    #[serde(skip)]
    pub(crate) dispatch_seconds: f64,
}

/// Counts of items.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Items {
    /// Items with an outcome of this run; each page that followed counts as an item.
    pub done: u64,
    /// Items with a response of a status below 400.
    pub succeeded: u64,
    /// Items without a response, or with a status of 400 or above.
    pub failed: u64,
    /// Failed items that were never sent.
    pub never_sent: u64,
    /// Pages that a response named.
    pub followed: u64,
    /// Items with more pages than are followed.
    pub cut: u64,
    /// Bad lines that were skipped.
    pub skipped: u64,
    /// Lines that the output had before this run.
    pub earlier: u64,
    /// Failures among these lines, before they were retried.
    pub earlier_failed: u64,
}

/// Counts of requests.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sends {
    /// Requests that were handed to a connection: tries, redirects and resends.
    pub total: u64,
    /// Items with an outcome that were tried more than once.
    pub retried_items: u64,
}

/// Distribution of latencies in milliseconds, each within 0.1 %.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Number of latencies.
    pub count: u64,
    /// Mean latency.
    pub mean_ms: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// Longest latency.
    pub max_ms: f64,
}

/// Rate at which requests were sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateHeld {
    /// Rate to hold, such as `5000/s`; none means as fast as possible.
    pub target: Option<String>,
    /// Rate to hold, per second.
    pub target_per_second: Option<f64>,
    /// Mean rate from the first request to the last; none with fewer than two requests.
    pub mean_per_second: Option<f64>,
    /// Length of the windows below in seconds: that of the rate, or one second without a rate.
    pub window_seconds: f64,
    /// Requests in the fullest window, wherever it begins, to a millionth of its length.
    pub fullest_window: u64,
    /// Requests in the emptiest window between first tries; none if the run is shorter.
    pub emptiest_window: Option<u64>,
    /// Seconds for which the schedule was held up, for each cause.
    pub held_up_seconds: BTreeMap<String, f64>,
    /// Rates that an adaptive run has found.
    pub adaptive: Option<FoundRates>,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// Decoded response bodies.
    pub bodies: u64,
}

/// Part of the run, of equal length.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Start of the point, in seconds from the start of the run.
    pub from: u64,
    /// Requests that were sent.
    pub dispatched: u64,
    /// Items that ended with a response of a status below 400.
    pub succeeded: u64,
    /// Items that ended otherwise.
    pub failed: u64,
    /// Median latency of the responses that came then, in milliseconds, within 1 %.
    pub p50_ms: Option<f64>,
    /// 99th percentile of these latencies.
    pub p99_ms: Option<f64>,
}

impl Latency {
    /// Percentiles that are marked in plots.
    pub(crate) fn marks(&self) -> [(&'static str, f64); 4] {
        [
            ("p50", self.p50_ms),
            ("p90", self.p90_ms),
            ("p99", self.p99_ms),
            ("p99.9", self.p999_ms),
        ]
    }
}

impl RateHeld {
    /// Name of the windows: `second`, `15s window`, `250ms window`.
    pub(crate) fn window(&self) -> String {
        match self.window_seconds {
            1.0 => "second".to_owned(),
            seconds => format!("{:?} window", Duration::from_secs_f64(seconds)),
        }
    }
}
