//! Tests a pace against simulated origins that enforce a rate in different ways.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Hints, Pace, Refusal};

/// Way in which an origin enforces its limit.
enum Limiter {
    /// Allows `most` requests in each window; `Retry-After` says when the next one begins.
    Window {
        most: u32,
        window: Duration,
        at: u128,
        used: u32,
    },
    /// A bucket that fills with `rate` a second up to `most`; `Retry-After: 1`.
    Bucket {
        rate: f64,
        most: f64,
        level: f64,
        seen: Duration,
    },
    /// Allows `most` requests in any second, and names no time to wait.
    Sliding {
        most: usize,
        log: VecDeque<Duration>,
    },
    /// Allows `most` requests in each window, and every response says how many are left.
    Telling {
        most: u32,
        window: Duration,
        at: u128,
        used: u32,
    },
}

const ACCEPTED: Hints = Hints {
    refused: None,
    wait: None,
    left: None,
    cap: Duration::from_secs(60),
};

fn refusal(wait: Option<Duration>) -> Hints {
    Hints {
        refused: Some(Refusal::TooMany),
        wait,
        ..ACCEPTED
    }
}

/// Time until the window ends, in whole seconds as header fields have it.
fn until_next(now: Duration, window: Duration) -> Duration {
    let into = Duration::from_nanos((now.as_nanos() % window.as_nanos()) as u64);
    Duration::from_secs((window - into).as_secs_f64().ceil() as u64)
}

impl Limiter {
    fn answer(&mut self, now: Duration) -> Hints {
        match self {
            Self::Window {
                most,
                window,
                at,
                used,
            } => {
                count(now, *window, at, used);
                match *used > *most {
                    true => refusal(Some(until_next(now, *window))),
                    false => ACCEPTED,
                }
            }
            Self::Bucket {
                rate,
                most,
                level,
                seen,
            } => {
                *level = (*level + *rate * (now - *seen).as_secs_f64()).min(*most);
                *seen = now;
                if *level < 1.0 {
                    return refusal(Some(Duration::from_secs(1)));
                }
                *level -= 1.0;
                ACCEPTED
            }
            Self::Sliding { most, log } => {
                while log
                    .front()
                    .is_some_and(|at| *at + Duration::from_secs(1) <= now)
                {
                    log.pop_front();
                }
                if log.len() >= *most {
                    return refusal(None);
                }
                log.push_back(now);
                ACCEPTED
            }
            Self::Telling {
                most,
                window,
                at,
                used,
            } => {
                count(now, *window, at, used);
                let hints = match *used > *most {
                    true => refusal(None),
                    false => ACCEPTED,
                };
                let left = u64::from(most.saturating_sub(*used));
                Hints {
                    left: Some((left, until_next(now, *window))),
                    wait: (left == 0).then(|| until_next(now, *window)),
                    ..hints
                }
            }
        }
    }
}

fn count(now: Duration, window: Duration, at: &mut u128, used: &mut u32) {
    let number = now.as_nanos() / window.as_nanos();
    if std::mem::replace(at, number) != number {
        *used = 0;
    }
    *used += 1;
}

/// Counts of a run: requests accepted in all, and after the pace had time to settle.
#[derive(Debug, Default)]
struct Account {
    accepted: u32,
    late_accepted: u32,
    late_refused: u32,
}

impl Account {
    fn refused_share(&self) -> f64 {
        f64::from(self.late_refused) / f64::from((self.late_refused + self.late_accepted).max(1))
    }
}

/// Runs `rate` slots a second, each used if the pace allows; responses come `trip` later.
fn run(limiter: &mut Limiter, rate: u32, trip: Duration, seconds: u32) -> (Account, Pace) {
    // A limit of ten seconds shows itself twice within fifteen.
    let settled = match limiter {
        Limiter::Window { window, .. } if *window > Duration::from_secs(1) => 15,
        _ => 5,
    };
    let mut pace = Pace::new(None, false);
    let mut account = Account::default();
    let mut answers: BTreeMap<(Duration, u32), (Duration, Hints)> = BTreeMap::new();
    for slot in 0..rate * seconds {
        let now = Duration::from_secs(1) * slot / rate;
        while let Some(first) = answers.first_entry()
            && first.key().0 <= now
        {
            let ((at, _), (sent, hints)) = first.remove_entry();
            pace.handle_response(at, sent, &hints, answers.len(), Some(f64::from(rate)));
        }
        if pace.next_at() > now {
            continue;
        }
        pace.handle_sent(now);
        let hints = limiter.answer(now + trip / 2);
        let late = now > Duration::from_secs(settled);
        match hints.refused {
            Some(_) => account.late_refused += u32::from(late),
            None => {
                account.accepted += 1;
                account.late_accepted += u32::from(late);
            }
        }
        answers.insert((now + trip, slot), (now, hints));
    }
    (account, pace)
}

fn limiters() -> [(&'static str, f64, Limiter); 5] {
    let secs = Duration::from_secs;
    let window = |most, window| Limiter::Window {
        most,
        window,
        at: 0,
        used: 0,
    };
    [
        ("a fixed second", 1_000.0, window(1_000, secs(1))),
        ("a fixed ten seconds", 1_000.0, window(10_000, secs(10))),
        (
            "a bucket",
            1_000.0,
            Limiter::Bucket {
                rate: 1_000.0,
                most: 1_000.0,
                level: 1_000.0,
                seen: secs(0),
            },
        ),
        (
            "a sliding second",
            1_000.0,
            Limiter::Sliding {
                most: 1_000,
                log: VecDeque::new(),
            },
        ),
        (
            "a telling one",
            1_000.0,
            Limiter::Telling {
                most: 10_000,
                window: secs(10),
                at: 0,
                used: 0,
            },
        ),
    ]
}

#[test]
fn any_limiter_is_found_out_and_kept_to() {
    for trip in [1, 20, 200].map(Duration::from_millis) {
        for (name, limit, mut limiter) in limiters() {
            let (account, _) = run(&mut limiter, 5_000, trip, 60);
            let share = account.refused_share();
            let used = f64::from(account.accepted) / 60.0 / limit;
            assert!(
                share < 0.02,
                "{name} at {trip:?}: {share:.4} of the requests were refused"
            );
            assert!(
                used > 0.85,
                "{name} at {trip:?}: only {used:.3} of the limit was used"
            );
        }
    }
}

#[test]
fn a_limit_that_is_lifted_is_found_out() {
    let mut limiter = Limiter::Sliding {
        most: 1_000,
        log: VecDeque::new(),
    };
    let trip = Duration::from_millis(20);
    let (_, mut pace) = run(&mut limiter, 5_000, trip, 20);
    assert!(pace.slowed_to().is_some());
    let mut now = Duration::from_secs(20);
    let ends = Duration::from_secs(240);
    while pace.slowed_to().is_some() && now < ends {
        now = pace.next_at().max(now) + Duration::from_micros(200);
        pace.handle_sent(now);
        pace.handle_response(now, now, &ACCEPTED, 0, Some(5_000.0));
    }
    assert!(now < ends, "still slowed to {:?}", pace.slowed_to());
}

#[test]
fn one_flood_slows_once_and_trouble_forgets_no_rate() {
    let mut pace = Pace::new(None, false);
    let t = Duration::from_millis;
    for ms in 0..1_000 {
        pace.handle_sent(t(ms));
        pace.handle_response(t(ms), t(ms), &ACCEPTED, 0, None);
    }
    let trouble = Hints {
        refused: Some(Refusal::Unavailable),
        ..ACCEPTED
    };
    pace.handle_response(t(1_000), t(999), &trouble, 0, None);
    let slowed = pace.slowed_to().expect("it is slowed");
    for sent in 900..1_000 {
        pace.handle_response(t(1_100), t(sent), &trouble, 0, None);
    }
    assert_eq!(pace.slowed_to(), Some(slowed));
    // A minute of trouble, and it comes back within half a minute of peace.
    let mut now = t(1_200);
    while now < t(61_000) {
        now = now.max(pace.next_at());
        pace.handle_sent(now);
        pace.handle_response(now, now, &trouble, 0, None);
    }
    while pace.slowed_to().is_some() {
        now = now.max(pace.next_at());
        pace.handle_sent(now);
        pace.handle_response(now, now, &ACCEPTED, 0, None);
    }
    assert!(now < t(61_000 + 60_000), "back after {now:?}");
}

/// Hints of a response that names the requests left, with the wait that follows from it.
fn left(count: u64, seconds: u64) -> Hints {
    let time = Duration::from_secs(seconds);
    Hints {
        wait: (count == 0).then(|| time.min(ACCEPTED.cap)),
        left: Some((count, time)),
        ..ACCEPTED
    }
}

#[test]
fn no_field_has_an_origin_wait_beyond_the_cap() {
    for (count, seconds) in [(1, 86_400), (0, 86_400), (100, 1 << 40), (0, u64::MAX)] {
        for adaptive in [false, true] {
            let mut pace = Pace::new(None, adaptive);
            let mut now = Duration::ZERO;
            for _ in 0..5 {
                pace.handle_sent(now);
                pace.handle_response(now, now, &left(count, seconds), 0, None);
                let wait = pace.next_at().saturating_sub(now);
                assert!(wait <= ACCEPTED.cap, "{wait:?} for {count} in {seconds} s");
                now = pace.next_at().max(now);
            }
        }
    }
}

#[test]
fn a_quota_that_is_renewed_is_used_at_once_but_a_wait_is_kept() {
    let t = Duration::from_secs;
    for overtaken in [false, true] {
        let mut pace = Pace::new(None, false);
        pace.handle_sent(t(1));
        pace.handle_response(t(1), t(1), &left(0, 30), 0, None);
        if overtaken {
            // An answer from before that one.
            pace.handle_response(t(2), t(1), &left(60, 30), 0, None);
        }
        assert_eq!(pace.next_at(), t(31));
        pace.handle_sent(t(31));
        pace.handle_response(t(31), t(31), &left(60, 30), 0, None);
        assert_eq!(pace.next_at(), t(31) + Duration::from_millis(500));
    }
}
