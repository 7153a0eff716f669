//! What an answer says about how fast its origin may be sent to: its status, `Retry-After` (RFC 9110
//! section 10.2.3), and `RateLimit` (draft-ietf-httpapi-ratelimit-headers, since its version 8: a
//! list of items with the parameters `r`, what is left, and `t`, seconds until there is more).

use std::time::{Duration, SystemTime};

use fetchway_policy::retry;
use http::{HeaderMap, HeaderName, StatusCode, header};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What is learnt of an origin's limits from one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Hints {
    /// It refused the request for its rate (429), or for the state that it is in (503).
    pub(crate) refused: Option<Refused>,
    /// Nothing is to be sent for so long.
    pub(crate) wait: Option<Duration>,
    /// So many more may be sent within so long.
    pub(crate) left: Option<(u64, Duration)>,
    /// The longest that it may have anything wait.
    pub(crate) cap: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 429: too many requests.
    TooMany,
    /// 503: trouble of its own.
    Unavailable,
}

impl Hints {
    /// What `status` and `headers` say. No wait is longer than `cap`.
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap, cap: Duration) -> Self {
        let refused = match status {
            StatusCode::TOO_MANY_REQUESTS => Some(Refused::TooMany),
            StatusCode::SERVICE_UNAVAILABLE => Some(Refused::Unavailable),
            _ => None,
        };
        let after = headers
            .get(header::RETRY_AFTER)
            .filter(|_| refused.is_some());
        let wait =
            after.and_then(|value| retry::retry_after(value.as_bytes(), SystemTime::now(), cap));
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

/// `"policy";r=50;t=30`. An item without both parameters says nothing that helps.
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

/// The parts between `by`, white space around them cut off, strings kept whole (RFC 9651).
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
        Hints::read(status, &headers, Duration::from_secs(60))
    }

    #[test]
    fn refusals_and_waits_within_the_cap() {
        let calm = hints(200, &[("retry-after", "5")]);
        assert_eq!((calm.refused, calm.wait, calm.left), (None, None, None));
        let too_many = hints(429, &[("retry-after", "5")]);
        assert_eq!(too_many.refused, Some(Refused::TooMany));
        assert_eq!(too_many.wait, Some(Duration::from_secs(5)));
        let trouble = hints(503, &[("retry-after", "86400")]);
        assert_eq!(trouble.refused, Some(Refused::Unavailable));
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
