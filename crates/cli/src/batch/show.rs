//! Shows the progress of a batch: a bar on a terminal, else a line now and then.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::Duration;

use fetchway_batch::{Count, Progress, Watch};
use fetchway_policy::Rate;
use fetchway_report::{counted, grouped};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Time between two updates of the bar.
const UPDATE: Duration = Duration::from_millis(200);
/// Time between two lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Updates over which the current rate is measured.
const MEASURED: usize = 10;
/// Columns of a line: a terminal has at least 80, and some leave the last one free.
const COLUMNS: usize = 79;
/// Columns of the bar, if there is room.
const BAR: usize = 20;

/// The bar on the terminal, which must make way for other messages.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Shows the run until dropped. `target` is its rate.
pub(super) async fn show(watch: Watch, target: Option<Rate>) {
    let target = target.map(Rate::per_second);
    let bar = Bar::new();
    let mut ticks = interval(UPDATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut recent = VecDeque::new();
    let mut last_line = Instant::now();
    loop {
        ticks.tick().await;
        let progress = watch.progress();
        recent.push_back((progress.elapsed, progress.dispatched));
        if recent.len() > MEASURED {
            recent.pop_front();
        }
        let rate = recent.front().map_or(0.0, |(since, sent)| {
            let passed = (progress.elapsed - *since).as_secs_f64();
            (progress.dispatched - sent) as f64 / passed.max(1e-3)
        });
        let total = watch.total(&progress);
        match &bar {
            Some(bar) => {
                let parts = parts(&progress, rate, target, total);
                bar.0
                    .set_message(with_bar(fitting(parts), progress.finished, total));
            }
            None if last_line.elapsed() >= LINE_EVERY => {
                last_line = Instant::now();
                let parts = parts(&progress, rate, target, total);
                tell(&joined(&parts));
            }
            None => {}
        }
    }
}

/// The bar while it is shown; gone from the terminal when dropped.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Option<Self> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::no_length();
        // One text, so that no frame has half of it. A narrow terminal cuts it.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        *SHOWN.lock() = Some(bar.clone());
        Some(Self(bar))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        *SHOWN.lock() = None;
        self.0.finish_and_clear();
    }
}

/// Parts of the line in order, each with its rank: parts that do not fit are left out, the highest rank first.
fn parts(progress: &Progress, rate: f64, target: Option<f64>, total: Count) -> Vec<(u8, String)> {
    let finished = grouped(progress.finished);
    let done = match total {
        Count::Unknown => finished,
        Count::Guess(total) => format!("{finished}/{}", about(total)),
        Count::Known(total) => format!("{finished}/{}", grouped(total)),
    };
    let mut parts = vec![(0, format!("{done} done"))];
    if progress.followed > 0 {
        parts.push((
            3,
            format!("{} followed", counted(progress.followed, "page")),
        ));
    }
    parts.push((0, format!("{} failed", grouped(progress.failed))));
    let mut speed = format!("{rate:.0}/s");
    // The rate that is allowed now says more than the highest one.
    if let Some(target) = progress.allowed.or(target) {
        speed += &format!(" of {target:.0}/s");
    }
    if progress.allowed.is_some() {
        speed += " (adaptive)";
    }
    parts.push((1, speed));
    if progress.slowed > 0 {
        let slowed = counted(progress.slowed as u64, "origin");
        parts.push((4, format!("{slowed} slowed")));
    }
    if progress.stopped {
        parts.push((2, format!("stopping, {} in flight", progress.in_flight)));
    } else if let Some(left) = left(progress, rate, total) {
        parts.push((2, left));
    }
    parts
}

/// Time that is left, if it can be estimated.
fn left(progress: &Progress, rate: f64, total: Count) -> Option<String> {
    let (Count::Guess(total) | Count::Known(total)) = total else {
        return None;
    };
    let left = total.saturating_sub(progress.finished);
    // Further items are assumed to have as many pages as the finished ones, once there are any.
    let known = progress.finished > 0 || progress.followed == 0;
    if left == 0 || !known || rate <= 0.0 {
        return None;
    }
    let each = (progress.done as f64 / progress.finished.max(1) as f64).max(1.0);
    Some(format!("{} left", time(left as f64 * each / rate)?))
}

/// Writes a guess, with two significant digits.
fn about(n: u64) -> String {
    let unit = 10_u64.pow(n.checked_ilog10().unwrap_or(0).saturating_sub(1));
    format!("~{}", grouped((n / unit).saturating_mul(unit)))
}

fn joined(parts: &[(u8, String)]) -> String {
    let texts: Vec<&str> = parts.iter().map(|(_, text)| text.as_str()).collect();
    texts.join(", ")
}

/// Joins as many parts as fit a line.
fn fitting(mut parts: Vec<(u8, String)>) -> String {
    loop {
        let line = joined(&parts);
        let most = parts.iter().map(|(rank, _)| *rank).max().unwrap_or(0);
        if line.len() <= COLUMNS || most == 0 {
            return line;
        }
        parts.retain(|(rank, _)| *rank != most);
    }
}

/// Puts a bar before the line, if both fit.
fn with_bar(line: String, finished: u64, total: Count) -> String {
    let (Count::Guess(total) | Count::Known(total)) = total else {
        return line;
    };
    if line.len() + BAR + 1 > COLUMNS {
        return line;
    }
    let share = finished as f64 / total.max(1) as f64;
    let full = ((share * BAR as f64) as usize).min(BAR);
    format!("{}{} {line}", "█".repeat(full), "░".repeat(BAR - full))
}

/// Writes a time in the largest unit that says enough; none for a time that nobody waits for.
fn time(seconds: f64) -> Option<String> {
    const DAY: f64 = 86_400.0;
    match seconds {
        s if s < 99.5 => Some(format!("{s:.0} s")),
        s if s < 5_999.5 => Some(format!("{:.0} min", (s / 60.0).ceil())),
        s if s < 2.0 * DAY => Some(format!("{:.1} h", s / 3_600.0)),
        s if s < 1_000.0 * DAY => Some(format!("{:.0} days", s / DAY)),
        _ => None,
    }
}

/// Prints a message on standard error.
pub(super) fn tell(what: &str) {
    write_error(&format!("fetchway: {what}\n"));
}

/// Prints text on standard error; the bar makes way for it.
#[expect(clippy::print_stderr, reason = "this is where a person is told")]
pub(super) fn write_error(text: &str) {
    let bar = SHOWN.lock().clone();
    match bar {
        Some(bar) => bar.suspend(|| eprint!("{text}")),
        None => eprint!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_eighty_columns_whatever_there_is_to_say() {
        let parts = |count: u64| {
            let number = grouped(count);
            vec![
                (0, format!("{number}/~{number} done")),
                (3, format!("{number} pages followed")),
                (0, format!("{number} failed")),
                (1, format!("{count}/s of {count}/s (adaptive)")),
                (4, format!("{number} origins slowed")),
                (2, "3 min left".to_owned()),
            ]
        };
        let shown = |count| {
            let line = with_bar(fitting(parts(count)), count, Count::Guess(2 * count));
            assert!(line.chars().count() <= COLUMNS, "{line}");
            line
        };
        let small = "1/~1 done, 1 pages followed, 1 failed, 1/s of 1/s (adaptive), 3 min left";
        assert_eq!(shown(1), small);
        let thousands = "5,000/~5,000 done, 5,000 failed, 5000/s of 5000/s (adaptive), 3 min left";
        assert_eq!(shown(5_000), thousands);
        let most = shown(123_456_789_012);
        assert!(most.ends_with("failed"), "{most}");
        let plain = vec![(0, "1,000/2,000 done".to_owned()), (1, "500/s".to_owned())];
        let line = with_bar(fitting(plain), 1_000, Count::Known(2_000));
        assert_eq!(line, "██████████░░░░░░░░░░ 1,000/2,000 done, 500/s");
        assert!(with_bar(String::new(), 9, Count::Known(3)).starts_with(&"█".repeat(BAR)));
    }

    #[test]
    fn a_guess_looks_like_one() {
        let said = [0, 9, 99, 104, 5_681, 6_029, u64::MAX].map(about);
        let largest = "~18,000,000,000,000,000,000";
        let expected = ["~0", "~9", "~99", "~100", "~5,600", "~6,000", largest];
        assert_eq!(said, expected);
    }

    #[test]
    fn nothing_absurd_is_said_of_the_time_left() {
        let said = [2.4, 100.0, 7_200.0, 400_000.0, 1e14].map(time);
        let said = said.each_ref().map(Option::as_deref);
        let expected = [
            Some("2 s"),
            Some("2 min"),
            Some("2.0 h"),
            Some("5 days"),
            None,
        ];
        assert_eq!(said, expected);
    }
}
