//! A value in a JSON text by its pointer, RFC 6901, without the rest of the text in memory: as values
//! it may take thirty times its length, and whoever answers says how long it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A pointer in its parts.
#[derive(Debug)]
pub(super) struct Pointer<'a>(Vec<Cow<'a, str>>);

impl<'a> Pointer<'a> {
    /// Whether the text is a pointer to a part of a text, not to the whole of it.
    pub(super) fn is_one(text: &str) -> bool {
        let mut tildes = text.split('~').skip(1);
        text.starts_with('/') && tildes.all(|after| after.starts_with(['0', '1']))
    }

    /// Of a text that is one.
    pub(super) fn new(text: &'a str) -> Self {
        let part = |part: &'a str| match part.contains('~') {
            true => Cow::Owned(part.replace("~1", "/").replace("~0", "~")),
            false => Cow::Borrowed(part),
        };
        Self(text.split('/').skip(1).map(part).collect())
    }

    /// The string that it points to; none if there is something else, nothing, or no JSON. Of members
    /// with one name the last counts.
    pub(super) fn string_in(&self, json: &[u8]) -> Option<String> {
        // RFC 8259 §8.1 lets a reader ignore it.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let mut from = serde_json::Deserializer::from_slice(json);
        let found = Seek(&self.0).deserialize(&mut from).ok()?;
        from.end().ok()?;
        found
    }
}

/// The rest of a pointer, applied to a value.
struct Seek<'a>(&'a [Cow<'a, str>]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (part, rest) = match self.0.split_first() {
            Some((part, rest)) => (Some(&**part), rest),
            None => (None, self.0),
        };
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(part))? {
            if is_it {
                found = map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let at = self.0.first().and_then(|part| index(part));
        let rest = self.0.get(1..).unwrap_or_default();
        let mut here = 0;
        while at.is_some_and(|at| here < at) {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
            here += 1;
        }
        let found = match at {
            Some(_) => seq.next_element_seed(Seek(rest))?.flatten(),
            None => None,
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// An element's number: digits, without zeros before them.
fn index(part: &str) -> Option<u64> {
    let plain = part == "0" || !part.starts_with(['0', '+']);
    plain.then(|| part.parse().ok())?
}

/// Whether a member's name is this one.
struct Is<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}
