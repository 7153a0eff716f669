//! Properties that hold after every step, and at the end, which every run must reach.

use std::time::Duration;

use fetchway_wire::v1::Session;

use super::world::World;

/// Number of rounds within which everything must end.
const DRAIN: u64 = 20_000;

impl World {
    /// Checks the properties that hold after every step.
    pub(super) fn check(&mut self) {
        let unread: u64 = self.fetches.values().map(|fetch| fetch.down.unread).sum();
        assert_eq!(self.client.unread(), unread, "the client's unread bytes");
        assert!(self.client.unread() <= self.config.session_window.max(64 << 10));
        // A stream may hold unsent: its queue, one more piece, and a block.
        let per_stream = (32 << 10) + 30_000 + (64 << 10);
        let bound = |session: &Session, unacked: u64| {
            assert!(
                session.held() <= unacked + (17 << 10) + session.open_streams() * per_stream,
                "{} bytes are held",
                session.held()
            );
        };
        bound(&self.client, self.config.unacked);
        self.check_told();
        let unread: u64 = self.fetches.values().map(|fetch| fetch.up.unread).sum();
        let config = self.relay.config;
        if let Some(session) = self.relay.session() {
            assert!(session.unread() <= unread, "the relay's unread bytes");
            assert!(session.unread() <= config.session_window.max(64 << 10));
            bound(session, config.unacked);
        }
    }

    /// A stream that a session has dropped has ended for the application too, which was told or did it.
    fn check_told(&mut self) {
        let waiting = self.fetches.values().filter(|fetch| fetch.ended.is_none());
        let (waiting, open) = (waiting.count() as u64, self.client.open_streams());
        assert!(waiting <= open, "{waiting} fetches wait, {open} are open");
        let fetches = self.fetches.values();
        let served = fetches.filter(|fetch| fetch.opened && !fetch.relay_over);
        let served = served.count() as u64;
        if let Some(session) = self.relay.session() {
            let open = session.open_streams();
            assert!(served <= open, "{served} are served, {open} are open");
        }
    }

    /// Stops all faults and runs until everything has ended.
    pub(super) fn drain(&mut self) {
        self.note(format_args!("drain"));
        for _ in 0..DRAIN {
            if self.socket.is_none() {
                self.connect();
            }
            let ids: Vec<u64> = self.fetches.keys().copied().collect();
            for id in ids {
                self.push_on(id);
            }
            self.now += Duration::from_millis(26);
            let mut moved = false;
            for up in [true, false] {
                while self.transmit(up, 32 << 10) {}
                while self.deliver(up) {
                    moved = true;
                }
            }
            self.check();
            if !moved && self.fetches.values().all(|fetch| fetch.ended.is_some()) {
                self.check_end();
                return;
            }
        }
        let stuck: Vec<u64> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.ended.is_none())
            .map(|(id, _)| *id)
            .collect();
        panic!("nothing moves any more; streams {stuck:?} are open");
    }

    /// Both applications continue with a fetch.
    fn push_on(&mut self, id: u64) {
        self.consume(id, true, u64::MAX);
        self.consume(id, false, u64::MAX);
        let fetch = &self.fetches[&id];
        if !fetch.up.closed {
            self.give(id, true, 30_000);
        }
        let fetch = &self.fetches[&id];
        if fetch.opened && !fetch.relay_over && self.relay.session().is_some() {
            self.go_on(id, 30_000);
        }
    }

    /// Checks that nothing is left of a session whose fetches have all ended.
    fn check_end(&mut self) {
        let relay = self.relay.session().expect("it was connected");
        for session in [&self.client, relay] {
            assert_eq!(session.open_streams(), 0, "streams are left");
            assert_eq!(session.unread(), 0, "session credit is lost");
            assert_eq!(session.held(), 0, "bytes are kept that were acknowledged");
            assert!(session.is_flushed());
            assert_eq!(session.deadline(), None);
        }
    }
}
