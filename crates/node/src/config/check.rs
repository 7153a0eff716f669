//! What a configuration must satisfy beyond the form of each value.

use std::collections::BTreeSet;
use std::path::Path;

use fetchway_policy::guard::HostPattern;

use super::leaf::KeyPath;
use super::{Config, DEFAULT, Dur, HIDDEN, LaneSection, Loaded, RelaySection, Size, TokenSection};

/// Lanes are labels of metrics, and each costs memory: they are few.
const MAX_LANES: usize = 64;
const MAX_LANE_NAME: usize = 64;
/// One frame of the default size at least; at most what RFC 9113 section 6.9.1 allows.
const H2_WINDOW: std::ops::RangeInclusive<u64> = (16 << 10)..=((1 << 31) - 1);

/// Every problem, each with its source and key.
pub(super) fn problems(loaded: &Loaded) -> Vec<String> {
    let mut checker = Checker {
        loaded,
        problems: Vec::new(),
    };
    let config = &loaded.config;
    checker.listeners(config);
    checker.sessions(config);
    checker.lanes(config);
    checker.origins(config);
    checker.engine(config);
    checker.problems
}

struct Checker<'a> {
    loaded: &'a Loaded,
    problems: Vec<String>,
}

impl Checker<'_> {
    fn refuse(&mut self, at: &KeyPath, why: impl std::fmt::Display) {
        let source = self.loaded.source(at);
        self.problems.push(format!("{source}: {at}: {why}"));
    }

    fn count(&mut self, at: &KeyPath, count: usize) {
        if count == 0 {
            self.refuse(
                at,
                "expected at least 1; with 0 nothing would ever be let through",
            );
        }
    }

    fn duration(&mut self, at: &KeyPath, duration: Dur) {
        if duration.0.is_zero() {
            self.refuse(
                at,
                "expected more than 0s; for a long time write one, such as 24h",
            );
        }
    }

    fn size(&mut self, at: &KeyPath, size: Size, least: u64) {
        if size.0 < least {
            self.refuse(at, format_args!("expected at least {}", Size(least)));
        }
    }

    fn tls(&mut self, at: &KeyPath, cert: &Path, key: &Path) {
        let (cert, key) = (cert.as_os_str().is_empty(), key.as_os_str().is_empty());
        if cert != key {
            let (given, missing) = if key {
                ("cert", "key")
            } else {
                ("key", "cert")
            };
            let why = format!("{given} alone gives no TLS; set {missing} too, or neither");
            self.refuse(&at.key(given), why);
        }
    }

    fn listeners(&mut self, config: &Config) {
        let root = KeyPath::default();
        self.tls(&root.key("tls"), &config.tls.cert, &config.tls.key);
        let admin = root.key("admin");
        let tls = &config.admin.tls;
        self.tls(&admin.key("tls"), &tls.cert, &tls.key);
        let token_file = &config.admin.token_file;
        if !config.admin.token.is_empty() {
            if !token_file.as_os_str().is_empty() {
                self.refuse(
                    &admin.key("token-file"),
                    "token is set too; leave one of them out",
                );
            }
            self.credential(&admin.key("token"), config.admin.token.expose());
        }
        let http = root.key("http");
        self.count(&http.key("max-connections"), config.http.max_connections);
        self.duration(&http.key("header-timeout"), config.http.header_timeout.0);
        self.duration(
            &http.key("handshake-timeout"),
            config.http.handshake_timeout.0,
        );
    }

    fn credential(&mut self, at: &KeyPath, token: &str) {
        if token == HIDDEN {
            self.refuse(
                at,
                "this is what --print-config shows in place of a token; put the token",
            );
        } else if let Err(why) = crate::auth::check_token(token) {
            self.refuse(at, why);
        }
    }

    fn sessions(&mut self, config: &Config) {
        let relay = KeyPath::of(["relay"]);
        let before = self.problems.len();
        self.limits(&relay, &config.relay);
        let relay_is_sound = self.problems.len() == before;
        let mut names = BTreeSet::new();
        for (index, token) in config.tokens.iter().enumerate() {
            let at = KeyPath::of(["tokens"]).index(index);
            self.token(&at, config, token);
            if !names.insert(token.name.as_str()) {
                self.refuse(
                    &at.key("name"),
                    "another token has this name; names tell them apart",
                );
            }
            // What is left out there comes from [relay], and has been told of already.
            if relay_is_sound {
                let limits = config.relay.overridden(&token.limits);
                self.limits(&at.key("limits"), &limits);
            }
        }
    }

    fn token(&mut self, at: &KeyPath, config: &Config, token: &TokenSection) {
        if token.name.is_empty() {
            self.refuse(at, "name is missing; it stands for the token in logs");
        }
        match (
            token.token.is_empty(),
            token.token_file.as_os_str().is_empty(),
        ) {
            (true, true) => self.refuse(at, "set token or token-file"),
            (false, false) => self.refuse(at, "both token and token-file are set; leave one out"),
            (false, true) => self.credential(&at.key("token"), token.token.expose()),
            (true, false) => {}
        }
        for lane in token.lanes.iter().flatten() {
            if !config.lanes.contains_key(lane) {
                let why =
                    format!("there is no lane {lane}; add [lanes.{lane}] or correct the name");
                self.refuse(&at.key("lanes"), why);
            }
        }
    }

    fn limits(&mut self, at: &KeyPath, limits: &RelaySection) {
        self.count(&at.key("max-sessions"), limits.max_sessions);
        self.count(&at.key("max-in-flight"), limits.max_in_flight);
        self.count(&at.key("max-queued"), limits.max_queued);
        self.size(
            &at.key("max-queued-bytes"),
            *limits.max_queued_bytes,
            1 << 10,
        );
        self.size(&at.key("max-message"), *limits.max_message, 1 << 10);
        self.size(&at.key("max-answers"), *limits.max_answers, 1 << 10);
        self.duration(&at.key("ping-interval"), *limits.ping_interval);
        self.duration(&at.key("write-stall"), *limits.write_stall);
        if *limits.idle_timeout <= *limits.ping_interval {
            let why = format!(
                "expected more than ping-interval, which is {}: a quiet connection shows life only \
                 by answering pings",
                *limits.ping_interval
            );
            self.refuse(&at.key("idle-timeout"), why);
        }
    }

    fn lanes(&mut self, config: &Config) {
        let at = KeyPath::of(["lanes"]);
        if config.lanes.len() > MAX_LANES {
            self.refuse(&at, format_args!("expected at most {MAX_LANES} lanes"));
        }
        for (name, lane) in &config.lanes {
            let at = at.key(name);
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            if name.is_empty() || name.len() > MAX_LANE_NAME || !name.bytes().all(plain) {
                let why = format!(
                    "expected a lane's name of 1 to {MAX_LANE_NAME} letters, digits, -, _ or ."
                );
                self.refuse(&at, why);
            }
            self.lane(&at, lane);
        }
    }

    fn lane(&mut self, at: &KeyPath, lane: &LaneSection) {
        self.count(&at.key("concurrency"), lane.concurrency);
        self.count(&at.key("queue-count"), lane.queue_count);
        self.size(&at.key("queue-bytes"), *lane.queue_bytes, 1 << 10);
        self.duration(&at.key("queue-wait"), *lane.queue_wait);
        self.count(&at.key("retry-attempts"), lane.retry_attempts as usize);
        self.duration(&at.key("retry-base"), *lane.retry_base);
        if *lane.retry_max < *lane.retry_base {
            let why = format!(
                "expected at least retry-base, which is {}",
                *lane.retry_base
            );
            self.refuse(&at.key("retry-max"), why);
        }
        self.duration(&at.key("connect-timeout"), *lane.connect_timeout);
        self.duration(&at.key("header-timeout"), *lane.header_timeout);
        self.duration(&at.key("body-idle-timeout"), *lane.body_idle_timeout);
        self.duration(&at.key("total-timeout"), *lane.total_timeout);
        self.size(&at.key("response-cap"), *lane.response_cap, 1);
    }

    fn origins(&mut self, config: &Config) {
        for (pattern, limits) in &config.origins {
            let at = KeyPath::of(["origins", pattern.as_str()]);
            if pattern != DEFAULT
                && let Err(why) = pattern.parse::<HostPattern>()
            {
                self.refuse(&at, why);
            }
            self.count(&at.key("concurrency"), limits.concurrency);
        }
        for (name, addresses) in &config.hosts {
            if addresses.0.is_empty() {
                let at = KeyPath::of(["hosts", name.as_str()]);
                self.refuse(&at, "expected at least one IP address");
            }
        }
    }

    fn engine(&mut self, config: &Config) {
        let at = KeyPath::of(["fetch"]);
        let fetch = &config.fetch;
        self.duration(&at.key("dns-ttl"), *fetch.dns_ttl);
        self.duration(&at.key("idle-timeout"), *fetch.idle_timeout);
        self.size(&at.key("body-budget"), *fetch.body_budget, 1 << 20);
        if !H2_WINDOW.contains(&fetch.h2_stream_window.0.0) {
            let why = format!(
                "expected {} to {}",
                Size(*H2_WINDOW.start()),
                Size(*H2_WINDOW.end())
            );
            self.refuse(&at.key("h2-stream-window"), why);
        }
        if http::HeaderValue::from_str(&fetch.user_agent).is_err() {
            self.refuse(
                &at.key("user-agent"),
                "expected text that can stand in a header",
            );
        }
    }
}
