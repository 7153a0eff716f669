//! A comparison as a table for a terminal.

use std::fmt::Write;
use std::time::Duration;

use super::comparison::Comparison;
use super::samples::Samples;
use crate::numbers::duration;

/// Errors shown of each way; further ones are counted.
const SHOWN: usize = 5;

fn time(time: Duration) -> String {
    duration(time.as_secs_f64())
}

/// Wraps text for a terminal of 80 columns, indented by two.
#[must_use]
pub fn paragraph(text: &str) -> String {
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

/// Writes a figure, unless no fetch succeeded: the duration of failures says nothing.
fn if_good(samples: &Samples, figure: Duration) -> String {
    match samples.good() {
        0 => "–".to_owned(),
        _ => time(figure),
    }
}

/// Writes both ways side by side.
#[must_use]
pub fn table(both: &Comparison) -> String {
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
        let problems = samples.problems();
        for (problem, count) in problems.iter().take(SHOWN) {
            let _ = writeln!(out, "\n  {way}, {count} times: {problem}");
        }
        if problems.len() > SHOWN {
            let _ = writeln!(
                out,
                "  {way}: and {} further kinds of error",
                problems.len() - SHOWN
            );
        }
    }
    let _ = write!(out, "\n{}", paragraph(&both.conclusion()));
    out
}
