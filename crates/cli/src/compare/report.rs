//! What is said of a comparison: a table for people, S0's JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::sample::Samples;

/// Errors shown of each way; the rest are counted.
const SHOWN: usize = 5;

/// Both ways of the same fetches.
pub(crate) struct Comparison {
    /// Separated by spaces, if there are several.
    pub(crate) relay: String,
    /// WebSockets in all.
    pub(crate) sockets: usize,
    pub(crate) binary: bool,
    pub(crate) target: String,
    pub(crate) direct_limit: usize,
    pub(crate) direct: Samples,
    pub(crate) relayed: Samples,
}

impl Comparison {
    /// Every fetch of both ways ended well.
    pub(crate) fn is_good(&self) -> bool {
        self.direct.failed() == 0 && self.relayed.failed() == 0
    }

    /// How many times sooner the relayed ones were all there; none where something failed.
    fn factor(&self) -> Option<f64> {
        let (direct, relayed) = (self.direct.makespan(), self.relayed.makespan());
        (self.is_good() && !relayed.is_zero()).then(|| direct.as_secs_f64() / relayed.as_secs_f64())
    }

    pub(crate) fn conclusion(&self) -> String {
        match self.factor() {
            None => {
                let failed = self.direct.failed() + self.relayed.failed();
                format!("{failed} fetches failed: nothing can be concluded.")
            }
            Some(factor) if factor >= 1.05 => {
                let way = match self.sockets {
                    1 => "One WebSocket".to_owned(),
                    n => format!("{n} WebSockets"),
                };
                format!("{way} had everything {factor:.1} times as soon.")
            }
            Some(factor) if factor <= 0.95 => format!(
                "Direct fetches had everything {:.1} times as soon: this target is too fast, or the list too short, for a relay to pay.",
                1.0 / factor
            ),
            Some(_) => "Both ways took the same time.".to_owned(),
        }
    }
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.2} ms", s * 1e3),
    }
}

/// A paragraph for a terminal of 80 columns, set in by two.
pub(crate) fn paragraph(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        let before = match column {
            0 => "  ",
            at if at + 1 + width <= 80 => " ",
            _ => {
                column = 0;
                "\n  "
            }
        };
        out.push_str(before);
        out.push_str(word);
        column += before.trim_start_matches('\n').len() + width;
    }
    out.push('\n');
    out
}

/// How long failures took says nothing of what was fetched.
fn if_good(samples: &Samples, figure: Duration) -> String {
    match samples.good() {
        0 => "–".to_owned(),
        _ => time(figure),
    }
}

/// Both ways side by side.
pub(crate) fn table(both: &Comparison) -> String {
    type Row = (&'static str, fn(&Samples) -> String);
    let rows: [Row; 9] = [
        ("requests", |s| s.0.len().to_string()),
        ("successful", |s| s.good().to_string()),
        ("failed", |s| s.failed().to_string()),
        ("total time (makespan)", |s| time(s.makespan())),
        ("average", |s| if_good(s, s.mean())),
        ("p50", |s| if_good(s, s.percentile(50))),
        ("p95", |s| if_good(s, s.percentile(95))),
        ("p99", |s| if_good(s, s.percentile(99))),
        ("most at one time", |s| s.peak().to_string()),
    ];
    let slots = format!("{} at a time", both.direct_limit);
    let mut out = String::new();
    let mut line = |a: &str, b: &str, c: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {a:<24}{b:>16}{c:>18}");
    };
    let way = match both.sockets {
        1 => "one WebSocket".to_owned(),
        n => format!("{n} WebSockets"),
    };
    line("", "direct", &way);
    line("", &slots, "through fetchway");
    line("", "─────────────", "────────────────");
    for (name, figure) in rows {
        line(name, &figure(&both.direct), &figure(&both.relayed));
    }
    for (way, samples) in [("direct", &both.direct), ("relayed", &both.relayed)] {
        let complaints = samples.complaints();
        for (complaint, count) in complaints.iter().take(SHOWN) {
            let _ = writeln!(out, "\n  {way}, {count} times: {complaint}");
        }
        if complaints.len() > SHOWN {
            let _ = writeln!(
                out,
                "  {way}: and {} further kinds of error",
                complaints.len() - SHOWN
            );
        }
    }
    let _ = write!(out, "\n{}", paragraph(&both.conclusion()));
    out
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn result(samples: &Samples) -> Value {
    let details = samples.0.iter().enumerate().map(|(req, sample)| {
        json!({
            "req": req,
            "status": sample.outcome.as_ref().copied().unwrap_or(0),
            "success": sample.is_good(),
            "time": ms(sample.took()),
            "error": sample.complaint(),
        })
    });
    let errors = samples.complaints().into_iter();
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

/// One JSON object; times in milliseconds.
pub(crate) fn json(both: &Comparison) -> Value {
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
