//! Reads what a response says about how fast its origin may be sent to: its status, `Retry-After` (RFC 9110
//! section 10.2.3), and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, from version 8 on: a list of items
//! with the parameters `r`, the requests left, and `t`, the seconds until there are more).

use std::time::{Duration, SystemTime};

use fetchway_policy::retry;
use http::{HeaderMap, HeaderName, StatusCode};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Limits of an origin, as one response names them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hints {
    /// The request was refused for its rate (429), or for the state of the origin (503).
    pub refused: Option<Refusal>,
    /// Nothing is to be sent for this long.
    pub wait: Option<Duration>,
    /// This many more requests may be sent within this time.
    pub left: Option<(u64, Duration)>,
    /// Longest time for which the origin may have anything wait.
    pub cap: Duration,
}

/// Reason why an origin refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 429: too many requests.
    TooMany,
    /// 503: the origin is in trouble.
    Unavailable,
}

impl Hints {
    /// Reads `status` and `headers` at `now`. No wait is longer than `cap`.
    #[must_use]
    pub fn read(status: StatusCode, headers: &HeaderMap, now: SystemTime, cap: Duration) -> Self {
        let refused = match status {
            StatusCode::TOO_MANY_REQUESTS => Some(Refusal::TooMany),
            StatusCode::SERVICE_UNAVAILABLE => Some(Refusal::Unavailable),
            _ => None,
        };
        let wait = retry::requested_wait(status, headers, now, cap);
        let lines = headers.get_all(RATE_LIMIT).iter();
        let items = lines.flat_map(|line| split(line.as_bytes(), b','));
        // The policy that leaves least.
        let left = items.filter_map(rate_limit).min_by(|a, b| {
            let rate = |(left, time): &(u64, Duration)| *left as f64 / time.as_secs_f64();
            rate(a).total_cmp(&rate(b))
        });
        let none_left = left.filter(|(left, _)| *left == 0);
        Self {
            refused,
            wait: wait.max(none_left.map(|(_, time)| time.min(cap))),
            left,
            cap,
        }
    }
}

/// Reads an item such as `"policy";r=50;t=30`; none if it lacks one of the two parameters.
fn rate_limit(item: &[u8]) -> Option<(u64, Duration)> {
    let (mut left, mut time) = (None, None);
    for parameter in split(item, b';').skip(1) {
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let value = str::from_utf8(&parameter[at + 1..]).ok();
        let number = value.and_then(|value| value.parse::<u64>().ok());
        match &parameter[..at] {
            b"r" => left = number,
            b"t" => time = number,
            _ => {}
        }
    }
    // "Within zero seconds" is within the running one.
    Some((left?, Duration::from_secs(time?.max(1))))
}

/// Splits `text` at `by`, trims the parts, and keeps quoted strings whole (RFC 9651).
fn split(text: &[u8], by: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |byte| {
        let ends = *byte == by && !quoted;
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && *byte == b'\\' && !escaped;
        ends
    });
    parts.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(status: u16, fields: &[(&'static str, &'static str)]) -> Hints {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        Hints::read(
            status,
            &headers,
            SystemTime::UNIX_EPOCH,
            Duration::from_secs(60),
        )
    }

    #[test]
    fn refusals_and_waits_within_the_cap() {
        let calm = hints(200, &[("retry-after", "5")]);
        assert_eq!((calm.refused, calm.wait, calm.left), (None, None, None));
        let too_many = hints(429, &[("retry-after", "5")]);
        assert_eq!(too_many.refused, Some(Refusal::TooMany));
        assert_eq!(too_many.wait, Some(Duration::from_secs(5)));
        let trouble = hints(503, &[("retry-after", "86400")]);
        assert_eq!(trouble.refused, Some(Refusal::Unavailable));
        assert_eq!(trouble.wait, Some(Duration::from_secs(60)));
        assert_eq!(hints(429, &[("retry-after", "soon")]).wait, None);
    }

    #[test]
    fn the_tightest_policy_counts() {
        let left = |value| hints(200, &[("ratelimit", value)]).left;
        let secs = Duration::from_secs;
        assert_eq!(left(r#""default";r=50;t=30"#), Some((50, secs(30))));
        assert_eq!(
            left(r#""a,;r=1";r=50;t=30, b;t=0;r=7"#),
            Some((50, secs(30)))
        );
        assert_eq!(
            left(r#""day";r=9000;t=7200, "s";r=0;t=1"#),
            Some((0, secs(1)))
        );
        assert_eq!(
            hints(200, &[("ratelimit", "a;r=0;t=99")]).wait,
            Some(secs(60))
        );
        assert_eq!(left(r#""default";r=50"#), None);
        assert_eq!(left(r#""x\";r=1;t=1";r=2;t=4"#), Some((2, secs(4))));
        // Older versions of the draft had another form, which says nothing here.
        assert_eq!(left("limit=10, remaining=5, reset=3"), None);
        assert_eq!(left(""), None);
    }
}
