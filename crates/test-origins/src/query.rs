//! The parameters of a request: every route is driven by its query string.

use std::str::FromStr;

use url::form_urlencoded;

/// A parameter that makes no sense; answered 400 with this sentence.
#[derive(Debug)]
pub(crate) struct BadQuery(pub(crate) String);

/// A parsed query string.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        Self(
            form_urlencoded::parse(raw.unwrap_or("").as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The first value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of that name, in order.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A number, if it is there.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, BadQuery> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(BadQuery(format!(
                "{name}={value} is not a number in range; give a decimal number"
            ))),
        }
    }

    /// A number, or what it is by default.
    pub(crate) fn number_or<T: FromStr>(&self, name: &str, default: T) -> Result<T, BadQuery> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    /// A switch: on for any value but `0` and the empty one.
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| !matches!(value, "" | "0"))
    }

    /// A value that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, BadQuery> {
        self.get(name)
            .ok_or_else(|| BadQuery(format!("the parameter {name} is missing; add {name}=…")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_numbers_checked() {
        let query = Query::parse(Some(
            "to=http%3A%2F%2Fa%2F%3Fx%3D1&h=a:1&h=b:2&n=12&off=0&on=1&bad=x",
        ));
        assert_eq!(query.get("to"), Some("http://a/?x=1"));
        assert_eq!(query.all("h").collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!(query.number_or::<u64>("n", 5).expect("a number"), 12);
        assert_eq!(query.number_or::<u64>("none", 5).expect("the default"), 5);
        assert!(query.number::<u64>("bad").is_err());
        assert!(query.number::<u8>("n").is_ok() && query.required("none").is_err());
        assert!(query.switch("on") && !query.switch("off") && !query.switch("none"));
    }
}
