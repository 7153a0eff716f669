//! Checks of response fields that both protocols share.

use http::HeaderValue;

use crate::decimal;

/// Returns the position of a name in `wanted`, ignoring case.
pub(crate) fn position(name: &[u8], wanted: &[&str]) -> Option<usize> {
    let is = |kept: &&str| kept.as_bytes().eq_ignore_ascii_case(name);
    wanted.iter().position(is)
}

/// Parses a `Content-Length`. A list of equal values counts as one value (RFC 9110 section 8.6).
/// Returns `None` if the value is invalid.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if let Some(length) = decimal::parse(value) {
        return Some(length);
    }
    let mut members = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
    let first = decimal::parse(members.next()?)?;
    let same = members.all(|member| decimal::parse(member) == Some(first));
    same.then_some(first)
}

/// Returns true if `value` is a valid field value: visible characters, bytes above 0x7f, spaces and
/// tabs. `HeaderValue`, which holds the values that are kept, accepts the same bytes.
pub(crate) fn is_value(value: &[u8]) -> bool {
    let within = |&b: &u8| b >= b' ' && b != 0x7f || b == b'\t';
    value.iter().all(within)
}

/// Copies a value that [`is_value`] accepts.
pub(crate) fn keep(value: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_are_one_and_differing_ones_none() {
        assert_eq!(length(b"5"), Some(5));
        assert_eq!(length(b"5, 5 ,5"), Some(5));
        for value in [
            "",
            "5,6",
            "5,",
            ",5",
            "-5",
            "5 5",
            "0x5",
            "18446744073709551616",
        ] {
            assert_eq!(length(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn a_value_is_what_http_takes() {
        for byte in 0..=u8::MAX {
            let kept = HeaderValue::from_bytes(&[byte]).is_ok();
            assert_eq!(is_value(&[byte]), kept, "{byte:#x}");
        }
    }
}
