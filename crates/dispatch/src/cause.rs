//! Why the schedule of a run slips.

use std::time::Duration;

/// Reason why a slot of the schedule was not used in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The timer or the machine was late.
    Late,
    /// Nothing was ready to send: the input was not read fast enough.
    Input,
    /// As many fetches were in flight as are allowed.
    Concurrency,
    /// Outcomes were not taken fast enough.
    Output,
    /// Every item that was ready is for an origin that must not be sent to yet.
    Origins,
}

impl Cause {
    /// All causes, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Late,
        Self::Input,
        Self::Concurrency,
        Self::Output,
        Self::Origins,
    ];

    /// Name of the cause in summaries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "machine",
            Self::Input => "input",
            Self::Concurrency => "concurrency",
            Self::Output => "output",
            Self::Origins => "origins",
        }
    }
}

/// Time by which the schedule has slipped for each cause, in the order of [`Cause::ALL`].
pub type Slips = [Duration; Cause::ALL.len()];
