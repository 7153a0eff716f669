//! `[relay]` and `[[tokens]]`.

use std::collections::BTreeSet;

use super::super::leaf::KeyPath;
use super::super::setting::Setting;
use super::super::{Config, Dur, RelaySection, TokenSection};
use super::Checker;

impl Checker<'_> {
    pub(super) fn sessions(&mut self, config: &Config) {
        let relay = KeyPath::of(["relay"]);
        for (keys, why) in conflicts(&config.relay) {
            self.refuse_beside(&relay.key(keys[0]), &relay.key(keys[1]), why);
        }
        let tokens = KeyPath::of(["tokens"]);
        let mut names = BTreeSet::new();
        for (index, token) in config.tokens.iter().enumerate() {
            let at = tokens.index(index);
            self.token(&at, config, token);
            if !token.name.is_empty() && !names.insert(token.name.as_str()) {
                self.refuse(
                    &at.key("name"),
                    "another token has this name; names tell them apart",
                );
            }
            let mut before = config.tokens.iter().take(index);
            let same = before.position(|other| other.token.expose() == token.token.expose());
            if let Some(same) = same.filter(|_| !token.token.is_empty()) {
                let why = format!(
                    "this is also {}; give each holder a token of its own",
                    tokens.index(same).key("token")
                );
                self.refuse(&at.key("token"), why);
            }
            self.limits(&at.key("limits"), config, token);
        }
    }

    /// Checks the limits of a token. Those that it does not set come from `[relay]`, and are reported there.
    fn limits(&mut self, at: &KeyPath, config: &Config, token: &TokenSection) {
        let limits = config.relay.overridden(&token.limits);
        limits.check(at, &mut |at, why| {
            if self.is_given(at) {
                self.refuse(at, why);
            }
        });
        let relay = KeyPath::of(["relay"]);
        for (keys, why) in conflicts(&limits) {
            let [(own, ours), (other, others)] = keys.map(|key| {
                let at = at.key(key);
                (
                    self.is_given(&at),
                    if self.is_given(&at) {
                        at
                    } else {
                        relay.key(key)
                    },
                )
            });
            if (own || other) && self.is_sound(&ours) {
                self.refuse_beside(&at.key(keys[0]), &others, why);
            }
        }
    }

    fn token(&mut self, at: &KeyPath, config: &Config, token: &TokenSection) {
        if token.name.is_empty() && self.is_sound(&at.key("name")) {
            self.refuse(at, "name is missing; it stands for the token in logs");
        }
        match (
            token.token.is_empty(),
            token.token_file.as_os_str().is_empty(),
        ) {
            (true, true) => {
                if self.is_sound(&at.key("token")) && self.is_sound(&at.key("token-file")) {
                    self.refuse(at, "set token or token-file");
                }
            }
            (false, false) => self.refuse(at, "both token and token-file are set; leave one out"),
            (false, true) => self.credential(&at.key("token"), token.token.expose()),
            (true, false) => {}
        }
        for lane in token.lanes.iter().flatten() {
            let named = KeyPath::of(["lanes", lane.as_str()]);
            let broken = self.broken.iter().any(|broken| broken.starts_with(&named));
            if !config.lanes.contains_key(lane) && !broken {
                let why =
                    format!("there is no lane {lane}; add [lanes.{lane}] or correct the name");
                self.refuse(&at.key("lanes"), why);
            }
        }
    }
}

/// Returns the conflicts between two limits: their keys, and the problem with the first.
fn conflicts(limits: &RelaySection) -> Vec<([&'static str; 2], String)> {
    let mut conflicts = Vec::new();
    if limits.idle_timeout <= limits.ping_interval {
        let why = format!(
            "expected more than ping-interval, which is {}: a quiet connection shows life only by \
             answering pings",
            Dur(limits.ping_interval)
        );
        conflicts.push((["idle-timeout", "ping-interval"], why));
    }
    if limits.stream_window > limits.session_window {
        let why = format!(
            "expected at most session-window, which is {}: all streams share that",
            limits.session_window
        );
        conflicts.push((["stream-window", "session-window"], why));
    }
    conflicts
}
