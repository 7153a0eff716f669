//! The parameters of a batch: the query of `fetchway:batch` and of `POST /v1/batches`.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use fetchway_batch::{MAX_STRICT, RunSettings};
use fetchway_policy::units::{Dur, Pace};
use url::form_urlencoded;

/// The parameters of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) settings: RunSettings,
    /// Set if outcomes come in the order of their items.
    pub(crate) ordered: bool,
    /// Longest time that one try may take.
    pub(crate) timeout: Option<Duration>,
}

impl Params {
    /// Reads a query. A batch may have `most` fetches in flight.
    ///
    /// # Errors
    /// A sentence that says which parameter is wrong, why, and what to do.
    pub(crate) fn read(query: &str, most: usize) -> Result<Self, String> {
        let mut params = Self::default();
        let settings = &mut params.settings;
        let mut seen = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !seen.insert(name.clone()) {
                return Err(format!("{} is given twice: leave one out.", shown(&name)));
            }
            match &*name {
                "rate" => settings.rate = parsed::<Pace>(&name, &value)?.0,
                "strict" => settings.strict = flag(&name, &value)?,
                "concurrency" => settings.concurrency = Some(concurrency(&value, most)?),
                "ordered" => params.ordered = flag(&name, &value)?,
                "retries" => {
                    let expected = format!("expected a number up to {}, 0 for none", u32::MAX);
                    settings.retries = value.parse().map_err(|_| wrong(&name, &value, expected))?;
                }
                "timeout" => {
                    let timeout = parsed::<Dur>(&name, &value)?.0;
                    if timeout.is_zero() {
                        return Err(wrong(&name, &value, "expected more than 0s"));
                    }
                    params.timeout = Some(timeout);
                }
                _ => {
                    return Err(format!(
                        "A batch has no parameter {}. The parameters are rate, strict, concurrency, \
                         ordered, retries and timeout.",
                        shown(&name)
                    ));
                }
            }
        }
        if settings.strict && settings.rate.is_none() {
            return Err("strict needs a rate: add a rate, or leave strict out.".to_owned());
        }
        if settings.strict && settings.rate.is_some_and(|rate| rate.count > MAX_STRICT) {
            return Err(format!(
                "With strict, a window of the rate has at most {MAX_STRICT} requests: ask for fewer, or for \
                 a shorter window."
            ));
        }
        settings.concurrency = Some(settings.concurrency().min(most));
        Ok(params)
    }
}

fn concurrency(value: &str, most: usize) -> Result<usize, String> {
    let asked = value.parse().unwrap_or(0);
    if asked == 0 {
        let expected = format!("expected a number from 1 to {most}");
        return Err(wrong("concurrency", value, expected));
    }
    if asked > most {
        return Err(format!(
            "A batch may have {most} fetches in flight here (the lower of batch.max-concurrency and \
             relay.max-in-flight of the token), not {asked}: ask for fewer."
        ));
    }
    Ok(asked)
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(name, value, "expected true or false")),
    }
}

fn parsed<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|error| wrong(name, value, error))
}

fn wrong(name: &str, value: &str, why: impl Display) -> String {
    format!("{name} = {}: {why}.", shown(value))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use fetchway_policy::Rate;

    use super::*;

    #[test]
    fn what_is_left_out_has_a_default_within_the_bound() {
        let params = Params::read("", 10_000).expect("none is fine");
        let defaults = RunSettings {
            concurrency: Some(RunSettings::default().concurrency()),
            ..RunSettings::default()
        };
        assert_eq!((params.settings, params.ordered), (defaults, false));
        let params = Params::read("rate=5000/s", 100).expect("it is right");
        assert_eq!(params.settings.concurrency, Some(100));
    }

    #[test]
    fn all_can_be_said_coded_or_not() {
        let query = "rate=20%2F250ms&strict=true&concurrency=7&ordered=true&retries=0&timeout=1.5s";
        let expected = Params {
            settings: RunSettings {
                rate: Some(Rate {
                    count: 20,
                    window: Duration::from_millis(250),
                }),
                strict: true,
                adaptive: false,
                concurrency: Some(7),
                retries: 0,
            },
            ordered: true,
            timeout: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(Params::read(query, 7), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_do() {
        for (query, says) in [
            ("rate=5000", "rate = \"5000\": expected a rate"),
            ("rate=0/s", "rate = \"0/s\""),
            (
                "speed=5",
                "no parameter \"speed\". The parameters are rate,",
            ),
            ("rate=1/s&rate=2/s", "\"rate\" is given twice"),
            ("ordered=yes", "expected true or false"),
            ("ordered", "expected true or false"),
            ("strict=true", "strict needs a rate"),
            ("strict=true&rate=1000001/s", "at most 1000000 requests"),
            ("concurrency=0", "from 1 to 100"),
            ("concurrency=99999999999999999999", "from 1 to 100"),
            ("concurrency=101", "may have 100 fetches in flight here"),
            (
                "retries=x",
                "expected a number up to 4294967295, 0 for none",
            ),
            ("timeout=5", "timeout = \"5\": expected a duration"),
            ("timeout=0s", "expected more than 0s"),
        ] {
            let error = Params::read(query, 100).expect_err(query);
            assert!(error.contains(says), "{query}: {error}");
        }
    }
}
