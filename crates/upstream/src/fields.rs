//! What both protocols do with a response's fields.

use http::HeaderValue;

use crate::decimal;

/// The place in `wanted` of a name in whatever case.
pub(crate) fn place(name: &[u8], wanted: &[&str]) -> Option<usize> {
    let is = |kept: &&str| kept.as_bytes().eq_ignore_ascii_case(name);
    wanted.iter().position(is)
}

/// The length that a `Content-Length` says. A list of equal values counts as one of them (RFC 9110
/// section 8.6). `None`: it is no length.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    if let Some(length) = decimal::parse(value) {
        return Some(length);
    }
    let mut members = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
    let first = decimal::parse(members.next()?)?;
    let same = members.all(|member| decimal::parse(member) == Some(first));
    same.then_some(first)
}

/// Whether `value` may be a field's value: visible characters, bytes above 0x7f, spaces and tabs
/// within. The same as `HeaderValue` takes, which is what wanted values become.
pub(crate) fn is_value(value: &[u8]) -> bool {
    let within = |&b: &u8| b >= b' ' && b != 0x7f || b == b'\t';
    value.iter().all(within)
}

/// A value that [`is_value`] has passed, of its own memory.
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
