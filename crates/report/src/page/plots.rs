//! The four plots of a page.

use crate::numbers::{duration, grouped};
use crate::plot::{Axis, Plot, Scale};
use crate::summary::{Point, Summary, bar_end};

/// Axis of time, in seconds, minutes or hours.
struct Time {
    scale: Scale,
    label: &'static str,
    /// Length of the unit in seconds.
    unit: f64,
}

impl Time {
    fn of(summary: &Summary) -> Self {
        // The last point is rarely full, so the axis ends with the run.
        let points = summary.points.len() as u64 * summary.point_seconds;
        let seconds = summary.wall_seconds.clamp(0.001, points.max(1) as f64);
        let (label, unit) = match seconds {
            s if s <= 180.0 => ("seconds from the start", 1.0),
            s if s <= 10_800.0 => ("minutes from the start", 60.0),
            _ => ("hours from the start", 3_600.0),
        };
        Self {
            scale: Scale::Linear(seconds / unit),
            label,
            unit,
        }
    }

    fn axis(&self) -> Axis<'_> {
        Axis {
            scale: self.scale,
            label: self.label,
            write: &number,
        }
    }

    /// Start and end of a point on the axis.
    fn span(&self, summary: &Summary, point: &Point) -> (f64, f64) {
        let from = point.from as f64;
        (
            from / self.unit,
            (from + summary.point_seconds as f64) / self.unit,
        )
    }
}

/// Writes whole numbers with separators, and others with the digits that a tick has.
fn number(n: f64) -> String {
    if (n - n.round()).abs() < 1e-9 {
        return grouped(n.round() as u64);
    }
    let text = format!("{n:.6}");
    text.trim_end_matches('0').to_owned()
}

/// Writes milliseconds of a tick: exact, because ticks are round.
fn round_ms(ms: f64) -> String {
    match ms {
        ms if ms < 0.999_9 => format!("{} µs", number((ms * 1e3 * 1e6).round() / 1e6)),
        ms if ms < 999.9 => format!("{} ms", number((ms * 1e6).round() / 1e6)),
        ms => format!("{} s", number((ms * 1e3).round() / 1e6)),
    }
}

/// Plots requests a second and the target; none if nothing was sent.
pub(super) fn rate(summary: &Summary) -> Option<String> {
    summary.points.iter().find(|point| point.dispatched > 0)?;
    let time = Time::of(summary);
    let length = summary.point_seconds as f64;
    let ends = summary.dispatch_seconds;
    let mut last: Option<&Point> = None;
    let steps: Vec<_> = summary
        .points
        .iter()
        .map(|point| {
            let (from, to) = time.span(summary, point);
            // The last point counts only up to the last request.
            let covered = (ends - point.from as f64).min(length);
            let before = last.replace(point);
            // A very short part of a point gives wild numbers, so it is counted with the point before.
            let rate = match before.filter(|_| covered < length / 5.0) {
                _ if covered <= 0.0 => None,
                Some(before) => {
                    Some((before.dispatched + point.dispatched) as f64 / (length + covered))
                }
                None => Some(point.dispatched as f64 / covered),
            };
            (from, to, rate)
        })
        .collect();
    let target = summary.rate.target_per_second;
    let most = steps
        .iter()
        .filter_map(|it| it.2)
        .fold(target.unwrap_or(0.0), f64::max);
    let axis = Axis {
        scale: Scale::linear(most),
        label: "requests per second",
        write: &number,
    };
    let mut plot = Plot::new("Requests sent per second over time", &time.axis(), &axis);
    plot.steps("main", &steps);
    if let Some(target) = target {
        plot.level("target", target);
    }
    Some(plot.finish())
}

/// Plots latencies of responses over time; none without responses.
pub(super) fn latency(summary: &Summary) -> Option<String> {
    let of = |get: fn(&Point) -> Option<f64>| summary.points.iter().filter_map(get);
    let low = of(|it| it.p50_ms).reduce(f64::min)?;
    let high = of(|it| it.p99_ms).reduce(f64::max)?;
    let time = Time::of(summary);
    let axis = Axis {
        scale: Scale::log(low, high),
        label: "from the scheduled time, log scale",
        write: &round_ms,
    };
    let says = "Latency of responses over time, median and 99th percentile";
    let mut plot = Plot::new(says, &time.axis(), &axis);
    for (class, get) in [
        ("other", (|it| it.p99_ms) as fn(&Point) -> Option<f64>),
        ("main", |it| it.p50_ms),
    ] {
        let step = |point: &Point| {
            let (from, to) = time.span(summary, point);
            (from, to, get(point))
        };
        plot.steps(class, &summary.points.iter().map(step).collect::<Vec<_>>());
    }
    Some(plot.finish())
}

/// Plots the distribution of the latencies; none without responses.
pub(super) fn distribution(summary: &Summary) -> Option<String> {
    let latency = summary.latency.as_ref()?;
    let bars = &summary.distribution;
    let (first, last) = (bars.first()?.0, bar_end(bars.last()?.0));
    let most = bars.iter().map(|bar| bar.1).max()? as f64;
    let x = Axis {
        scale: Scale::log(first, last),
        label: "from the scheduled time to the end, log scale",
        write: &round_ms,
    };
    let y = Axis {
        // Room for the marks' labels above the bars.
        scale: Scale::Linear(most * 1.45),
        label: "responses",
        write: &|n| number(n.round()),
    };
    let mut plot = Plot::new("Distribution of the latency of responses", &x, &y);
    for (begin, count) in bars {
        let end = bar_end(*begin);
        let says = format!(
            "{} to {}: {}",
            duration(begin / 1e3),
            duration(end / 1e3),
            grouped(*count)
        );
        plot.bar("bar", *begin, end, *count as f64, &says);
    }
    for (row, (name, ms)) in (0..).zip(latency.marks()) {
        plot.mark(ms, row, name);
    }
    Some(plot.finish())
}

/// Plots failed items over time; none without failures.
pub(super) fn failures(summary: &Summary) -> Option<String> {
    let length = summary.point_seconds as f64;
    let per_second = |point: &Point| point.failed as f64 / length;
    let most = summary.points.iter().map(per_second).fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let time = Time::of(summary);
    let axis = Axis {
        scale: Scale::linear(most),
        label: "failed items per second",
        write: &number,
    };
    let mut plot = Plot::new("Failed items per second over time", &time.axis(), &axis);
    for point in &summary.points {
        let (from, to) = time.span(summary, point);
        let says = format!("{} failed", grouped(point.failed));
        plot.bar("fails", from, to, per_second(point), &says);
    }
    Some(plot.finish())
}
