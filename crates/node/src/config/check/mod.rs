//! Checks of a configuration as a whole, beyond the form of each value.

mod gateways;
mod sessions;

use std::path::Path;

use fetchway_policy::guard::HostPattern;

use super::leaf::{KeyPath, Source};
use super::setting::Setting;
use super::{AdminSection, Config, DEFAULT, Dur, HIDDEN, ListenAddr, Loaded, Secret};

/// Lanes are labels of metrics, and each costs memory: they are few.
const MAX_LANES: usize = 64;
const MAX_LANE_NAME: usize = 64;
/// Returns every problem with its source and key. A problem that depends on a value in `broken` is left out,
/// because that value has been replaced by its default.
pub(super) fn problems(loaded: &Loaded, broken: &[KeyPath]) -> Vec<String> {
    let mut checker = Checker {
        loaded,
        broken,
        problems: Vec::new(),
    };
    let config = &loaded.config;
    config.check(&KeyPath::default(), &mut |at, why| checker.refuse(at, why));
    checker.listeners(config);
    checker.addresses(config);
    checker.sessions(config);
    checker.batches(config);
    checker.gateways(config);
    checker.lanes(config);
    checker.origins(config);
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
    }

    /// No two listeners at one address.
    fn addresses(&mut self, config: &Config) {
        let root = KeyPath::default();
        let mut taken: Vec<(KeyPath, ListenAddr)> = Vec::new();
        taken.extend(config.listen.0.map(|address| (root.key("listen"), address)));
        if config.admin.enabled {
            taken.push((root.key("admin").key("listen"), config.admin.listen));
        }
        for (index, gateway) in config.gateways.iter().enumerate() {
            let at = root.key("gateways").index(index);
            taken.extend(gateway.listen.map(|address| (at.key("listen"), address)));
            taken.extend(
                gateway
                    .push_listen
                    .map(|address| (at.key("push-listen"), address)),
            );
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
        if config.listen.0.is_none() && config.gateways.is_empty() {
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
        if batch.spool.0 <= batch.spool_memory.0 {
            let why = format!(
                "expected more than spool-memory, which is {}: what does not fit there goes to the file",
                batch.spool_memory
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
            if lane.retry_max < lane.retry_base {
                let why = format!(
                    "expected at least retry-base, which is {}",
                    Dur(lane.retry_base)
                );
                self.refuse_beside(&at.key("retry-max"), &at.key("retry-base"), why);
            }
        }
    }

    fn origins(&mut self, config: &Config) {
        for pattern in config.origins.keys() {
            let at = KeyPath::of(["origins", pattern.as_str()]);
            if pattern != DEFAULT
                && let Err(why) = pattern.parse::<HostPattern>()
            {
                self.refuse(&at, why);
            }
        }
        for (name, addresses) in &config.hosts {
            if addresses.0.is_empty() {
                let at = KeyPath::of(["hosts", name.as_str()]);
                self.refuse(&at, "expected at least one IP address");
            }
        }
    }
}
