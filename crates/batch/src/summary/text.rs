//! A summary for people: aligned lines, and numbers as one says them.

use super::{Latency, Summary};
use crate::FoundRate;

impl Summary {
    /// The summary as lines for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Lines(String::new());
        lines.add("done", &self.done());
        let items = &self.items;
        let cut = match items.cut {
            0 => String::new(),
            1 => "1 item has more pages than --follow-most".to_owned(),
            cut => format!("{} items have more pages than --follow-most", grouped(cut)),
        };
        lines.add("  cut", &cut);
        lines.add("succeeded", &grouped(items.succeeded));
        let sent = match items.never_sent {
            0 => String::new(),
            never => format!(", {} never sent", grouped(never)),
        };
        lines.add("failed", &format!("{}{sent}", grouped(items.failed)));
        lines.add("statuses", &listed(self.statuses.iter()));
        lines.add("errors", &listed(self.errors.iter()));
        for (name, detail) in &self.error_examples {
            lines.add("  such as", &format!("{name}: {detail}"));
        }
        let again = match self.sends.retried_items {
            0 => String::new(),
            items => format!(", {} more than once", counted(items, "item")),
        };
        lines.add("requests", &format!("{}{again}", grouped(self.sends.total)));
        if let Some(latency) = &self.latency {
            lines.add(
                "latency",
                &format!("{} from the scheduled time", shown(latency)),
            );
        }
        if let Some(latency) = &self.latency_of_errors {
            lines.add("  of errors", &shown(latency));
        }
        lines.add("rate", &self.held());
        let held_up = self
            .rate
            .held_up_seconds
            .iter()
            .filter(|(_, seconds)| **seconds > 0.0);
        let held_up: Vec<String> = held_up
            .map(|(why, seconds)| format!("{} by {why}", duration(*seconds)))
            .collect();
        lines.add("  held up", &held_up.join(", "));
        if let Some(adaptive) = &self.rate.adaptive {
            for found in &adaptive.origins {
                let (rate, basis) = found_rate(found);
                lines.add("  found", &format!("{rate} at {}, {basis}", found.origin));
            }
            if adaptive.others > 0 {
                lines.add("  and", &counted(adaptive.others, "more origin"));
            }
        }
        lines.add("bodies", &bytes(self.bytes.bodies));
        lines.0
    }

    fn done(&self) -> String {
        let items = &self.items;
        let stopped = if self.stopped { ", then stopped" } else { "" };
        let pages = match items.followed {
            0 => String::new(),
            pages => format!(" and {} that followed", counted(pages, "page")),
        };
        let mut done = format!(
            "{}{pages} in {}{stopped}",
            counted(items.done - items.followed, "item"),
            duration(self.wall_seconds)
        );
        if items.earlier > 0 {
            done += &format!("; {} before", grouped(items.earlier));
        }
        if items.skipped > 0 {
            done += &format!("; {} skipped", counted(items.skipped, "bad line"));
        }
        done
    }

    /// Of nothing there is no rate.
    fn held(&self) -> String {
        if self.points.iter().all(|point| point.dispatched == 0) {
            return String::new();
        }
        let rate = &self.rate;
        let mut held = match rate.mean_per_second {
            Some(mean) => format!("{}/s", decimal(mean)),
            None => "too short to tell".to_owned(),
        };
        if let Some(target) = &rate.target {
            held += &format!(" of {target}");
        }
        if rate.adaptive.is_some() {
            held += ", adaptive";
        }
        if let Some(emptiest) = rate.emptiest_window {
            let (fullest, emptiest) = (grouped(rate.fullest_window), grouped(emptiest));
            held += &format!("; fullest {} {fullest}, emptiest {emptiest}", rate.window());
        }
        held
    }
}

/// The rate that was found for an origin, and what that rests on.
pub(super) fn found_rate(found: &FoundRate) -> (String, String) {
    let rate = format!("{}/s", decimal(found.per_second));
    match found.troubles {
        0 => (format!("at least {rate}"), "never in trouble".to_owned()),
        1 => (rate, "once in trouble".to_owned()),
        times => (rate, format!("{} times in trouble", grouped(times))),
    }
}

struct Lines(String);

impl Lines {
    /// Nothing is added for a text that is empty.
    fn add(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0 += &format!("{name:<12}{text}\n");
        }
    }
}

fn listed<K: std::fmt::Display>(
    counts: impl Iterator<Item = (K, impl std::borrow::Borrow<u64>)>,
) -> String {
    let shown = counts.map(|(name, count)| format!("{name}: {}", grouped(*count.borrow())));
    shown.collect::<Vec<_>>().join("  ")
}

fn shown(latency: &Latency) -> String {
    let marks = latency.marks().into_iter().chain([("max", latency.max_ms)]);
    marks
        .map(|(name, ms)| format!("{name} {}", duration(ms / 1e3)))
        .collect::<Vec<_>>()
        .join("  ")
}

/// `1 item`, `1,234 items`: of things that take an s for more than one.
#[must_use]
pub fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(n))
}

/// `1,234,567`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// With one decimal, or two below ten.
pub(super) fn decimal(n: f64) -> String {
    let places = if n < 10.0 { 2 } else { 1 };
    let text = format!("{n:.places$}");
    match text.split_once('.') {
        Some((whole, part)) => match whole.parse() {
            Ok(whole) => format!("{}.{part}", grouped(whole)),
            Err(_) => text,
        },
        None => text,
    }
}

/// In the unit that gives three digits: `950 µs`, `12.3 ms`, `4.56 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn duration(seconds: f64) -> String {
    let three = |n: f64| match n {
        n if n < 9.995 => format!("{n:.2}"),
        n if n < 99.95 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    };
    match seconds {
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.999_5 => format!("{} ms", three(s * 1e3)),
        s if s < 119.5 => format!("{} s", three(s)),
        s if s < 7_199.5 => {
            let s = s.round() as u64;
            format!("{} min {} s", s / 60, s % 60)
        }
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

/// `512 B`, `1.5 KiB`, `3.0 GiB`.
pub(super) fn bytes(n: u64) -> String {
    let mut size = n as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{n} B")
    } else {
        format!("{size:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_shortly() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [1.234, 4_999.96, 12.0].map(decimal),
            ["1.23", "5,000.0", "12.0"]
        );
        let durations = [
            0.0, 0.000_95, 0.012_34, 0.1, 0.999_6, 19.9998, 200.0, 7_500.0,
        ];
        let shown = [
            "0 µs",
            "950 µs",
            "12.3 ms",
            "100 ms",
            "1.00 s",
            "20.0 s",
            "3 min 20 s",
            "2 h 5 min",
        ];
        assert_eq!(durations.map(duration), shown);
        assert_eq!(
            [0, 1_023, 1_536, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]
        );
    }
}
