//! Options of a batch.

use std::time::Duration;

/// Options of a batch. The relay's defaults apply to options that are not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchOptions {
    rate: Option<(u32, Duration)>,
    strict: bool,
    concurrency: Option<usize>,
    ordered: bool,
    retries: Option<u32>,
    timeout: Option<Duration>,
}

impl BatchOptions {
    /// Sets the number of requests per window of time, evenly spaced. By default a batch runs as fast
    /// as its lane allows.
    #[must_use]
    pub fn rate(mut self, count: u32, window: Duration) -> Self {
        self.rate = Some((count, window));
        self
    }

    /// Makes the rate strict: no window of time, wherever it begins, contains more requests than
    /// [`rate`](Self::rate) allows. The actual rate is then slightly lower. Requires a rate.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Sets the maximum number of fetches in flight. The relay rejects more than it allows.
    #[must_use]
    pub fn concurrency(mut self, fetches: usize) -> Self {
        self.concurrency = Some(fetches);
        self
    }

    /// Returns outcomes in the order of their items, instead of as they arrive.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Sets the number of further attempts after a fetch failed, if its method may be repeated.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets the maximum time of one attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Returns the URL that asks a relay for a batch with these options.
    pub(crate) fn url(&self) -> String {
        let time = |time: Duration| format!("{}ns", time.as_nanos());
        let rate = self
            .rate
            .map(|(count, window)| format!("{count}/{}", time(window)));
        let query = [
            ("rate", rate),
            ("strict", self.strict.then(|| "true".to_owned())),
            ("concurrency", self.concurrency.map(|it| it.to_string())),
            ("ordered", self.ordered.then(|| "true".to_owned())),
            ("retries", self.retries.map(|it| it.to_string())),
            ("timeout", self.timeout.map(time)),
        ];
        let mut url = "fetchway:batch".to_owned();
        let mut between = '?';
        for (name, value) in query {
            if let Some(value) = value {
                url.push(between);
                url.push_str(&format!("{name}={value}"));
                between = '&';
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_query() {
        assert_eq!(BatchOptions::default().url(), "fetchway:batch");
        let options = BatchOptions::default()
            .rate(5_000, Duration::from_secs(1))
            .strict()
            .concurrency(7)
            .ordered()
            .retries(0)
            .timeout(Duration::from_millis(1_500));
        assert_eq!(
            options.url(),
            "fetchway:batch?rate=5000/1000000000ns&strict=true&concurrency=7&ordered=true&retries=0\
             &timeout=1500000000ns"
        );
    }
}
