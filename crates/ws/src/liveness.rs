//! Decides when a silent peer is pinged, and when its connection is given up.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How long a peer has been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The peer was active recently; nothing is to be done.
    Short,
    /// The peer should be pinged.
    Long,
    /// The peer has been silent for the idle timeout.
    TooLong,
}

/// Watches one peer. The check runs twice within the ping time. The first one is at a random moment, so
/// that peers that connected together are not pinged together.
#[derive(Debug)]
pub struct Liveness {
    ticks: Interval,
    last_activity: Instant,
    ping: Duration,
    idle: Duration,
}

impl Liveness {
    /// Creates a watch over a peer that has just been active. A peer that is silent for `ping` is
    /// pinged by then, one that is silent for `idle` is given up.
    #[must_use]
    pub fn new(ping: Duration, idle: Duration) -> Self {
        let (now, every) = (Instant::now(), (ping / 2).max(Duration::from_millis(1)));
        let mut ticks = tokio::time::interval_at(now + every.mul_f64(rand::random()), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            last_activity: now,
            ping,
            idle,
        }
    }

    /// Records activity of the peer. Also called while the peer cannot be read, since its silence then
    /// means nothing.
    pub fn record_activity(&mut self) {
        self.last_activity = Instant::now();
    }

    /// Waits until [`Liveness::silence`] is to be checked. Cancel safe.
    pub async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Returns how long the peer has been silent.
    #[must_use]
    pub fn silence(&self) -> Silence {
        match self.last_activity.elapsed() {
            silent if silent >= self.idle => Silence::TooLong,
            silent if silent >= self.ping / 2 => Silence::Long,
            _ => Silence::Short,
        }
    }
}
