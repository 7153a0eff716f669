//! Direct fetches against relayed ones: `direct` and `relayed` perform them, `sample` is what is known
//! of each, `report` is what is said of all.

mod direct;
mod relayed;
mod report;
mod sample;

pub(crate) use direct::{direct, private_engine};
pub(crate) use relayed::{Way, check_relay, connect, relayed};
pub(crate) use report::{Comparison, json, paragraph, table};

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line of progress on a terminal's standard error, as wide as that; nothing elsewhere.
pub(crate) fn progress(label: &'static str, total: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar:.cyan/blue} {pos}/{len} {elapsed}")
    {
        bar.set_style(style);
    }
    bar.set_message(label);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
