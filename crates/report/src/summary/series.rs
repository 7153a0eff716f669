//! Counts over time in a bounded number of points: when there are too many, each two become one.

/// Most points. Half as many remain when this number is reached; on a page each is at least two pixels wide.
pub(super) const POINTS: usize = 240;

const SECOND: u64 = 1_000_000;

/// Content of a point.
pub(super) trait Merge: Default {
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self += other;
    }
}

/// Points of equal length, from a start on.
#[derive(Clone, Debug)]
pub(super) struct Series<T> {
    /// Microseconds since the Unix epoch.
    start: u64,
    /// Length of a point in seconds; a power of two.
    length: u64,
    points: Vec<T>,
}

impl<T: Merge> Series<T> {
    pub(super) fn new(start: u64) -> Self {
        Self {
            start,
            length: 1,
            points: Vec::new(),
        }
    }

    /// Returns the point of a moment; of a moment before the start, the first point.
    pub(super) fn at(&mut self, moment: u64) -> &mut T {
        let second = moment.saturating_sub(self.start) / SECOND;
        while second / self.length >= POINTS as u64 {
            self.coarsen();
        }
        let at = (second / self.length) as usize;
        while self.points.len() <= at {
            self.points.push(T::default());
        }
        &mut self.points[at]
    }

    fn coarsen(&mut self) {
        self.length *= 2;
        let halves = std::mem::take(&mut self.points);
        let mut halves = halves.into_iter();
        while let Some(mut point) = halves.next() {
            if let Some(other) = halves.next() {
                point.merge(&other);
            }
            self.points.push(point);
        }
    }

    pub(super) fn points(&self) -> &[T] {
        &self.points
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Makes the points at least `length` seconds long.
    pub(super) fn as_coarse_as(&mut self, length: u64) {
        while self.length < length {
            self.coarsen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_coarser_points_and_loses_nothing() {
        let mut series: Series<u64> = Series::new(5 * SECOND);
        for second in 0..1_000 {
            *series.at((5 + second) * SECOND + 1) += second;
        }
        assert_eq!(series.length(), 8);
        assert_eq!(series.points().len(), 125);
        assert_eq!(series.points()[1], (8..16).sum::<u64>());
        assert_eq!(series.points().iter().sum::<u64>(), (0..1_000).sum::<u64>());
        // However far the clock jumps.
        *series.at(u64::MAX) += 1;
        assert!(series.points().len() <= POINTS);
        *series.at(0) += 1;
        assert_eq!(
            series.points().iter().sum::<u64>(),
            (0..1_000).sum::<u64>() + 2
        );
    }
}
