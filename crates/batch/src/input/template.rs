//! URLs made of a template and a range of numbers.

use std::str::FromStr;

use fetchway_policy::redirect::parse_url;

use crate::error::BatchError;

/// The placeholder for the number in a template.
const PLACE: &str = "{}";

/// A URL with `{}` in it, at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl FromStr for Template {
    type Err = BatchError;

    fn from_str(text: &str) -> Result<Self, BatchError> {
        if !text.contains(PLACE) {
            return Err(BatchError::new(format!(
                "the URL template {text:?} has no {{}}: put it where the numbers of the range go"
            )));
        }
        let template = Self(text.to_owned());
        match parse_url(&template.at(0)) {
            Ok(_) => Ok(template),
            Err(error) => Err(BatchError::new(format!(
                "the URL template {text:?} does not make a URL: {}",
                error.detail
            ))),
        }
    }
}

impl Template {
    /// The URL of `number`.
    pub(crate) fn at(&self, number: u64) -> String {
        self.0.replace(PLACE, &number.to_string())
    }
}

/// Numbers from the first to the last, both included; written `1..1000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last; not below the first.
    pub last: u64,
}

impl FromStr for Range {
    type Err = BatchError;

    fn from_str(text: &str) -> Result<Self, BatchError> {
        let number = |text: &str| text.parse().ok();
        let range = text.split_once("..").and_then(|(first, last)| {
            let (first, last) = (number(first)?, number(last)?);
            // The count must be a number too.
            (first <= last && last - first < u64::MAX).then_some(Self { first, last })
        });
        range.ok_or_else(|| {
            BatchError::new(format!(
                "{text:?} is not a range of numbers: write one as 1..1000000, the last number included"
            ))
        })
    }
}

impl Range {
    /// How many numbers there are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.last - self.first + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_includes_its_last_number() {
        let range: Range = "1..1000000".parse().unwrap();
        assert_eq!((range.first, range.count()), (1, 1_000_000));
        for wrong in [
            "",
            "1",
            "1..",
            "..2",
            "2..1",
            "1...3",
            "-1..2",
            "0..18446744073709551615",
        ] {
            let error = wrong.parse::<Range>().unwrap_err().to_string();
            assert!(error.contains("1..1000000"), "{error}");
        }
    }

    #[test]
    fn every_place_gets_the_number() {
        let template: Template = "https://h.example/{}/a?i={}".parse().unwrap();
        assert_eq!(template.at(7), "https://h.example/7/a?i=7");
        for (wrong, says) in [
            ("https://h.example/", "has no {}"),
            ("h.example/{}", "scheme"),
        ] {
            let error = wrong.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
