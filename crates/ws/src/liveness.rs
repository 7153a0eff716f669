//! When a silent peer is asked for a sign of life, and when it is given up.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// What a peer's silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing: it was heard lately.
    Short,
    /// A ping.
    Long,
    /// It has been silent for the idle timeout.
    TooLong,
}

/// Keeps watch over one peer: it looks every half of the time after which a peer is pinged, the first
/// time at a random moment, so that many peers that came at once are not pinged at once.
#[derive(Debug)]
pub struct Liveness {
    ticks: Interval,
    heard: Instant,
    ping: Duration,
    idle: Duration,
}

impl Liveness {
    /// A peer silent for `ping` is to be pinged by then, one silent for `idle` given up.
    #[must_use]
    pub fn new(ping: Duration, idle: Duration) -> Self {
        let (now, every) = (Instant::now(), (ping / 2).max(Duration::from_millis(1)));
        let mut ticks = tokio::time::interval_at(now + every.mul_f64(rand::random()), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            heard: now,
            ping,
            idle,
        }
    }

    /// The peer has given a sign of life, or cannot be heard: its silence means nothing.
    pub fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits until it is time to look at [`Liveness::silence`]. Safe to drop and call again.
    pub async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// How long the silence is.
    #[must_use]
    pub fn silence(&self) -> Silence {
        match self.heard.elapsed() {
            silent if silent >= self.idle => Silence::TooLong,
            silent if silent >= self.ping / 2 => Silence::Long,
            _ => Silence::Short,
        }
    }
}
