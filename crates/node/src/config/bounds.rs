//! Bounds of single settings. Each function returns the reason why a value is refused, if it is.

use std::ops::RangeInclusive;
use std::time::Duration;

use fetchway_policy::units::Size;

/// Requires a number of at least 1.
pub(super) fn some(count: &usize) -> Option<String> {
    (*count == 0).then(|| "expected at least 1; with 0 nothing would ever start".to_owned())
}

/// Requires a duration of more than zero.
pub(super) fn some_time(time: &Duration) -> Option<String> {
    let why = "expected more than 0s; for no limit in practice, use a long time such as 24h";
    time.is_zero().then(|| why.to_owned())
}

/// Requires a size of at least `least`.
pub(super) fn at_least(least: u64) -> impl Fn(&Size) -> Option<String> {
    move |size| (size.0 < least).then(|| format!("expected at least {}", Size(least)))
}

/// Requires a size within `range`.
pub(super) fn within(range: RangeInclusive<u64>) -> impl Fn(&Size) -> Option<String> {
    move |size| {
        let (least, most) = (Size(*range.start()), Size(*range.end()));
        (!range.contains(&size.0)).then(|| format!("expected {least} to {most}"))
    }
}
