//! The decisions of the ledger's origin about requests: a pure machine, which gets the time as an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// The second that limits are about, in microseconds.
const SECOND: u64 = 1_000_000;

/// How an origin behaves. By default it answers everything at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Beyond it requests are answered 429 with `retry-after: 1`, at once.
    pub limit: Option<Limit>,
    /// How long each answer but a refusal takes.
    pub delay: Duration,
    /// Of the items whose number is a multiple of the second figure, every request is answered with
    /// this status.
    pub fail: Option<(u16, u32)>,
    /// Of the items whose number is a multiple of this, no request is answered at all.
    pub stall: Option<u32>,
}

/// So many requests a second are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The most in one window.
    pub per_second: u32,
    /// Which windows.
    pub kind: LimitKind,
}

/// The windows of a limit. Refused requests do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// One after the other, a second each: a new one begins empty.
    Fixed,
    /// Any second: the one that ends with the request.
    Sliding,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answered with this status, after this long.
    Answer(u16, Duration),
    /// Over the limit.
    Refuse,
    /// Never answered.
    Stall,
}

impl Verdict {
    /// The status answered; 0 for none.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Answer(status, _) => status,
            Self::Refuse => 429,
            Self::Stall => 0,
        }
    }
}

/// The rules, and what the limit remembers.
#[derive(Debug, Default)]
pub(super) struct Judge {
    rules: Rules,
    /// Requests within the limit, as far back as it reaches.
    within: VecDeque<u64>,
}

impl Judge {
    /// Other rules from now on.
    pub(super) fn rule(&mut self, rules: Rules) {
        *self = Self {
            rules,
            within: VecDeque::new(),
        };
    }

    /// A request for `item` comes at `micros`, not before the last one.
    pub(super) fn judge(&mut self, micros: u64, item: u32) -> Verdict {
        if let Some(limit) = self.rules.limit
            && !self.admits(limit, micros)
        {
            return Verdict::Refuse;
        }
        let hit = |every: u32| item.is_multiple_of(every.max(1));
        if self.rules.stall.is_some_and(hit) {
            return Verdict::Stall;
        }
        let failed = self.rules.fail.filter(|(_, every)| hit(*every));
        Verdict::Answer(failed.map_or(200, |(status, _)| status), self.rules.delay)
    }

    fn admits(&mut self, limit: Limit, micros: u64) -> bool {
        let counts = |at: u64| match limit.kind {
            LimitKind::Fixed => at / SECOND == micros / SECOND,
            LimitKind::Sliding => micros - at < SECOND,
        };
        while self.within.front().is_some_and(|at| !counts(*at)) {
            self.within.pop_front();
        }
        let admitted = self.within.len() < limit.per_second as usize;
        if admitted {
            self.within.push_back(micros);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(kind: LimitKind) -> Judge {
        let mut judge = Judge::default();
        let limit = Some(Limit {
            per_second: 2,
            kind,
        });
        judge.rule(Rules {
            limit,
            ..Rules::default()
        });
        judge
    }

    fn admitted(mut judge: Judge, at: &[u64]) -> Vec<bool> {
        let verdicts = at.iter().map(|at| judge.judge(*at, 7));
        verdicts.map(|it| it != Verdict::Refuse).collect()
    }

    #[test]
    fn a_fixed_window_begins_empty() {
        let judge = limited(LimitKind::Fixed);
        let at = [900_000, 950_000, 999_999, 1_000_000, 1_000_001, 1_999_999];
        let expected = [true, true, false, true, true, false];
        assert_eq!(admitted(judge, &at), expected);
    }

    #[test]
    fn a_sliding_window_forgets_a_second_later() {
        let judge = limited(LimitKind::Sliding);
        let at = [900_000, 950_000, 1_899_999, 1_900_000, 1_900_001, 1_950_000];
        let expected = [true, true, false, true, false, true];
        assert_eq!(admitted(judge, &at), expected);
    }

    #[test]
    fn items_fail_and_stall_by_their_number() {
        let mut judge = Judge::default();
        judge.rule(Rules {
            limit: None,
            delay: Duration::from_millis(3),
            fail: Some((503, 10)),
            stall: Some(15),
        });
        let verdicts = [30, 20, 15, 7].map(|item| judge.judge(0, item).status());
        assert_eq!(verdicts, [0, 503, 0, 200]);
    }
}
