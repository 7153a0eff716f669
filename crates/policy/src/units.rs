//! Text forms of durations, sizes and rates. `FromStr` and `Display` are each other's inverse.
//!
//! A number without a unit is always refused, because a reader could not tell milliseconds from seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::lane::Rate;

/// Longest duration that can be configured. A longer one would mean "never".
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Units of time, the largest first: `Display` takes the first that divides the value.
const TIME_UNITS: &[(&str, u128)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size, the largest first. The decimal ones are read but never written.
const SIZE_UNITS: &[(&str, u128)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
const DECIMAL_SIZE_UNITS: &[(&str, u128)] = &[
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// The expected form of a value whose text could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(&'static str);

/// Returns `number × unit` if the product is a whole number that fits. `None` for a text without number
/// or without a known unit.
fn scaled(text: &str, units: &[&[(&str, u128)]]) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let scale = units
        .iter()
        .copied()
        .flatten()
        .find_map(|(name, scale)| (*name == unit).then_some(*scale))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // u64::MAX has 20 digits; more would only have to be refused further down.
    if whole.is_empty() || fraction.is_empty() || whole.len() > 20 || fraction.len() > 20 {
        return None;
    }
    let tenths = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u128>().ok()?.checked_mul(scale)?;
    if !part.is_multiple_of(tenths) {
        return None;
    }
    whole
        .parse::<u128>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(part / tenths)
}

fn write_scaled(
    f: &mut fmt::Formatter<'_>,
    value: u128,
    units: &[(&str, u128)],
    zero: &str,
) -> fmt::Result {
    if value == 0 {
        return f.write_str(zero);
    }
    match units.iter().find(|(_, scale)| value.is_multiple_of(*scale)) {
        Some((name, scale)) => write!(f, "{}{name}", value / scale),
        None => write!(f, "{value}"),
    }
}

/// A duration such as `250ms`, `5s`, `1.5m`. Units: ns, us, ms, s, m, h, d; 366 days at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dur(pub Duration);

impl FromStr for Dur {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text.trim(), &[TIME_UNITS])
            .and_then(|nanos| {
                let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
                let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
                Some(Duration::new(seconds, rest))
            })
            .filter(|duration| *duration <= MAX_DURATION)
            .map(Self)
            .ok_or(UnitError(
                "expected a duration with a unit (ns, us, ms, s, m, h, d), such as 250ms, 5s or 15m, \
                 of at most 366d",
            ))
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0.as_nanos(), TIME_UNITS, "0s")
    }
}

/// A number of bytes such as `32MiB`, `1.5GiB`, `100kB`, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Returns the size as a length in memory; the greatest length if the machine has 32 bits and the size
    /// does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text.trim(), &[SIZE_UNITS, DECIMAL_SIZE_UNITS])
            .and_then(|bytes| u64::try_from(bytes).ok())
            .map(Self)
            .ok_or(UnitError(
                "expected a size with a unit (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB), such as 512B \
                 or 32MiB",
            ))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, u128::from(self.0), SIZE_UNITS, "0B")
    }
}

/// A rate such as `5000/s`, `100/m`, `20/250ms`, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(pub Option<Rate>);

const UNLIMITED: &str = "unlimited";

/// Windows that are written as a unit alone.
const WINDOWS: &[(&str, Duration)] = &[
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3_600)),
];

impl FromStr for Pace {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        if text == UNLIMITED {
            return Ok(Self(None));
        }
        let rate = text.split_once('/').and_then(|(count, window)| {
            let count = count.trim().parse().ok().filter(|count| *count > 0)?;
            let window = window.trim();
            let named = WINDOWS.iter().find(|(name, _)| *name == window);
            let window = match named {
                Some((_, window)) => *window,
                None => window.parse::<Dur>().ok()?.0,
            };
            (!window.is_zero()).then_some(Rate { count, window })
        });
        rate.map(|rate| Self(Some(rate))).ok_or(UnitError(
            "expected a rate of at least one per window, such as 5000/s, 100/m or 20/250ms, or \
             unlimited",
        ))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rate) = self.0 else {
            return f.write_str(UNLIMITED);
        };
        match WINDOWS.iter().find(|(_, window)| *window == rate.window) {
            Some((name, _)) => write!(f, "{}/{name}", rate.count),
            None => write!(f, "{}/{}", rate.count, Dur(rate.window)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn durations_survive_a_round_trip(seconds in 0..366u64 * 86_400, nanos in 0..1_000_000_000u32) {
            let value = Dur(Duration::new(seconds, nanos));
            prop_assert_eq!(value.to_string().parse::<Dur>(), Ok(value));
        }

        #[test]
        fn sizes_survive_a_round_trip(bytes: u64, shift in 0..64u32) {
            let value = Size(bytes >> shift);
            prop_assert_eq!(value.to_string().parse::<Size>(), Ok(value));
        }

        #[test]
        fn rates_survive_a_round_trip(count in 1..u32::MAX, millis in 1..10_000_000u64) {
            let value = Pace(Some(Rate { count, window: Duration::from_millis(millis) }));
            prop_assert_eq!(value.to_string().parse::<Pace>(), Ok(value));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (text.parse::<Dur>(), text.parse::<Size>(), text.parse::<Pace>());
        }
    }

    #[test]
    fn values_are_written_in_the_largest_unit_that_divides_them() {
        for (text, written) in [
            ("90s", "90s"),
            ("60s", "1m"),
            ("1.5s", "1500ms"),
            ("0ms", "0s"),
            ("15 m", "15m"),
            ("0.5d", "12h"),
        ] {
            let value: Dur = text.parse().expect(text);
            assert_eq!(value.to_string(), written);
        }
        for (text, written) in [
            ("1024KiB", "1MiB"),
            ("1.5KiB", "1536B"),
            ("2MB", "2000000B"),
        ] {
            let value: Size = text.parse().expect(text);
            assert_eq!(value.to_string(), written);
        }
        for (text, written) in [
            ("5000/s", "5000/s"),
            ("5/1000ms", "5/s"),
            ("20/250ms", "20/250ms"),
            ("7 / h", "7/h"),
            ("unlimited", "unlimited"),
        ] {
            let value: Pace = text.parse().expect(text);
            assert_eq!(value.to_string(), written);
        }
    }

    #[test]
    fn what_has_no_unit_or_no_exact_value_is_refused() {
        for text in [
            "", "5", "s", "-1s", "5 sec", "1e3s", "0.1ns", "367d", "1.s", ".5s", "5S",
        ] {
            assert!(text.parse::<Dur>().is_err(), "{text}");
        }
        for text in ["", "32", "MiB", "0.3B", "99999999TiB", "32mib", "-1B"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in [
            "",
            "5000",
            "0/s",
            "5/0s",
            "5/",
            "/s",
            "5/fortnight",
            "1.5/s",
        ] {
            assert!(text.parse::<Pace>().is_err(), "{text}");
        }
    }
}
