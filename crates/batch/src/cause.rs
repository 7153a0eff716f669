//! Why a schedule slips.

use std::time::Duration;

/// What keeps slots from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The timer or the machine was late.
    Late,
    /// There was nothing to send: the input was not read fast enough.
    Input,
    /// As many fetches were in flight as may be.
    Concurrency,
    /// Outcomes were not taken fast enough.
    Output,
    /// All that there was to send was for origins that must not be sent to yet.
    Origins,
}

impl Cause {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::Late,
        Self::Input,
        Self::Concurrency,
        Self::Output,
        Self::Origins,
    ];

    /// Its name in summaries.
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

/// By how much the schedule has slipped, for each cause.
pub(crate) type Slipped = [Duration; Cause::ALL.len()];
