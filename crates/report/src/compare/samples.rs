//! Measurements of fetches.

use std::time::{Duration, Instant};

/// Measurement of one fetch.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Start of the fetch.
    pub began: Instant,
    /// End of the fetch.
    pub ended: Instant,
    /// The status, or the reason why there is none.
    pub outcome: Result<u16, String>,
    /// Error in the body, if it was checked and is wrong.
    pub wrong_body: Option<String>,
}

impl Sample {
    /// Duration of the fetch.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended - self.began
    }

    /// Returns true for a status below 400 with a body that is not known to be wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong_body.is_none()
            && self
                .outcome
                .as_ref()
                .is_ok_and(|status| (100..400).contains(status))
    }

    /// Reason why the fetch counts as failed; none if it does not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match (&self.outcome, &self.wrong_body) {
            (Err(error), _) => Some(error.clone()),
            (_, Some(wrong)) => Some(wrong.clone()),
            (Ok(status), _) if !self.is_good() => Some(format!("HTTP status {status}")),
            _ => None,
        }
    }
}

/// Measurements of fetches that were asked for together.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// Number of successful fetches.
    #[must_use]
    pub fn good(&self) -> usize {
        self.0.iter().filter(|sample| sample.is_good()).count()
    }

    /// Number of failed fetches.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.0.len() - self.good()
    }

    /// Time from the first start to the last end.
    #[must_use]
    pub fn makespan(&self) -> Duration {
        let first = self.0.iter().map(|sample| sample.began).min();
        let last = self.0.iter().map(|sample| sample.ended).max();
        first
            .zip(last)
            .map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// Mean duration.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let sum: Duration = self.0.iter().map(Sample::took).sum();
        sum / u32::try_from(self.0.len().max(1)).unwrap_or(u32::MAX)
    }

    /// Duration within which `percent` of a hundred fetches ended (nearest rank).
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<Duration> = self.0.iter().map(Sample::took).collect();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    }

    /// Most fetches in flight at one moment.
    #[must_use]
    pub fn peak(&self) -> usize {
        let begins = self.0.iter().map(|sample| (sample.began, 1i64));
        let ends = self.0.iter().map(|sample| (sample.ended, -1i64));
        let mut edges: Vec<(Instant, i64)> = begins.chain(ends).collect();
        edges.sort_unstable();
        let mut now = 0;
        let peak = edges.iter().map(|(_, edge)| {
            now += edge;
            now
        });
        usize::try_from(peak.max().unwrap_or(0)).unwrap_or(0)
    }

    /// Problems with their counts, the most frequent first.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, usize)> {
        let mut counted = std::collections::BTreeMap::new();
        for problem in self.0.iter().filter_map(Sample::problem) {
            *counted.entry(problem).or_insert(0usize) += 1;
        }
        let mut counted: Vec<_> = counted.into_iter().collect();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(began: Instant, from: u64, to: u64, outcome: Result<u16, String>) -> Sample {
        Sample {
            began: began + Duration::from_millis(from),
            ended: began + Duration::from_millis(to),
            outcome,
            wrong_body: None,
        }
    }

    #[test]
    fn figures_of_three_fetches() {
        let zero = Instant::now();
        let samples = Samples(vec![
            sample(zero, 0, 10, Ok(200)),
            sample(zero, 5, 25, Ok(404)),
            sample(zero, 10, 40, Err("refused".into())),
        ]);
        assert_eq!((samples.good(), samples.failed()), (1, 2));
        assert_eq!(samples.makespan(), Duration::from_millis(40));
        assert_eq!(samples.mean(), Duration::from_millis(20));
        assert_eq!(samples.percentile(50), Duration::from_millis(20));
        assert_eq!(samples.percentile(99), Duration::from_millis(30));
        assert_eq!(samples.peak(), 2);
        assert_eq!(samples.problems().len(), 2);
    }
}
