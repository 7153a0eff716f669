//! Configuration of a dispatch, and its phases.

use fetchway_policy::Rate;

/// Configuration of a dispatch.
#[derive(Clone, Copy, Debug)]
pub struct DispatchConfig {
    /// Rate of the schedule; none means as fast as possible.
    pub rate: Option<Rate>,
    /// Most items in flight, including those whose outcome has not been taken.
    pub concurrency: usize,
    /// Search for the highest rate that each origin bears.
    pub adaptive: bool,
    /// Responses may name further items. Items that are set aside then always go first, or chains would begin
    /// faster than they end; and while the most items are set aside, no new chain begins.
    pub chains: bool,
}

/// Phase of a run.
///
/// ```text
///           handle_input_end            handle_stop
/// Reading ───────────────────▶ Closed ───────────────▶ Stopped
///    └──────────────────── handle_stop ───────────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Further items may come.
    Reading,
    /// The input has ended; items that came are sent.
    Closed,
    /// Nothing more is sent.
    Stopped,
}
