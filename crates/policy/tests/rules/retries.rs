//! What is sent again, how often and when.

use std::time::{Duration, SystemTime};

use fetchway_policy::retry::{
    Attempt, Decision, Ended, Progress, RETRYABLE_STATUSES, backoff, decide, has_key,
    is_idempotent, is_unsent, may_resend, retry_after,
};
use fetchway_policy::{ErrorName, RetryPolicy};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

/// A status whose `Retry-After` is obeyed.
const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

const PROGRESS: [Progress; 6] = [
    Progress::Unconnected,
    Progress::Unsent,
    Progress::ReusedNoResponse,
    Progress::SentNoResponse,
    Progress::ResponseBegun,
    Progress::HandedOver,
];

const POLICY: RetryPolicy = RetryPolicy {
    retries: 3,
    base: Duration::from_millis(100),
    max: Duration::from_secs(1),
};

fn ended() -> impl Strategy<Value = Ended> {
    let names = proptest::sample::select(ErrorName::ALL);
    let status = (100u16..600).prop_map(|s| Ended::Status(StatusCode::from_u16(s).expect("valid")));
    prop_oneof![
        status,
        proptest::sample::select(&RETRYABLE_STATUSES[..])
            .prop_map(|s| Ended::Status(StatusCode::from_u16(s).expect("valid"))),
        (names, proptest::sample::select(&PROGRESS[..])).prop_map(|(n, p)| Ended::Failed(n, p)),
        proptest::sample::select(&PROGRESS[..])
            .prop_map(|p| Ended::Failed(ErrorName::ConnectionTerminated, p)),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0u64..100_000).prop_map(Duration::from_millis),
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(s, n)| Duration::new(s, n)),
    ]
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    (0u32..10, duration(), duration()).prop_map(|(retries, base, max)| RetryPolicy {
        retries,
        base,
        max,
    })
}

fn attempt(ended: Ended) -> Attempt {
    Attempt {
        number: 1,
        resent: false,
        idempotent: true,
        keyed: false,
        replayable: true,
        ended,
        random: u64::MAX,
    }
}

/// Whether the origin may have acted on a request that ended so.
fn may_have_acted(ended: Ended) -> bool {
    match ended {
        Ended::Status(_) => true,
        Ended::Failed(_, progress) => progress > Progress::Unsent,
    }
}

proptest! {
    #[test]
    fn a_fetch_is_tried_no_more_often_than_its_lane_allows_and_once_more(
        policy in policy(),
        (idempotent, keyed, replayable) in any::<(bool, bool, bool)>(),
        ends in proptest::collection::vec((ended(), any::<u64>()), 30),
    ) {
        let (mut number, mut resent, mut sent) = (1, false, 0);
        for (ended, random) in ends {
            sent += 1;
            let attempt = Attempt { number, resent, idempotent, keyed, replayable, ended, random };
            let decision = decide(&policy, &attempt);
            if decision == Decision::Stop {
                break;
            }
            prop_assert!(replayable, "sent again without a body");
            prop_assert!(
                idempotent || keyed || !may_have_acted(ended),
                "repeated what an origin may have done: {:?}", attempt
            );
            let handed_over = matches!(ended, Ended::Failed(_, Progress::HandedOver));
            prop_assert!(!handed_over);
            match decision {
                Decision::Resend => {
                    prop_assert!(!resent, "free only once");
                    resent = true;
                }
                Decision::Retry(wait) => {
                    prop_assert!(idempotent || keyed);
                    prop_assert!(wait <= policy.max);
                    number += 1;
                }
                Decision::Stop => unreachable!(),
            }
        }
        prop_assert!(number <= policy.retries + 1);
        prop_assert!(sent <= policy.retries + 2);
    }

    #[test]
    fn backoff_stays_within_its_bounds(policy in policy(), number: u32, random: u64) {
        let wait = backoff(&policy, number, random);
        prop_assert!(wait <= policy.max);
        let doubled = 1u128.checked_shl(number.saturating_sub(1)).unwrap_or(u128::MAX);
        prop_assert!(wait.as_nanos() <= policy.base.as_nanos().saturating_mul(doubled));
        prop_assert!(wait >= backoff(&policy, number, 0) && wait <= backoff(&policy, number, u64::MAX));
    }

    #[test]
    fn retry_after_is_capped_whatever_it_says(value: Vec<u8>, digits in "[0-9]{1,30}", cap in duration()) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        if let Some(wait) = retry_after(BUSY, &value, now, cap) {
            prop_assert!(wait <= cap);
        }
        let seconds: u128 = digits.parse().expect("digits");
        let wait = retry_after(BUSY, digits.as_bytes(), now, cap).expect("seconds");
        prop_assert_eq!(wait.as_nanos(), (seconds.saturating_mul(1_000_000_000)).min(cap.as_nanos()));
    }

    #[test]
    fn retry_after_reads_dates(at in 0u64..253_402_300_800, now in 0u64..253_402_300_800) {
        let time = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let date = httpdate::fmt_http_date(time(at));
        let wait = retry_after(BUSY, date.as_bytes(), time(now), Duration::MAX);
        prop_assert_eq!(wait, Some(Duration::from_secs(at.saturating_sub(now))));
    }
}

#[test]
fn the_free_resend() {
    let off = RetryPolicy::default();
    let lost = |progress| Ended::Failed(ErrorName::ConnectionTerminated, progress);
    for (progress, idempotent, free) in [
        (Progress::Unconnected, true, false),
        (Progress::Unsent, true, true),
        (Progress::Unsent, false, true),
        (Progress::ReusedNoResponse, true, true),
        (Progress::ReusedNoResponse, false, false),
        (Progress::SentNoResponse, true, false),
        (Progress::ResponseBegun, true, false),
        (Progress::HandedOver, true, false),
    ] {
        let first = Attempt {
            idempotent,
            ..attempt(lost(progress))
        };
        let expected = if free {
            Decision::Resend
        } else {
            Decision::Stop
        };
        assert_eq!(decide(&off, &first), expected, "{first:?}");
        assert_eq!(
            decide(
                &off,
                &Attempt {
                    resent: true,
                    ..first
                }
            ),
            Decision::Stop
        );
        assert_eq!(
            decide(
                &off,
                &Attempt {
                    replayable: false,
                    ..first
                }
            ),
            Decision::Stop
        );
        // A key is a promise about the origin that only the lane's configuration takes up.
        let keyed = Attempt {
            keyed: true,
            ..first
        };
        assert_eq!(decide(&off, &keyed), expected, "{keyed:?}");
    }
    for name in [
        ErrorName::Cancelled,
        ErrorName::DestinationIpProhibited,
        ErrorName::QueueTimeout,
    ] {
        let ended = Ended::Failed(name, Progress::Unsent);
        assert_eq!(decide(&off, &attempt(ended)), Decision::Stop);
    }
}

#[test]
fn a_lane_retries_connect_errors_only() {
    let transient = [
        ErrorName::DnsTimeout,
        ErrorName::DnsError,
        ErrorName::ConnectionRefused,
        ErrorName::ConnectionTerminated,
        ErrorName::ConnectionTimeout,
    ];
    for &name in ErrorName::ALL {
        for progress in PROGRESS {
            let tried = Attempt {
                resent: true,
                ..attempt(Ended::Failed(name, progress))
            };
            let retried = matches!(decide(&POLICY, &tried), Decision::Retry(_));
            let expected = transient.contains(&name) && progress != Progress::HandedOver;
            assert_eq!(retried, expected, "{name} {progress:?}");
        }
    }
}

#[test]
fn a_lane_retries_certain_statuses() {
    for status in (100..600).filter_map(|s| StatusCode::from_u16(s).ok()) {
        let retried = matches!(
            decide(&POLICY, &attempt(Ended::Status(status))),
            Decision::Retry(_)
        );
        assert_eq!(
            retried,
            RETRYABLE_STATUSES.contains(&status.as_u16()),
            "{status}"
        );
    }
    let busy = attempt(Ended::Status(StatusCode::SERVICE_UNAVAILABLE));
    let post = Attempt {
        idempotent: false,
        ..busy
    };
    assert_eq!(decide(&POLICY, &post), Decision::Stop);
    let keyed = Attempt {
        keyed: true,
        ..post
    };
    assert!(matches!(decide(&POLICY, &keyed), Decision::Retry(_)));
    assert_eq!(
        decide(&POLICY, &Attempt { number: 4, ..busy }),
        Decision::Stop
    );
    assert_eq!(decide(&RetryPolicy::default(), &busy), Decision::Stop);
}

#[test]
fn the_bound_doubles_up_to_its_maximum() {
    let most = |number| backoff(&POLICY, number, u64::MAX).as_millis();
    assert_eq!(
        [1, 2, 3, 4, 5, 6].map(most),
        [100, 200, 400, 800, 1000, 1000]
    );
    assert_eq!(backoff(&POLICY, 3, 0), Duration::ZERO);
    assert_eq!(backoff(&POLICY, 3, u64::MAX / 2 + 1).as_millis(), 200);
}

#[test]
fn retry_after_values() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let cap = Duration::from_secs(60);
    for (value, expected) in [
        (&b"0"[..], Some(0)),
        (b" 7\t", Some(7)),
        (b"120", Some(60)),
        (b"99999999999999999999999999", Some(60)),
        (b"Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
        (b"Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
        (b"Sun Nov  6 08:49:47 1994", Some(10)),
        (b"Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        (b"Sun, 06 Nov 2094 08:49:37 GMT", None),
        (b"Sat, 06 Nov 2094 08:49:37 GMT", Some(60)),
        (b"-1", None),
        (b"1.5", None),
        (b"+5", None),
        (b"", None),
        (b"soon", None),
        (b"\xff", None),
    ] {
        let expected = expected.map(Duration::from_secs);
        let text = String::from_utf8_lossy(value);
        assert_eq!(retry_after(BUSY, value, now, cap), expected, "{text}");
    }
}

#[test]
fn what_may_be_repeated() {
    for (name, idempotent) in [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PATCH", false),
        ("get", false),
        ("X", false),
    ] {
        let method = Method::from_bytes(name.as_bytes()).expect(name);
        assert_eq!(is_idempotent(&method), idempotent, "{name}");
    }
    let mut headers = HeaderMap::new();
    assert!(!has_key(&headers));
    headers.insert("idempotency-key", HeaderValue::from_static(""));
    assert!(!has_key(&headers));
    headers.insert("Idempotency-Key", HeaderValue::from_static("k1"));
    assert!(has_key(&headers));
}

#[test]
fn only_429_and_503_ask_to_wait() {
    for status in 100..600 {
        let status = StatusCode::from_u16(status).expect("a status");
        let wait = retry_after(status, b"7", SystemTime::UNIX_EPOCH, Duration::MAX);
        assert_eq!(
            wait.is_some(),
            matches!(status.as_u16(), 429 | 503),
            "{status}"
        );
    }
}

#[test]
fn a_request_that_may_have_been_processed_is_sent_again_only_if_that_does_no_harm() {
    assert!(may_resend(true, false) && may_resend(true, true) && may_resend(false, true));
    assert!(!may_resend(false, false));
    for name in [
        ErrorName::ConnectionTerminated,
        ErrorName::ConnectionReadTimeout,
        ErrorName::HttpResponseTimeout,
        ErrorName::OutcomeUnknown,
        ErrorName::Cancelled,
    ] {
        assert!(!is_unsent(name), "{name}");
    }
    assert!(is_unsent(ErrorName::ConnectionRefused) && is_unsent(ErrorName::QueueFull));
}
