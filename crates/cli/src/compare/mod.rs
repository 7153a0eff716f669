//! Direct fetches against relayed ones: `direct` and `relayed` perform them, `check` measures each and checks
//! its body. The comparison itself is in `fetchway-report`.

mod check;
mod direct;
mod relayed;

pub(crate) use direct::{direct, private_engine};
pub(crate) use relayed::{Way, check_relay, connect, relayed};

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Progress bar on standard error, if that is a terminal.
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
