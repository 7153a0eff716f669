//! Maps numbers to positions on an axis, and places its ticks.

/// Scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From 0 to this number.
    Linear(f64),
    /// Logarithmic, between two positive numbers.
    Log(f64, f64),
}

/// Steps between ticks, times a power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

impl Scale {
    /// A linear axis that ends with a tick at or above `max`.
    #[must_use]
    pub fn linear(max: f64) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = step(max);
        Self::Linear((max / step - 1e-9).ceil() * step)
    }

    /// A logarithmic axis that begins and ends with 1, 2 or 5 times a power of ten, and has at least
    /// a factor of ten between them.
    #[must_use]
    pub fn log(low: f64, high: f64) -> Self {
        let low = low.max(1e-6);
        let high = high.max(low);
        let below = (0..)
            .map(|at| nice(low, 2 - at))
            .find(|it| *it <= low * 1.000_001);
        let low = below.unwrap_or(low);
        let above = (0..)
            .map(|at| nice(high, at))
            .find(|it| *it >= high * 0.999_999);
        let high = above.unwrap_or(high).max(low * 10.0);
        Self::Log(low, high)
    }

    /// Returns the position of a number, from 0 to 1; numbers beyond the axis are at its end.
    #[must_use]
    pub fn at(self, n: f64) -> f64 {
        let share = match self {
            Self::Linear(max) => n / max,
            Self::Log(low, high) => (n / low).ln() / (high / low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Returns the numbers to write at the axis, at most about six.
    #[must_use]
    pub fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(max) => {
                let step = step(max);
                let count = (max / step + 1e-9).floor() as u32;
                (0..=count).map(|at| f64::from(at) * step).collect()
            }
            Self::Log(low, high) => {
                let all: Vec<f64> = (0..)
                    .map(|at| nice(low, at))
                    .skip_while(|it| *it < low * 0.999_999)
                    .take_while(|it| *it <= high * 1.000_001)
                    .collect();
                if all.len() <= 6 {
                    return all;
                }
                let is_power = |n: &f64| (n.log10() - n.log10().round()).abs() < 1e-6;
                let powers: Vec<f64> = all.into_iter().filter(is_power).collect();
                let every = powers.len().div_ceil(6).max(1);
                powers.into_iter().step_by(every).collect()
            }
        }
    }
}

/// Returns the step that gives at most six ticks up to `max`.
fn step(max: f64) -> f64 {
    let rough = max / 5.5;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = STEPS.iter().map(|it| it * power);
    steps
        .chain([10.0 * power])
        .find(|it| *it >= rough * 0.999_999)
        .unwrap_or(rough)
}

/// Returns the `at`th of 1, 2, 5, 10, 20, … from the power of ten at or below `n`.
fn nice(n: f64, at: i32) -> f64 {
    let power = n.log10().floor() as i32 + at.div_euclid(3);
    let of_ten = 10_f64.powi(power);
    STEPS[at.rem_euclid(3) as usize] * of_ten
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{found:?}");
        }
    }

    #[test]
    fn linear_axes_end_at_a_tick() {
        for (max, ticks) in [
            (5_003.0, &[0.0, 2_000.0, 4_000.0, 6_000.0][..]),
            (5_000.0, &[0.0, 1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0]),
            (1.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (0.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ] {
            let scale = Scale::linear(max);
            close(&scale.ticks(), ticks);
            assert!((scale.at(*ticks.last().unwrap()) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn logarithmic_axes_have_few_ticks_within_them() {
        close(&Scale::log(1.3, 14.0).ticks(), &[1.0, 2.0, 5.0, 10.0, 20.0]);
        close(&Scale::log(3.0, 3.0).ticks(), &[2.0, 5.0, 10.0, 20.0]);
        close(
            &Scale::log(0.2, 30_000.0).ticks(),
            &[1.0, 10.0, 100.0, 1e3, 1e4],
        );
        assert_eq!(Scale::log(1.0, 100.0).at(10.0), 0.5);
        assert_eq!(Scale::log(1.0, 100.0).at(0.0), 0.0);
        let wide = Scale::log(1e-3, 1e8).ticks();
        assert!((3..=6).contains(&wide.len()), "{wide:?}");
    }
}
