//! `[[gateways]]`: what is refused, what their lanes and APIs are given, and keys of list items.

use std::path::Path;

use fetchway_node::config::{Config, Layers};
use fetchway_node::print_config;
use fetchway_policy::LaneConfig;

const ONE: &str = "[[gateways]]\nlisten = '127.0.0.1:7001'\napi = 'http://127.0.0.1:8000/'\n";

fn file(text: &str) -> Layers {
    Layers::new().file(Path::new("f.toml"), text)
}

fn problems(layers: Layers) -> Vec<String> {
    match layers.load() {
        Ok(_) => Vec::new(),
        Err(e) => e.problems().to_vec(),
    }
}

fn config(toml: &str) -> Config {
    let loaded = file(toml).load();
    loaded.unwrap_or_else(|e| panic!("{toml}: {e}")).config
}

#[test]
fn what_makes_no_sense_is_told() {
    for (more, expected) in [
        (
            "name = 'Chat'",
            "f.toml:4: gateways[0].name: expected a gateway's name of 1 to 32 lower",
        ),
        ("name = ''", "gateways[0].name: expected a gateway's name"),
        (
            "lane = 'bulk'",
            "f.toml:4: gateways[0].lane: there is no lane bulk; add [lanes.bulk], correct",
        ),
        (
            "tls.cert = 'a.pem'",
            "gateways[0].tls.cert: cert alone gives no TLS; set key too",
        ),
        (
            "push-listen = '127.0.0.1:7002'\npush-tls.key = 'a.pem'",
            "gateways[0].push-tls.key: key alone gives no TLS; set cert too",
        ),
        (
            "push-tls = { cert = 'a.pem', key = 'b.pem' }",
            "gateways[0].push-tls.cert: there is no push-listen to speak it",
        ),
        (
            "push-listen = '127.0.0.1:7001'",
            "gateways[0].push-listen: this is the address of gateways[0].listen",
        ),
        (
            "push-listen = '0.0.0.0:8787'",
            "gateways[0].push-listen: this is the address of listen, another",
        ),
        (
            "push-listen = 'none'",
            "gateways[0].push-listen = \"none\": expected an IP address",
        ),
        (
            "push-token = 'a b'",
            "gateways[0].push-token: expected a token of visible ASCII",
        ),
        (
            "push-token = ''",
            "f.toml:4: gateways[0].push-token: expected a token of 1 to 4096 characters; leave it",
        ),
        (
            "push-token = '(hidden)'",
            "gateways[0].push-token: this is what --print-config shows",
        ),
        (
            "push-token = 'a'\npush-token-file = 'f'",
            "gateways[0].push-token-file: push-token is set too",
        ),
        (
            "open-push = true\npush-token = 'a'",
            "gateways[0].open-push: with open-push nobody is asked for push-token",
        ),
        (
            "open-push = true\npush-token-file = 'f'",
            "gateways[0].open-push: with open-push nobody is asked for push-token-file",
        ),
        (
            "reuse-port = true",
            "gateways[0].reuse-port: a push has to reach the process that holds the client",
        ),
        (
            "reuse-port = true\nopen-push = true\npush-listen = '127.0.0.1:7002'",
            "gateways[0].open-push: with reuse-port a push",
        ),
        (
            "order = 'parallel'",
            "gateways[0].order = \"parallel\": expected serial, or parallel(8)",
        ),
        (
            "order = 'parallel(0)'",
            "gateways[0].order = \"parallel(0)\": expected serial, or parallel(8)",
        ),
        (
            "duplicate = 'both'",
            "gateways[0].duplicate = \"both\": expected one of \"replace\", \"reject\"",
        ),
        (
            "delivery = 'once'",
            "gateways[0].delivery = \"once\": expected one of \"at-most-once\", \"at-least-once\"",
        ),
        (
            "on-loss = 'message'",
            "gateways[0].on-loss: on-loss-message is missing",
        ),
        (
            "on-loss-message = 'lost'",
            "gateways[0].on-loss-message: this is sent with on-loss = \"message\" only",
        ),
        (
            "queue-messages = 0",
            "gateways[0].queue-messages: expected at least 1",
        ),
        (
            "queue-bytes = '0B'",
            "gateways[0].queue-bytes: expected at least 1B",
        ),
        (
            "max-message = 5",
            "gateways[0].max-message = 5: expected a size with a unit",
        ),
        (
            "queue-timeout = '0s'",
            "gateways[0].queue-timeout: expected more than 0s",
        ),
        (
            "write-stall = '0s'",
            "gateways[0].write-stall: expected more than 0s",
        ),
        (
            "idle-timeout = '30s'",
            "gateways[0].idle-timeout: expected more than ping-interval, which is 30s",
        ),
        (
            "ping-interval = '2m'",
            "gateways[0].idle-timeout: expected more than ping-interval, which is 2m",
        ),
        (
            "drain-spread = '31s'",
            "gateways[0].drain-spread: expected at most shutdown.grace, which is 30s",
        ),
        (
            "rate = '20/m'",
            "gateways[0].rate: expected a number of messages per second, such as 20/s",
        ),
        ("rate = 20", "gateways[0].rate = 20: expected a rate"),
        (
            "allow-origins = ['*']",
            "gateways[0].allow-origins[0] = \"*\": expected a web origin",
        ),
        (
            "trusted-proxies = ['10.0.0.1/8']",
            "gateways[0].trusted-proxies[0]: `10.0.0.1/8` has bits set",
        ),
        (
            "proxy-protocol = true",
            "f.toml:4: gateways[0].proxy-protocol: nobody is trusted to send it",
        ),
        (
            "proxy-protocol = 'v2'\ntrusted-proxies = ['10.0.0.0/8']",
            "gateways[0].proxy-protocol",
        ),
        (
            "per-adress = 1",
            "f.toml:4: gateways[0].per-adress: unknown key per-adress; did you mean per-address?",
        ),
    ] {
        let found = problems(file(&format!("{ONE}{more}")));
        assert_eq!(found.len(), 1, "{more}: {found:#?}");
        assert!(found[0].contains(expected), "{}\n{expected}", found[0]);
    }
}

#[test]
fn what_is_missing_or_twice_is_told() {
    for (toml, expected) in [
        (
            "listen = 'none'",
            "f.toml:1: listen: with none, a node needs one of [[gateways]]",
        ),
        (
            "[[gateways]]\nlisten = '127.0.0.1:1'",
            "f.toml:1: gateways[0]: api is missing: the URL",
        ),
        (
            "[[gateways]]\napi = 'http://a/'",
            "f.toml:1: gateways[0]: listen is missing: the address",
        ),
        (
            "[[gateways]]\nlisten = '127.0.0.1:1'\napi = 'ws://a/'",
            "gateways[0].api = \"ws://a/\": expected the API's URL",
        ),
        (
            "[[gateways]]\nlisten = '127.0.0.1:1'\napi = 'http://a/?b'",
            "expected a URL without ? and #",
        ),
        ("gateways = 5", "gateways: expected a list"),
    ] {
        let found = problems(file(toml));
        assert_eq!(found.len(), 1, "{toml}: {found:#?}");
        assert!(found[0].contains(expected), "{}\n{expected}", found[0]);
    }
    let second = "[[gateways]]\nlisten = '127.0.0.1:7001'\napi = 'h2c://a/'\n";
    let found = problems(file(&format!("{ONE}{second}")));
    assert_eq!(found.len(), 2, "{found:#?}");
    for expected in [
        "gateways[1].listen: this is the address of gateways[0].listen, another listener",
        "gateways[1]: another gateway is called gateway; give each a name",
    ] {
        let told = found.iter().any(|found| found.contains(expected));
        assert!(told, "{found:#?}\n{expected}");
    }
    let many = (0..33).map(|i| {
        format!("[[gateways]]\nname = 'g{i}'\nlisten = '127.0.0.1:0'\napi = 'http://a/'\n")
    });
    let found = problems(file(&many.collect::<String>()));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("expected at most 32 gateways"),
        "{found:#?}"
    );
}

#[test]
fn a_lane_of_no_gateway_is_told() {
    let lane = |name: &str| problems(file(&format!("{ONE}name = 'chat'\n[lanes.{name}]")));
    assert_eq!(lane("gateway-chat"), [""; 0]);
    for (name, expected) in [
        (
            "gateway-chta",
            "f.toml:5: lanes.gateway-chta: no gateway chta has a lane of its own; did you mean \
             gateway-chat?",
        ),
        (
            "gateway-something-else",
            "no gateway something-else has a lane of its own; correct the name, or remove it",
        ),
    ] {
        let found = lane(name);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{}\n{expected}", found[0]);
    }
}

#[test]
fn no_message_quotes_a_password_of_an_api() {
    for api in ["http://ann:s3cr3t@a/", "ann:s3cr3t@a", "ws://ann:s3cr3t@a/"] {
        let toml = format!("[[gateways]]\nlisten = '127.0.0.1:1'\napi = '{api}'");
        let found = problems(file(&toml));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("gateways[0].api: expected"), "{found:#?}");
        assert!(!found[0].contains("s3cr3t"), "{found:#?}");
    }
}

#[test]
fn no_message_quotes_a_push_token() {
    const SECRET: &str = "s3cr3t-s3cr3t-s3cr3t";
    for toml in [
        format!("{ONE}push-token = ['{SECRET}']"),
        format!("{ONE}push-token = '{SECRET} '"),
        format!("gateways = '{SECRET}'"),
        format!("gateways = ['{SECRET}']"),
    ] {
        let found = problems(file(&toml));
        assert!(!found.is_empty(), "{toml}");
        assert!(!found.concat().contains(SECRET), "{found:#?}");
    }
    let toml =
        format!("{ONE}push-token = '{SECRET}'\ntrusted-proxies = ['10.0.0.0/8']\nrate = '5/s'");
    let loaded = file(&toml).load().expect("valid");
    let text = print_config(&loaded);
    assert!(
        !text.contains(SECRET) && !format!("{loaded:?}").contains(SECRET),
        "{text}"
    );
    assert!(text.contains("push-token = \"(hidden)\""), "{text}");
    let again = file(&text.replace("(hidden)", SECRET)).load();
    let again = again.expect("what is printed is valid").config;
    let written = |config: &Config| format!("{config:?}");
    assert_eq!(written(&again), written(&loaded.config));
}

#[test]
fn a_gateway_has_a_lane_of_its_own_that_may_be_changed() {
    let toml = format!(
        "{ONE}[[gateways]]\nname = 'chat'\nlisten = '127.0.0.1:7002'\napi = 'http://a/'\n\
         [[gateways]]\nname = 'bulk'\nlane = 'bulk'\nlisten = '127.0.0.1:7003'\napi = 'http://b/'\n\
         [lanes.bulk]\n[lanes.gateway-chat]\nconcurrency = 7\nheader-timeout = '5s'"
    );
    let config = config(&toml);
    let names: Vec<_> = config.lanes.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["bulk", "default", "gateway-chat", "gateway-gateway"]
    );
    let lane = |name: &str| {
        let lane = config.lanes[name].to_lane();
        let seconds = (lane.clocks.header.as_secs(), lane.clocks.total.as_secs());
        (lane.concurrency, seconds)
    };
    assert_eq!(lane("gateway-gateway"), (10_000, (60, 60)));
    assert_eq!(lane("gateway-chat"), (7, (5, 60)));
    assert_eq!(config.lanes["bulk"].to_lane(), LaneConfig::default());
    let lanes: Vec<_> = config.gateways.iter().map(|g| g.lane()).collect();
    assert_eq!(lanes, ["gateway-gateway", "gateway-chat", "bulk"]);
}

#[test]
fn an_api_may_be_sent_as_much_as_its_lane_lets_through() {
    let limits = |toml: &str| {
        let engine = config(&format!("{ONE}{toml}"))
            .engine_config()
            .expect("no files");
        let first = (engine.origins.iter()).find(|(pattern, _)| pattern.matches("127.0.0.1"));
        first
            .map_or(engine.origin_default, |(_, limits)| *limits)
            .concurrency
    };
    assert_eq!(limits(""), 10_000);
    assert_eq!(limits("[origins.'127.0.0.1']\nconcurrency = 5"), 5);
    assert_eq!(limits("[origins.default]\nconcurrency = 6"), 6);
}

#[test]
fn flags_reach_items_of_lists() {
    let set = |key: &str, text: &str| file(ONE).flag_text("--set", key, text);
    let load = |layers: Layers| layers.load().expect("valid");
    let loaded = load(set("gateways[0].order", "parallel(8)"));
    assert_eq!(loaded.config.gateways[0].order.to_string(), "parallel(8)");
    let text = print_config(&loaded);
    let line = text.lines().find(|line| line.starts_with("order ="));
    assert!(line.is_some_and(|line| line.ends_with("# --set")), "{text}");
    let line = text.lines().find(|line| line.starts_with("api ="));
    assert!(
        line.is_some_and(|line| line.ends_with("# f.toml:3")),
        "{text}"
    );

    // The item after the last is a new one.
    let added = set("gateways[1].listen", "127.0.0.1:0")
        .flag("--api", "gateways[1].api", "h2c://a/")
        .flag("--set", "gateways[1].name", "two");
    let added = load(added).config;
    assert_eq!(added.gateways.len(), 2);
    assert_eq!(added.gateways[1].lane(), "gateway-two");

    for (key, expected) in [
        (
            "gateways[2].name",
            "--set: gateways[2]: the list has no such item; its next item is gateways[1]",
        ),
        ("gateways[0]", "--set: gateways[0] is no key; write it like"),
        ("gateways[x].name", "gateways[x].name is no key"),
        (
            "gateways[0].nam",
            "--set: gateways[0].nam: unknown key nam; did you mean name?",
        ),
        ("guard.allow-net[0].x", "guard.allow-net[0].x is no key"),
    ] {
        let found = problems(set(key, "x"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{}\n{expected}", found[0]);
    }
}
