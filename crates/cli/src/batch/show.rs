//! What a person sees while a batch runs: a bar on a terminal, else a line now and then.

use std::io::IsTerminal;
use std::time::Duration;

use fetchway_batch::{Handle, InputProgress, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the bar moves, and what it says is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// The current rate is that of so long a time.
const OVER: usize = 10;

/// What a run is shown by.
pub(super) struct Shown {
    pub(super) handle: Handle,
    pub(super) input: InputProgress,
    /// Requests a second that are aimed at.
    pub(super) target: Option<f64>,
    /// Items that an earlier run has done.
    pub(super) before: u64,
}

/// Shows the run until dropped.
pub(super) async fn show(shown: Shown) {
    let bar = bar();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut recent = std::collections::VecDeque::new();
    let mut said = Instant::now();
    loop {
        ticks.tick().await;
        let progress = shown.handle.progress();
        recent.push_back((progress.elapsed, progress.dispatched));
        if recent.len() > OVER {
            recent.pop_front();
        }
        let rate = recent.front().map_or(0.0, |(since, sent)| {
            let passed = (progress.elapsed - *since).as_secs_f64();
            (progress.dispatched - sent) as f64 / passed.max(1e-3)
        });
        let total = shown.total(&progress);
        let says = shown.says(&progress, rate, total);
        match &bar {
            Some(bar) => {
                bar.set_length(total.unwrap_or(0).max(progress.over));
                bar.set_position(progress.over);
                bar.set_message(says);
            }
            None if said.elapsed() >= LINE_EVERY => {
                said = Instant::now();
                tell(&format!("{} done, {says}", progress.over));
            }
            None => {}
        }
    }
}

fn bar() -> Option<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:24.cyan/blue} {pos}/{len} done, {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    Some(bar)
}

impl Shown {
    /// How many items there will be, as far as can be told: of a file from how much of it has been
    /// read.
    fn total(&self, progress: &Progress) -> Option<u64> {
        let (read, all) = (self.input.read(), self.input.total()?);
        if read >= all {
            return Some(progress.read);
        }
        let items = progress.read + self.before;
        let total = items as f64 * all as f64 / read.max(1) as f64;
        Some((total as u64).saturating_sub(self.before))
    }

    fn says(&self, progress: &Progress, rate: f64, total: Option<u64>) -> String {
        let mut says = format!("{} failed, {rate:.0}/s", progress.failed);
        if progress.followed > 0 {
            says = format!("{} pages followed, {says}", progress.followed);
        }
        // What is allowed now says more than what is allowed at most.
        if let Some(target) = progress.allowed.or(self.target) {
            says += &format!(" of {target:.0}/s");
        }
        if progress.allowed.is_some() {
            says += " (adaptive)";
        }
        if progress.slowed > 0 {
            says += &format!(", {} slowed", origins(progress.slowed));
        }
        let left = total.map(|total| total.saturating_sub(progress.over));
        // Items to come are taken to have as many pages as those that are over, once there are any.
        let known = progress.over > 0 || progress.followed == 0;
        if let Some(left) = left.filter(|left| *left > 0 && known)
            && rate > 0.0
        {
            let each = (progress.done as f64 / progress.over.max(1) as f64).max(1.0);
            says += &format!(", about {} left", time(left as f64 * each / rate));
        }
        says
    }
}

fn origins(count: usize) -> String {
    match count {
        1 => "1 origin".to_owned(),
        count => format!("{count} origins"),
    }
}

fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}

/// Says something on standard error.
pub(super) fn tell(what: &str) {
    write_error(&format!("fetchway: {what}\n"));
}

#[expect(clippy::print_stderr, reason = "this is where a person is told")]
pub(super) fn write_error(text: &str) {
    eprint!("{text}");
}
