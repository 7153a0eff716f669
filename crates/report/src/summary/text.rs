//! A summary as text for a terminal, in aligned lines.

use std::borrow::Borrow;
use std::fmt::Display;

use fetchway_dispatch::FoundRate;

use super::types::{Latency, Summary};
use crate::numbers::{bytes, counted, decimal, duration, grouped};

impl Summary {
    /// Writes the summary as lines for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = Table(String::new());
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

    /// Writes the rate; empty if nothing was sent.
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

/// Writes the rate that was found for an origin, and how well it is known.
pub(crate) fn found_rate(found: &FoundRate) -> (String, String) {
    let rate = format!("{}/s", decimal(found.per_second));
    match found.troubles {
        0 => (format!("at least {rate}"), "never in trouble".to_owned()),
        1 => (rate, "once in trouble".to_owned()),
        times => (rate, format!("{} times in trouble", grouped(times))),
    }
}

/// Lines of a name and a text, aligned.
struct Table(String);

impl Table {
    /// Adds a line, unless its text is empty.
    fn add(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0 += &format!("{name:<12}{text}\n");
        }
    }
}

fn listed<K: Display>(counts: impl Iterator<Item = (K, impl Borrow<u64>)>) -> String {
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
