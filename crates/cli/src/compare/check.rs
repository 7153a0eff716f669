//! Makes a measurement of a fetch, and checks the bodies of test origins.

use std::time::Instant;

use fetchway_report::compare::Sample;

/// Measures fetch number `req`, which began at `began` and ends now with a status and a body, or an error.
pub(super) fn sample(req: usize, began: Instant, outcome: Result<(u16, &[u8]), String>) -> Sample {
    Sample {
        began,
        ended: Instant::now(),
        wrong_body: match &outcome {
            Ok((200, body)) => wrong_body(req, body),
            _ => None,
        },
        outcome: outcome.map(|(status, _)| status),
    }
}

/// Checks a body that comes from a test origin: it begins with the number of its request, and has a checksum.
/// Other bodies are not checked.
fn wrong_body(req: usize, body: &[u8]) -> Option<String> {
    if body.starts_with(format!("req={req} size=").as_bytes()) {
        return fetchway_test_origins::verify(req as u64, body).err();
    }
    body.starts_with(b"req=")
        .then(|| format!("the body for req={req} belongs to another request"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_a_test_origin_for_another_request_is_wrong() {
        let began = Instant::now();
        let good = |req, body: &[u8]| sample(req, began, Ok((200, body))).is_good();
        let body = fetchway_test_origins::expected_body(7, 64);
        assert!(good(7, &body));
        assert!(!good(8, &body));
        let mut spoilt = body;
        spoilt[60] ^= 1;
        assert!(!good(7, &spoilt));
        assert!(good(7, b"anything"));
    }
}
