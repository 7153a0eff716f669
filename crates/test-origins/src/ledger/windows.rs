//! How many events sliding windows hold.

/// The extremes over all windows of one length, wherever they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The most events that one window holds.
    pub fullest: usize,
    /// The least that one window holds which begins after the first event and is over with the last.
    /// None if there is no such window.
    pub emptiest: Option<usize>,
}

impl Windows {
    /// Of the events at `times`, in order, in windows of `length`, both in one unit. A window has its
    /// beginning and not its end, so events exactly `length` apart are never in one.
    ///
    /// # Panics
    /// When `times` are not in order.
    #[must_use]
    pub fn of(times: &[u64], length: u64) -> Self {
        assert!(times.is_sorted(), "the times are not in order");
        let before = |time: u64| times.partition_point(|at| *at < time);
        let until = |time: u64| times.partition_point(|at| *at <= time);
        let last = times.last().copied().unwrap_or_default();
        let (mut fullest, mut emptiest) = (0, None::<usize>);
        for (begin, first) in times.iter().enumerate() {
            let end = first + length;
            fullest = fullest.max(before(end) - begin);
            // The emptiest begins right after an event, and so is over right after `end`.
            if end <= last {
                let held = until(end) - until(*first);
                emptiest = Some(emptiest.map_or(held, |least| least.min(held)));
            }
        }
        Self { fullest, emptiest }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn an_even_schedule_fills_each_window_alike() {
        let times: Vec<u64> = (0..50).map(|k| k * 10).collect();
        let windows = Windows::of(&times, 100);
        assert_eq!((windows.fullest, windows.emptiest), (10, Some(10)));
        // One that is late leaves a gap, and comes nearer to those after it.
        let mut late = times;
        late[20] += 7;
        let windows = Windows::of(&late, 103);
        assert_eq!((windows.fullest, windows.emptiest), (11, Some(9)));
    }

    #[test]
    fn short_runs_have_no_window_to_be_empty() {
        assert_eq!(Windows::of(&[], 5), none(0));
        assert_eq!(Windows::of(&[7], 5), none(1));
        assert_eq!(Windows::of(&[7, 7, 9], 5), none(3));
        assert_eq!(Windows::of(&[0, 5], 5).fullest, 1);
    }

    fn none(fullest: usize) -> Windows {
        Windows {
            fullest,
            emptiest: None,
        }
    }

    /// Every window that could matter, counted one by one, at a resolution twice as fine.
    #[test]
    #[expect(clippy::print_stdout, reason = "the runner shows it if the test fails")]
    fn no_window_is_missed() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..200 {
            let mut times: Vec<u64> = (0..30).map(|_| random.random_range(0..60)).collect();
            times.sort_unstable();
            let length = random.random_range(1..20);
            let held = |begin: u64| {
                let inside = |time: &&u64| (begin..begin + 2 * length).contains(&(2 * **time));
                times.iter().filter(inside).count()
            };
            let (first, last) = (2 * times[0], 2 * times[29]);
            let fullest = (first..=last).map(held).max();
            let inside = (first + 1..=last + 1).filter(|begin| begin + 2 * length <= last + 1);
            let emptiest = inside.map(held).min();
            let windows = Windows::of(&times, length);
            assert_eq!(Some(windows.fullest), fullest, "{times:?} {length}");
            assert_eq!(windows.emptiest, emptiest, "{times:?} {length}");
        }
    }
}
