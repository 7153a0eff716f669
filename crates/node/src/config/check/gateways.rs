//! `[[gateways]]`.

use std::collections::BTreeSet;

use super::super::gateways::{OWN_LANE, is_name};
use super::super::leaf::KeyPath;
use super::super::problem::closest;
use super::super::{Config, Dur, GatewaySection, LossSign};
use super::Checker;

/// Maximum number of gateways. Each is a label of metrics, and has a lane and a pool of connections.
const MAX_GATEWAYS: usize = 32;

impl Checker<'_> {
    pub(super) fn gateways(&mut self, config: &Config) {
        let all = KeyPath::of(["gateways"]);
        if config.gateways.len() > MAX_GATEWAYS {
            self.refuse(
                &all,
                format_args!("expected at most {MAX_GATEWAYS} gateways"),
            );
        }
        let mut names = BTreeSet::new();
        for (index, gateway) in config.gateways.iter().enumerate() {
            let at = all.index(index);
            let name = at.key("name");
            if is_name(&gateway.name) && !names.insert(gateway.name.as_str()) {
                let why = format!(
                    "another gateway is called {}; give each a name",
                    gateway.name
                );
                let is_given = self.is_given(&name);
                self.refuse(if is_given { &name } else { &at }, why);
            }
            self.ends(&at, config, gateway);
            self.pushing(&at, gateway);
            self.loss(&at, gateway);
            self.clocks(&at, config, gateway);
        }
        // With a problem there, a name may be another than was meant.
        if !self.broken.iter().any(|broken| broken.starts_with(&all)) {
            self.lanes_of_nobody(config);
        }
    }

    /// A lane that is called like a gateway's own, and is none's.
    fn lanes_of_nobody(&mut self, config: &Config) {
        let of_gateways: Vec<String> = config.gateways.iter().map(GatewaySection::lane).collect();
        for lane in config.lanes.keys() {
            let Some(name) = lane.strip_prefix(OWN_LANE) else {
                continue;
            };
            if of_gateways.contains(lane) {
                continue;
            }
            let known = of_gateways.iter().map(String::as_str);
            let hint = match closest(lane, known) {
                Some(close) => format!("did you mean {close}?"),
                None => "correct the name, or remove it".to_owned(),
            };
            let why = format!("no gateway {name} has a lane of its own; {hint}");
            self.refuse(&KeyPath::of(["lanes", lane.as_str()]), why);
        }
    }

    /// Checks the two ends of a gateway, its listener and its API.
    fn ends(&mut self, at: &KeyPath, config: &Config, gateway: &GatewaySection) {
        if gateway.listen.is_none() && self.is_sound(&at.key("listen")) {
            let why = "listen is missing: the address that clients connect to, such as 127.0.0.1:7001 \
                 (--listen)";
            self.refuse(at, why);
        }
        if gateway.api.is_none() && self.is_sound(&at.key("api")) {
            let why = "api is missing: the URL of the API, such as http://127.0.0.1:8000/ (--api)";
            self.refuse(at, why);
        }
        self.tls(&at.key("tls"), &gateway.tls.cert, &gateway.tls.key);
        if gateway.proxy_protocol && gateway.trusted_proxies.is_empty() {
            let why = "nobody is trusted to send it, so every client would be refused: set \
                       trusted-proxies to where the proxy connects from";
            self.refuse_beside(&at.key("proxy-protocol"), &at.key("trusted-proxies"), why);
        }
        if let Some(lane) = &gateway.lane {
            let named = KeyPath::of(["lanes", lane.as_str()]);
            let broken = self.broken.iter().any(|broken| broken.starts_with(&named));
            if !config.lanes.contains_key(lane) && !broken {
                let why = format!(
                    "there is no lane {lane}; add [lanes.{lane}], correct the name, or leave it out \
                     for a lane of its own"
                );
                self.refuse(&at.key("lane"), why);
            }
        }
    }

    fn pushing(&mut self, at: &KeyPath, gateway: &GatewaySection) {
        let (listen, tls) = (at.key("push-listen"), at.key("push-tls"));
        self.tls(&tls, &gateway.push_tls.cert, &gateway.push_tls.key);
        if gateway.push_tls.enabled() && gateway.push_listen.is_none() {
            let why = "there is no push-listen to speak it; set that, or leave push-tls out";
            self.refuse_beside(&tls.key("cert"), &listen, why);
        }
        let (token, file) = (&gateway.push_token, &gateway.push_token_file);
        let key = at.key("push-token");
        if token.is_empty() && self.is_given(&key) {
            // A variable that is not set, mostly: nobody would be asked for a token then.
            let why = "expected a token of 1 to 4096 characters; leave it out for none";
            self.refuse(&key, why);
        }
        self.one_token(at, "push-token", token, file);
        let open = at.key("open-push");
        if gateway.open_push {
            for (key, is_set) in [
                ("push-token", !token.is_empty()),
                ("push-token-file", !file.as_os_str().is_empty()),
            ] {
                if is_set {
                    let why =
                        format!("with open-push nobody is asked for {key}; leave one of them out");
                    self.refuse_beside(&open, &at.key(key), why);
                }
            }
            if gateway.reuse_port {
                let why = "with reuse-port a push to the clients' address reaches any of the \
                           processes; leave it out, and push to push-listen";
                self.refuse_beside(&open, &at.key("reuse-port"), why);
            }
        }
        if gateway.reuse_port && gateway.push_listen.is_none() {
            let why = "a push has to reach the process that holds the client: give each process a \
                       push-listen of its own";
            self.refuse_beside(&at.key("reuse-port"), &at.key("push-listen"), why);
        }
    }

    fn loss(&mut self, at: &KeyPath, gateway: &GatewaySection) {
        let message = at.key("on-loss-message");
        match (gateway.on_loss, gateway.on_loss_message.is_empty()) {
            (LossSign::Message, true) => {
                let why =
                    "on-loss-message is missing: the text that a client gets for a lost message";
                self.refuse_beside(&at.key("on-loss"), &message, why);
            }
            (LossSign::Nothing | LossSign::Close, false) => {
                let why = "this is sent with on-loss = \"message\" only; set that, or leave it out";
                self.refuse_beside(&message, &at.key("on-loss"), why);
            }
            (LossSign::Message, false) | (LossSign::Nothing | LossSign::Close, true) => {}
        }
    }

    fn clocks(&mut self, at: &KeyPath, config: &Config, gateway: &GatewaySection) {
        let (idle, ping) = (gateway.idle_timeout, Dur(gateway.ping_interval));
        if idle <= ping.0 {
            let why = format!(
                "expected more than ping-interval, which is {ping}: a quiet client shows life only by \
                 answering pings"
            );
            self.refuse_beside(&at.key("idle-timeout"), &at.key("ping-interval"), why);
        }
        let (spread, grace) = (at.key("drain-spread"), Dur(config.shutdown.grace));
        // Of the two defaults nobody has to know.
        if self.is_given(&spread) && gateway.drain_spread > grace.0 {
            let why = format!(
                "expected at most shutdown.grace, which is {grace}: after that, all are cut off"
            );
            self.refuse_beside(&spread, &KeyPath::of(["shutdown", "grace"]), why);
        }
    }
}
