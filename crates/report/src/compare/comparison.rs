//! Two ways of making the same fetches: directly and through relays.

use super::samples::Samples;

/// Measurements of both ways.
pub struct Comparison {
    /// URLs of the relays, separated by spaces.
    pub relay: String,
    /// Number of WebSockets in all.
    pub sockets: usize,
    /// The relays were used in the binary encoding.
    pub binary: bool,
    /// URL that was fetched.
    pub target: String,
    /// Most direct fetches at a time.
    pub direct_limit: usize,
    /// Measurements of the direct fetches.
    pub direct: Samples,
    /// Measurements of the relayed fetches.
    pub relayed: Samples,
}

impl Comparison {
    /// Returns true if every fetch of both ways succeeded.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.direct.failed() == 0 && self.relayed.failed() == 0
    }

    /// Makespan of the direct fetches, as a multiple of that of the relayed ones; none if any fetch failed.
    fn factor(&self) -> Option<f64> {
        let (direct, relayed) = (self.direct.makespan(), self.relayed.makespan());
        (self.is_good() && !relayed.is_zero()).then(|| direct.as_secs_f64() / relayed.as_secs_f64())
    }

    /// Writes the result in one sentence.
    #[must_use]
    pub fn conclusion(&self) -> String {
        match self.factor() {
            None => {
                let failed = self.direct.failed() + self.relayed.failed();
                format!("{failed} fetches failed, so the two ways cannot be compared.")
            }
            Some(factor) if factor >= 1.05 => {
                format!("Through fetchway the batch finished {factor:.1}× faster.")
            }
            Some(factor) if factor <= 0.95 => format!(
                "Direct fetches finished {:.1}× faster: this target is too fast, or the list too short, for a relay to help.",
                1.0 / factor
            ),
            Some(_) => "Both ways took the same time.".to_owned(),
        }
    }
}
