//! `[relay]` and `[[tokens]]`.

use std::collections::BTreeSet;

use super::super::leaf::KeyPath;
use super::super::{Config, Dur, RelaySection, Size, TokenSection};
use super::Checker;

/// A few frames of the binary encoding, so that a window is no standstill.
const LEAST_SESSION_WINDOW: Size = Size(64 << 10);
/// One frame of the binary encoding.
const LEAST_STREAM_WINDOW: Size = Size(16 << 10);
/// Smallest number of bytes that a client may receive before it acknowledges.
const LEAST_UNACKED: Size = Size(64 << 10);

impl Checker<'_> {
    pub(super) fn sessions(&mut self, config: &Config) {
        let relay = KeyPath::of(["relay"]);
        for problem in limits(&config.relay) {
            problem.tell(self, &relay);
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
            let at = at.key("limits");
            let sum = config.relay.overridden(&token.limits);
            for problem in limits(&sum) {
                // What is left out there comes from [relay], and is told of there.
                let is_own = |key: &&str| self.is_given(&at.key(key));
                let inherited = |key: &&&str| !is_own(key);
                if problem.keys.iter().any(is_own)
                    && (problem.keys.iter().filter(inherited))
                        .all(|key| self.is_sound(&relay.key(key)))
                {
                    problem.tell(self, &at);
                }
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

/// A problem with the first of `keys` that depends on all of them.
struct Problem {
    keys: Vec<&'static str>,
    why: String,
}

impl Problem {
    fn tell(&self, checker: &mut Checker<'_>, at: &KeyPath) {
        if self.keys.iter().all(|key| checker.is_sound(&at.key(key))) {
            checker.refuse(&at.key(self.keys[0]), &self.why);
        }
    }
}

/// Returns the problems of the limits of sessions.
fn limits(limits: &RelaySection) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse_if = |wrong: bool, keys: &[&'static str], why: String| {
        let keys = keys.to_vec();
        problems.extend(wrong.then_some(Problem { keys, why }));
    };
    for (key, count) in [
        ("max-sessions", limits.max_sessions),
        ("max-in-flight", limits.max_in_flight),
        ("max-queued", limits.max_queued),
    ] {
        let why = "expected at least 1; with 0 nothing would ever be let through";
        refuse_if(count == 0, &[key], why.to_owned());
    }
    let why =
        "expected at least 1; to keep no session without a connection, set resume-within to 0s";
    refuse_if(limits.max_parked == 0, &["max-parked"], why.to_owned());
    for (key, size, least) in [
        ("max-queued-bytes", limits.max_queued_bytes, Size(1 << 10)),
        ("max-message", limits.max_message, Size(1 << 10)),
        ("max-answers", limits.max_answers, Size(1 << 10)),
        (
            "session-window",
            limits.session_window,
            LEAST_SESSION_WINDOW,
        ),
        ("stream-window", limits.stream_window, LEAST_STREAM_WINDOW),
        ("max-unacked", limits.max_unacked, LEAST_UNACKED),
        ("max-parked-bytes", limits.max_parked_bytes, Size(1 << 10)),
    ] {
        let why = format!("expected at least {least}");
        refuse_if(*size < least, &[key], why);
    }
    for (key, time) in [
        ("ping-interval", limits.ping_interval),
        ("write-stall", limits.write_stall),
    ] {
        let why = "expected more than 0s; for a long time write one, such as 24h";
        refuse_if(
            *time == Dur(std::time::Duration::ZERO),
            &[key],
            why.to_owned(),
        );
    }
    refuse_if(
        *limits.idle_timeout <= *limits.ping_interval,
        &["idle-timeout", "ping-interval"],
        format!(
            "expected more than ping-interval, which is {}: a quiet connection shows life only by \
             answering pings",
            *limits.ping_interval
        ),
    );
    refuse_if(
        *limits.stream_window > *limits.session_window,
        &["stream-window", "session-window"],
        format!(
            "expected at most session-window, which is {}: all streams share that",
            *limits.session_window
        ),
    );
    problems
}
