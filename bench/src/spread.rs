//! Summary of a few figures: median, minimum and maximum.

use std::fmt;

/// Median, minimum and maximum of a few figures.
pub(crate) struct Spread {
    median: f64,
    least: f64,
    most: f64,
    digits: usize,
}

impl Spread {
    pub(crate) fn of(figures: &[f64], digits: usize) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(sorted.len() / 2));
        Self {
            median,
            least: at(0),
            most: at(last),
            digits,
        }
    }

    pub(crate) fn median(&self) -> f64 {
        self.median
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
            digits,
        } = self;
        write!(f, "{median:.digits$} ({least:.digits$}..{most:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(
            Spread::of(&[3.0, 1.0, 2.0], 1).to_string(),
            "2.0 (1.0..3.0)"
        );
        assert_eq!(
            Spread::of(&[4.0, 1.0, 2.0, 3.0], 1).to_string(),
            "2.5 (1.0..4.0)"
        );
        assert_eq!(Spread::of(&[7.0], 0).to_string(), "7 (7..7)");
    }
}
