//! The id of a fetch: any JSON value that the client chose, repeated in the answer exactly as it was
//! received.

use serde_json::Value;
use serde_json::value::RawValue;

/// An id in two forms: as received (to be repeated) and in canonical form (to be compared).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    raw: Box<str>,
    /// Canonical form, if it differs from the raw text.
    canonical: Option<Box<str>>,
}

impl Id {
    /// Returns the id of an answer to a message without a readable id.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            raw: "\"unknown\"".into(),
            canonical: None,
        }
    }

    /// Returns the id `null`, which a batch item without an id has.
    #[must_use]
    pub fn null() -> Self {
        Self {
            raw: "null".into(),
            canonical: None,
        }
    }

    pub(super) fn new(raw: &RawValue) -> Self {
        let raw = raw.get();
        Self {
            raw: raw.into(),
            canonical: canonical(raw),
        }
    }

    /// Returns the JSON text to repeat in the answer.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.raw
    }

    /// Returns a text that is the same for every spelling of one value: `1.0` and `1`, `"\u0061"` and
    /// `"a"`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.canonical.as_deref().unwrap_or(&self.raw)
    }
}

fn canonical(raw: &str) -> Option<Box<str>> {
    let plain = match raw.as_bytes() {
        [b'"', inner @ ..] => !inner.contains(&b'\\'),
        [b'0'..=b'9', rest @ ..] | [b'-', rest @ ..] if raw != "-0" => {
            rest.iter().all(u8::is_ascii_digit)
        }
        [b't' | b'f' | b'n', ..] => true,
        _ => false,
    };
    if plain {
        return None;
    }
    let value: Value = serde_json::from_str(raw).ok()?;
    // JSON has one kind of number: 1.0 and 1e0 are 1, and -0 is 0.
    if let Some(float) = value
        .as_f64()
        .filter(|f| f.fract() == 0.0 && f.abs() < 9e15)
    {
        return Some(format!("{}", float as i64).into());
    }
    Some(value.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(serde_json::from_str::<&RawValue>(text).unwrap())
    }

    #[test]
    fn spellings_of_one_value_compare_equal_and_echo_as_they_came() {
        for (a, b) in [
            ("1.0", "1"),
            ("1e2", "100"),
            ("-0", "0"),
            (r#""\u0061""#, r#""a""#),
            ("{ \"a\":1,\"b\":[ 2 ]}", "{\"b\":[2],\"a\":1}"),
        ] {
            assert_eq!(id(a).key(), id(b).key(), "{a} {b}");
            assert_eq!(id(a).as_json(), a);
        }
        assert_ne!(id("1").key(), id("\"1\"").key());
        assert_eq!(id("9007199254740993").key(), "9007199254740993");
    }
}
