//! Checks of a configuration as a whole, beyond the form of each value.

mod gateways;
mod sessions;

use std::path::Path;

use fetchway_policy::guard::HostPattern;

use super::leaf::{KeyPath, Source};
use super::{
    AdminSection, Config, DEFAULT, Dur, HIDDEN, LaneSection, ListenAddr, Loaded, Secret, Size,
};

/// Lanes are labels of metrics, and each costs memory: they are few.
const MAX_LANES: usize = 64;
const MAX_LANE_NAME: usize = 64;
/// Some small outcomes.
const LEAST_HELD: u64 = 64 << 10;
/// One frame of the default size at least; at most what RFC 9113 section 6.9.1 allows.
const H2_WINDOW: std::ops::RangeInclusive<u64> = (16 << 10)..=((1 << 31) - 1);

/// Every problem, each with its source and key. What a value of `broken` would have had to do with is
/// not told: another value stands in its place.
pub(super) fn problems(loaded: &Loaded, broken: &[KeyPath]) -> Vec<String> {
    let mut checker = Checker {
        loaded,
        broken,
        problems: Vec::new(),
    };
    let config = &loaded.config;
    checker.listeners(config);
    checker.addresses(config);
    checker.sessions(config);
    checker.batches(config);
    checker.gateways(config);
    checker.lanes(config);
    checker.origins(config);
    checker.engine(config);
    checker.problems
}

struct Checker<'a> {
    loaded: &'a Loaded,
    broken: &'a [KeyPath],
    problems: Vec<String>,
}

impl Checker<'_> {
    fn refuse(&mut self, at: &KeyPath, why: impl std::fmt::Display) {
        if self.is_sound(at) {
            let source = self.loaded.source(at);
            self.problems.push(format!("{source}: {at}: {why}"));
        }
    }

    /// As `refuse`, for a value that does not fit the one at `other`.
    fn refuse_beside(&mut self, at: &KeyPath, other: &KeyPath, why: impl std::fmt::Display) {
        if self.is_sound(other) {
            self.refuse(at, why);
        }
    }

    fn is_sound(&self, at: &KeyPath) -> bool {
        !self.broken.iter().any(|broken| at.starts_with(broken))
    }

    /// Whether the value there was given, rather than built in.
    fn is_given(&self, at: &KeyPath) -> bool {
        *self.loaded.source(at) != Source::Default
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
            self.refuse_beside(&at.key(given), &at.key(missing), why);
        }
    }

    fn listeners(&mut self, config: &Config) {
        let root = KeyPath::default();
        self.tls(&root.key("tls"), &config.tls.cert, &config.tls.key);
        let admin = root.key("admin");
        let tls = &config.admin.tls;
        self.tls(&admin.key("tls"), &tls.cert, &tls.key);
        let AdminSection {
            token, token_file, ..
        } = &config.admin;
        self.one_token(&admin, "token", token, token_file);
        let http = root.key("http");
        self.count(&http.key("max-connections"), config.http.max_connections);
        self.duration(&http.key("header-timeout"), config.http.header_timeout.0);
        self.duration(
            &http.key("handshake-timeout"),
            config.http.handshake_timeout.0,
        );
    }

    /// No two listeners at one address.
    fn addresses(&mut self, config: &Config) {
        let root = KeyPath::default();
        let mut taken: Vec<(KeyPath, ListenAddr)> = Vec::new();
        taken.extend(
            config
                .listen
                .0
                .0
                .map(|address| (root.key("listen"), address)),
        );
        if config.admin.enabled {
            taken.push((root.key("admin").key("listen"), *config.admin.listen));
        }
        for (index, gateway) in config.gateways.iter().enumerate() {
            let at = root.key("gateways").index(index);
            taken.extend(gateway.listen.map(|address| (at.key("listen"), *address)));
            taken.extend((gateway.push_listen).map(|address| (at.key("push-listen"), *address)));
        }
        for (index, (at, address)) in taken.iter().enumerate() {
            let same = taken[..index]
                .iter()
                .find(|(_, other)| address.overlaps(*other));
            if let Some((other, _)) = same {
                let why = format!(
                    "this is the address of {other}, another listener; choose another port"
                );
                self.refuse_beside(at, other, why);
            }
        }
        if config.listen.0.0.is_none() && config.gateways.is_empty() {
            let why = "with none, a node needs one of [[gateways]] at least: give --listen and \
                       --api to `fetchway gateway`, add one to the configuration, or set an address";
            self.refuse_beside(&root.key("listen"), &root.key("gateways"), why);
        }
    }

    /// `key` holds the one token of `at`, or `key`-file names its file.
    fn one_token(&mut self, at: &KeyPath, key: &str, token: &Secret, file: &Path) {
        if token.is_empty() {
            return;
        }
        if !file.as_os_str().is_empty() {
            let why = format!("{key} is set too; leave one of them out");
            self.refuse_beside(&at.key(&format!("{key}-file")), &at.key(key), why);
        }
        self.credential(&at.key(key), token.expose());
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

    fn batches(&mut self, config: &Config) {
        let (at, batch) = (KeyPath::of(["batch"]), &config.batch);
        self.count(&at.key("max-at-once"), batch.max_at_once);
        self.count(&at.key("max-concurrency"), batch.max_concurrency);
        self.size(&at.key("max-held"), batch.max_held.0, LEAST_HELD);
        self.duration(&at.key("idle-timeout"), batch.idle_timeout.0);
        if batch.spool.0 <= batch.spool_memory.0 {
            let why = format!(
                "expected more than spool-memory, which is {}: what does not fit there goes to the file",
                *batch.spool_memory
            );
            self.refuse_beside(&at.key("spool"), &at.key("spool-memory"), why);
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
            self.refuse_beside(&at.key("retry-max"), &at.key("retry-base"), why);
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
