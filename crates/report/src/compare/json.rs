//! A comparison as JSON for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::comparison::Comparison;
use super::samples::Samples;

/// Milliseconds, to the microsecond.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Figures of one way.
fn result(samples: &Samples) -> Value {
    let details = samples.0.iter().enumerate().map(|(req, sample)| {
        json!({
            "req": req,
            "status": sample.outcome.as_ref().copied().unwrap_or(0),
            "success": sample.is_good(),
            "time": ms(sample.took()),
            "error": sample.problem(),
        })
    });
    let errors = samples.problems().into_iter();
    let if_any = |figure| (samples.good() > 0).then(|| ms(figure));
    json!({
        "totalRequests": samples.0.len(),
        "successful": samples.good(),
        "failed": samples.failed(),
        "totalTime": ms(samples.makespan()),
        "average": if_any(samples.mean()),
        "p50": if_any(samples.percentile(50)),
        "p95": if_any(samples.percentile(95)),
        "p99": if_any(samples.percentile(99)),
        "peakConcurrency": samples.peak(),
        "errors": errors.map(|(error, count)| json!({ "error": error, "count": count })).collect::<Vec<_>>(),
        "details": details.collect::<Vec<_>>(),
    })
}

/// Returns one JSON object; times are in milliseconds.
#[must_use]
pub fn to_json(both: &Comparison) -> Value {
    json!({
        "testConfig": {
            "relayUrl": both.relay,
            "targetUrl": both.target,
            "count": both.relayed.0.len(),
            "directLimit": both.direct_limit,
            "connections": both.sockets,
            "encoding": if both.binary { "binary" } else { "json" },
        },
        "directFetches": result(&both.direct),
        "wsFetches": result(&both.relayed),
        "conclusion": both.conclusion(),
    })
}
