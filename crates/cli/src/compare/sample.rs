//! What is known of one fetch, and of many.

use std::time::{Duration, Instant};

/// How a body is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// By the checksum that `fetchway-test-origins`'s slow route puts in it.
    TestOrigin,
    /// Not at all: any body will do.
    Any,
}

impl Check {
    /// The check that fits a target's answers, told from the first good one.
    pub(crate) fn for_body(req: usize, body: &[u8]) -> Self {
        let first = format!("req={req} size=");
        if body.starts_with(first.as_bytes()) {
            Self::TestOrigin
        } else {
            Self::Any
        }
    }
}

/// One fetch.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// The status, or why there is none.
    pub(crate) outcome: Result<u16, String>,
    /// What is wrong with its body, if it was judged.
    pub(crate) wrong_body: Option<String>,
}

impl Sample {
    pub(crate) fn of(req: usize, began: Instant, outcome: Result<(u16, &[u8]), String>) -> Self {
        let wrong_body = match &outcome {
            Ok((200, body)) if Check::for_body(req, body) == Check::TestOrigin => {
                fetchway_test_origins::verify(req as u64, body).err()
            }
            // The test origin begins each body with the number of its request.
            Ok((200, body)) if body.starts_with(b"req=") => {
                Some(format!("the body for req={req} belongs to another request"))
            }
            _ => None,
        };
        Self {
            began,
            ended: Instant::now(),
            outcome: outcome.map(|(status, _)| status),
            wrong_body,
        }
    }

    pub(crate) fn took(&self) -> Duration {
        self.ended - self.began
    }

    /// A status below 400 and, where it could be judged, the right body.
    pub(crate) fn is_good(&self) -> bool {
        self.wrong_body.is_none()
            && self
                .outcome
                .as_ref()
                .is_ok_and(|status| (100..400).contains(status))
    }

    pub(crate) fn complaint(&self) -> Option<String> {
        match (&self.outcome, &self.wrong_body) {
            (Err(error), _) => Some(error.clone()),
            (_, Some(wrong)) => Some(wrong.clone()),
            (Ok(status), _) if !self.is_good() => Some(format!("HTTP status {status}")),
            _ => None,
        }
    }
}

/// Many fetches that were asked for at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

impl Samples {
    pub(crate) fn good(&self) -> usize {
        self.0.iter().filter(|sample| sample.is_good()).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.0.len() - self.good()
    }

    /// From the first beginning to the last end.
    pub(crate) fn makespan(&self) -> Duration {
        let first = self.0.iter().map(|sample| sample.began).min();
        let last = self.0.iter().map(|sample| sample.ended).max();
        first
            .zip(last)
            .map_or(Duration::ZERO, |(first, last)| last - first)
    }

    pub(crate) fn mean(&self) -> Duration {
        let sum: Duration = self.0.iter().map(Sample::took).sum();
        sum / u32::try_from(self.0.len().max(1)).unwrap_or(u32::MAX)
    }

    /// The time within which `percent` of a hundred fetches had ended (nearest rank).
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<Duration> = self.0.iter().map(Sample::took).collect();
        times.sort_unstable();
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    }

    /// The most fetches that were under way at one moment.
    pub(crate) fn peak(&self) -> usize {
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

    /// What went wrong, each thing once with its count, the most frequent first.
    pub(crate) fn complaints(&self) -> Vec<(String, usize)> {
        let mut counted = std::collections::BTreeMap::new();
        for complaint in self.0.iter().filter_map(Sample::complaint) {
            *counted.entry(complaint).or_insert(0usize) += 1;
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
        assert_eq!(samples.complaints().len(), 2);
    }

    #[test]
    fn a_lab_body_of_another_request_is_wrong() {
        let began = Instant::now();
        let body = fetchway_test_origins::expected_body(7, 64);
        assert!(Sample::of(7, began, Ok((200, &body))).is_good());
        assert!(!Sample::of(8, began, Ok((200, &body))).is_good());
        let mut spoilt = body;
        spoilt[60] ^= 1;
        assert!(!Sample::of(7, began, Ok((200, &spoilt))).is_good());
        assert!(Sample::of(7, began, Ok((200, b"anything"))).is_good());
    }
}
