//! Where values come from, which wins, and what is said of a wrong one.

use std::path::Path;

use fetchway_node::config::{Config, GatewaySection, Layers, Loaded, LogFormat, TokenSection};
use fetchway_node::print_config;

fn file(text: &str) -> Layers {
    Layers::new().file(Path::new("f.toml"), text)
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn problems(layers: Layers) -> Vec<String> {
    match layers.load() {
        Ok(_) => Vec::new(),
        Err(e) => e.problems().to_vec(),
    }
}

/// The line of the printed configuration that sets `key` in its first table.
fn printed(layers: Layers, key: &str) -> String {
    let loaded = layers.load().expect("a valid configuration");
    let text = print_config(&loaded);
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key} =")));
    let words: Vec<_> = line
        .expect("the key is printed")
        .split_whitespace()
        .collect();
    words.join(" ")
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let from_file = || file("# a comment\nlisten = '127.0.0.1:1'");
    assert_eq!(
        printed(Layers::new(), "listen"),
        "listen = \"127.0.0.1:8787\" # default"
    );
    assert_eq!(
        printed(from_file(), "listen"),
        "listen = \"127.0.0.1:1\" # f.toml:2"
    );
    let vars = || {
        env(&[
            ("FETCHWAY_LISTEN", "127.0.0.1:2"),
            ("HOME", "/"),
            ("FETCHWAY_CONFIG", "x"),
        ])
    };
    let with_env = || {
        Layers::new()
            .env(vars())
            .file(Path::new("f.toml"), "listen = '127.0.0.1:1'")
    };
    assert_eq!(
        printed(with_env(), "listen"),
        "listen = \"127.0.0.1:2\" # FETCHWAY_LISTEN"
    );
    let with_flag = Layers::new()
        .flag("--listen", "listen", "127.0.0.1:3")
        .env(vars());
    assert_eq!(
        printed(with_flag, "listen"),
        "listen = \"127.0.0.1:3\" # --listen"
    );
}

#[test]
fn tables_are_merged_and_lists_replaced() {
    let layers = file(
        "[lanes.bulk]\nrate = '100/s'\nconcurrency = 7\n[guard]\nallow-net = ['10.0.0.0/8']\n\
         [[tokens]]\nname = 'a'\ntoken = 'token-a'\n",
    )
    .env(env(&[
        ("FETCHWAY_LANES__BULK__CONCURRENCY", "9"),
        ("FETCHWAY_GUARD__ALLOW_NET", "192.168.0.0/16, fd00::/8"),
        ("FETCHWAY_TOKENS", "[{ name = 'b', token = 'token-b' }]"),
        ("FETCHWAY_RELAY__MAX_MESSAGE", "2MiB"),
        ("FETCHWAY_ADMIN__ENABLED", "false"),
        ("FETCHWAY_ALLOW_ORIGINS", ""),
        ("FETCHWAY_GUARD__ALLOW_PORTS", "[80, '8000-8999']"),
    ]));
    let config = layers.load().expect("a valid configuration").config;
    let bulk = config.lanes["bulk"].to_lane();
    assert_eq!(
        (bulk.concurrency, bulk.rate.map(|r| r.count)),
        (9, Some(100))
    );
    assert!(config.lanes.contains_key("default"));
    let nets: Vec<_> = config
        .guard
        .allow_net
        .iter()
        .map(|n| n.to_string())
        .collect();
    assert_eq!(nets, ["192.168.0.0/16", "fd00::/8"]);
    let names: Vec<_> = config.tokens.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(config.relay.to_limits().message, 2 << 20);
    assert!(!config.admin.enabled && config.allow_origins.is_empty());
    assert_eq!(config.guard.allow_ports.len(), 2);
}

#[test]
fn an_empty_lane_table_makes_a_lane_and_takes_nothing_away() {
    let layers = file("[lanes.bulk]\n[lanes.default]\n").flag_text(
        "--concurrency",
        "lanes.default.concurrency",
        "5",
    );
    let config = layers.load().expect("a valid configuration").config;
    assert_eq!(config.lanes["default"].concurrency, 5);
    assert_eq!(
        config.lanes["bulk"].to_lane(),
        Config::default().lanes["default"].to_lane()
    );
}

#[test]
fn unknown_keys_are_named_with_their_source() {
    let found = problems(
        file("[relay]\n\nmax-mesage = '1MiB'\n[[tokens]]\nname = 'a'\ntoken = 'ta'\nlane = []\n")
            .env(env(&[
                ("FETCHWAY_LISSEN", "x"),
                ("FETCHWAY_PORT", "tcp://10.0.0.1:80"),
            ]))
            .flag("--set", "quux.x", 1),
    );
    assert_eq!(found.len(), 5, "{found:#?}");
    for (problem, expected) in found.iter().zip([
        "f.toml:3: relay.max-mesage: unknown key max-mesage; did you mean max-message?",
        "f.toml:7: tokens[0].lane: unknown key lane; did you mean lanes?",
        "FETCHWAY_LISSEN: lissen: unknown key lissen; did you mean listen?",
        "FETCHWAY_PORT: port: unknown key port; remove it, or use one of listen, ",
        "--set: quux: unknown key quux; remove it, or use one of listen, ",
    ]) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
}

#[test]
fn wrong_values_are_told_with_source_key_and_what_is_expected() {
    for (toml, expected) in [
        (
            "listen = 8787",
            "f.toml:1: listen = 8787: expected an IP address and a port, such as \"127.0.0.1:8787\"",
        ),
        (
            "listen = '8787'",
            "listen = \"8787\": expected an IP address and a port",
        ),
        (
            "[http]\nheader-timeout = '5'",
            "f.toml:2: http.header-timeout = \"5\": expected a duration with a",
        ),
        (
            "[http]\nheader-timeout = 30",
            "http.header-timeout = 30: expected a duration with a unit, such as \"30s\"",
        ),
        (
            "admin.enabled = 'yes'",
            "admin.enabled = \"yes\": expected true or false",
        ),
        (
            "[relay]\nmax-message = '5'",
            "relay.max-message = \"5\": expected a size with a unit",
        ),
        (
            "[lanes.x]\nrate = '5'",
            "lanes.x.rate = \"5\": expected a rate",
        ),
        (
            "[lanes.x]\nconcurrency = 0",
            "f.toml:2: lanes.x.concurrency: expected at least 1",
        ),
        (
            "[lanes.x]\nconcurrency = -1",
            "concurrency = -1: expected a whole number",
        ),
        (
            "[lanes.x]\nretry-base = '1m'",
            "retry-max: expected at least retry-base, which is 1m",
        ),
        (
            "[lanes.'a b']\nconcurrency = 1",
            "f.toml:2: lanes.\"a b\": expected a lane's name",
        ),
        (
            "[lanes.x]\ntotal-timeout = '0s'",
            "total-timeout: expected more than 0s",
        ),
        (
            "[origins.'*']\nconcurrency = 1",
            "f.toml:2: origins.\"*\": `*` is no host pattern",
        ),
        (
            "[origins.default]\nconcurrency = 0",
            "origins.default.concurrency: expected at least 1",
        ),
        (
            "[guard]\nallow-net = ['10.0.0.0/8',\n'10.0.0.1/8']",
            "f.toml:3: guard.allow-net[1]: `10.0.0.1/8` has bits set",
        ),
        (
            "[guard]\nallow-net = '10.0.0.0/8'",
            "f.toml:2: guard.allow-net = \"10.0.0.0/8\": expected a list",
        ),
        (
            "[guard]\nallow-ports = [70000]",
            "guard.allow-ports[0] = 70000: expected a port or a range",
        ),
        (
            "[hosts]\n'a.test' = []",
            "hosts.\"a.test\": expected at least one IP address",
        ),
        (
            "[hosts]\n'a.test' = 'b.test'",
            "hosts.\"a.test\" = \"b.test\": expected an IP address",
        ),
        (
            "[hosts]\n'a.test' = ['b.test']",
            "hosts.\"a.test\"[0] = \"b.test\": expected an IP address",
        ),
        (
            "[log]\nformat = 'xml'",
            "log.format = \"xml\": expected one of \"text\", \"json\"",
        ),
        (
            "[tls]\ncert = 'a.pem'",
            "tls.cert: cert alone gives no TLS; set key too",
        ),
        (
            "[relay]\nidle-timeout = '10s'",
            "relay.idle-timeout: expected more than ping-interval",
        ),
        (
            "[fetch]\nh2-stream-window = '4GiB'",
            "fetch.h2-stream-window: expected 16KiB to ",
        ),
        (
            "allow-origins = ['*']",
            "allow-origins[0] = \"*\": expected a web origin",
        ),
        (
            "[[tokens]]\ntoken = 'ta'",
            "f.toml:1: tokens[0]: name is missing",
        ),
        (
            "[[tokens]]\nname = 'a'",
            "tokens[0]: set token or token-file",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\ntoken-file='f'",
            "tokens[0]: both token and token-file",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t t'",
            "tokens[0].token: expected a token of visible ASCII",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='(hidden)'",
            "f.toml:3: tokens[0].token: this is what --print",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\nlanes=['x']",
            "tokens[0].lanes: there is no lane x; add",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\nlimits.max-sessions=0",
            "tokens[0].limits.max-sessions: ",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\n[[tokens]]\nname='a'\ntoken='u'",
            "tokens[1].name: another",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\n[[tokens]]\nname='b'\ntoken='t'",
            "f.toml:6: tokens[1].token: this is also tokens[0].token",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\nlimits.ping-interval='2m'",
            "tokens[0].limits.idle-timeout: expected more than ping-interval",
        ),
        (
            "admin.listen = '0.0.0.0:8787'",
            "f.toml:1: admin.listen: this is the address of listen",
        ),
        (
            "[relay]\nsession-window = '63KiB'\nstream-window = '16KiB'",
            "f.toml:2: relay.session-window: expected at least 64KiB",
        ),
        (
            "[relay]\nstream-window = '15KiB'",
            "relay.stream-window: expected at least 16KiB",
        ),
        (
            "[relay]\nstream-window = '5MiB'",
            "relay.stream-window: expected at most session-window, which is 4MiB",
        ),
        (
            "[relay]\nmax-unacked = '1KiB'",
            "relay.max-unacked: expected at least 64KiB",
        ),
        (
            "[relay]\nmax-parked = 0",
            "relay.max-parked: expected at least 1; to keep no session",
        ),
        (
            "[[tokens]]\nname='a'\ntoken='t'\nlimits.stream-window='8MiB'",
            "f.toml:4: tokens[0].limits.stream-window: expected at most session-window",
        ),
        ("\nlisten", "f.toml:2: not valid TOML: "),
    ] {
        let found = problems(file(toml));
        assert_eq!(found.len(), 1, "{toml}: {found:#?}");
        assert!(found[0].contains(expected), "{}\n{expected}", found[0]);
    }
}

#[test]
fn a_missing_file_is_told_by_name() {
    let found = problems(Layers::new().read_file(Path::new("no/such/file.toml")));
    assert!(found[0].starts_with("no/such/file.toml: the configuration file could not be read"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let toml = "listen = 'x'\n[log]\nlevel = 'loud'\n[http]\nmax-connections = 'many'\n";
    assert_eq!(problems(file(toml)).len(), 3);
    // Wrong forms do not hide what makes no sense, nor one wrong part of a table another.
    let toml = "[tls]\ncert = 'a.pem'\n[lanes.x]\nrate = 5\nqueue-count = 0\n\
                [[tokens]]\nlame = 1\nallow-net = ['x', '10.0.0.0/8', 5]\ntoken = 'a b'\n";
    let found = problems(file(toml));
    for expected in [
        "f.toml:4: lanes.x.rate = 5",
        "f.toml:7: tokens[0].lame",
        "f.toml:8: tokens[0].allow-net[0]",
        "f.toml:8: tokens[0].allow-net[2]",
        "f.toml:2: tls.cert",
        "f.toml:5: lanes.x.queue-count",
        "f.toml:6: tokens[0]: name is missing",
        "f.toml:9: tokens[0].token",
    ] {
        let told = found.iter().any(|problem| problem.starts_with(expected));
        assert!(told, "{expected} in {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn what_only_follows_from_a_wrong_form_is_not_told() {
    for toml in [
        "[tls]\ncert = 'a.pem'\nkey = 5",
        "[relay]\nping-interval = 'often'\nidle-timeout = '20s'",
        "[relay]\nsession-window = 'much'\nstream-window = '16MiB'",
        "[lanes.x]\nretry-base = 1\nretry-max = '1ms'",
        "[lanes.x]\nrate = 5\n[[tokens]]\nname = 'a'\ntoken = 't'\nlanes = ['x']",
        "[[tokens]]\nname = 'a'\ntoken = 5",
        "[[tokens]]\nname = 5\ntoken = 't'",
        "[relay]\nidle-timeout = 1\n[[tokens]]\nname = 'a'\ntoken = 't'\nlimits.ping-interval = '9m'",
    ] {
        let found = problems(file(toml));
        assert_eq!(found.len(), 1, "{toml}: {found:#?}");
    }
}

#[test]
fn text_of_the_environment_is_told_as_what_it_should_be() {
    for (key, text, expected) in [
        (
            "guard.deny-net",
            "10.0.0.1/8",
            "guard.deny-net[0]: `10.0.0.1/8` has bits set",
        ),
        (
            "guard.deny-net",
            "10.0.0.0/8,x",
            "guard.deny-net[1]: `x` is no address range",
        ),
        (
            "relay.max-sessions",
            "-1",
            "relay.max-sessions = -1: expected a whole number",
        ),
        (
            "relay.max-sessions",
            "many",
            "relay.max-sessions = \"many\": expected a whole",
        ),
        (
            "http.header-timeout",
            "30",
            "http.header-timeout = \"30\": expected a duration",
        ),
    ] {
        let found = problems(Layers::new().flag_text("--set", key, text));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{}\n{expected}", found[0]);
    }
}

#[test]
fn limits_of_the_binary_encoding_reach_the_relay() {
    let toml = "[relay]\nsession-window = '1MiB'\nstream-window = '32KiB'\nmax-unacked = '64KiB'\n\
                resume-within = '0s'\nmax-parked = 5\nmax-parked-bytes = '2MiB'\n\
                [[tokens]]\nname = 'a'\ntoken = 't'\nlimits = { resume-within = '5s', max-parked = 6 }";
    let config = file(toml).load().expect("a valid configuration").config;
    let binary = config.relay.to_limits().binary;
    assert_eq!(
        (binary.session_window, binary.stream_window),
        (1 << 20, 32 << 10)
    );
    assert_eq!((binary.unacked, binary.parked), (64 << 10, 5));
    assert_eq!(binary.parked_bytes, 2 << 20);
    assert!(binary.resume_within.is_zero());
    let limits = config
        .relay
        .overridden(&config.tokens[0].limits)
        .to_limits();
    assert_eq!((limits.binary.parked, limits.binary.unacked), (6, 64 << 10));
    assert_eq!(limits.binary.resume_within.as_secs(), 5);
}

const SECRET: &str = "s3cr3t-s3cr3t-s3cr3t";

#[test]
fn no_message_quotes_a_credential() {
    for toml in [
        format!("tokens = '{SECRET}'"),
        format!("tokens = ['{SECRET}']"),
        format!("[[tokens]]\nname = 'a'\ntoken = ['{SECRET}']"),
        format!("[[tokens]]\nname = 'a'\nlanes = '{SECRET}'"),
        format!("[admin]\ntoken = ['{SECRET}']"),
        format!("[admin]\ntoken = '{SECRET} '"),
        format!("[admin]\ntoken = {SECRET}"),
        format!("[admin]\ntoken = '{SECRET}"),
    ] {
        let found = problems(file(&toml));
        assert!(!found.is_empty(), "{toml}");
        assert!(!found.concat().contains(SECRET), "{found:#?}");
    }
    let found = problems(Layers::new().env(env(&[("FETCHWAY_TOKENS", SECRET)])));
    assert!(
        !found.is_empty() && !found.concat().contains(SECRET),
        "{found:#?}"
    );
}

#[test]
fn what_is_printed_hides_credentials_and_can_be_read_again() {
    let toml = format!(
        "[admin]\ntoken = '{SECRET}'\n[[tokens]]\nname = 'a'\ntoken = '{SECRET}'\n\
         limits.max-message = '1MiB'\n[origins.'*.example.com']\nrate = '5/250ms'\n\
         [hosts]\n'api.internal' = '192.0.2.1'\n[log]\nformat = 'json'\n"
    );
    let loaded = file(&toml).load().expect("a valid configuration");
    let text = print_config(&loaded);
    assert!(
        !text.contains(SECRET) && !format!("{loaded:?}").contains(SECRET),
        "{text}"
    );
    assert!(
        text.contains("[[tokens]]") && text.contains("[origins.\"*.example.com\"]"),
        "{text}"
    );
    assert!(text.contains("# f.toml:5"), "{text}");
    let again = file(&text.replace("(hidden)", SECRET)).load();
    let again = again.expect("what is printed is valid");
    assert_eq!(again.config.log.format, LogFormat::Json);
    let values = |config: &Config| format!("{config:?}");
    assert_eq!(values(&again.config), values(&loaded.config));
}

/// Returns every key of the table `header`, as the message about an unknown key lists them.
fn known_keys(header: &str) -> Vec<String> {
    let found = problems(file(&format!("{header}\nquux-quux-quux-quux = 1")));
    let list = found
        .iter()
        .find_map(|problem| problem.split_once("use one of "));
    let (_, keys) = list.unwrap_or_else(|| panic!("{header}: {found:#?}"));
    keys.split(", ").map(str::to_owned).collect()
}

/// Returns the default of the key at `path`, or none if the key is optional.
fn default_of(defaults: &toml::Table, path: &[&str]) -> Option<String> {
    let (key, tables) = path.split_last()?;
    let table = tables
        .iter()
        .try_fold(defaults, |table, key| match table.get(*key)? {
            toml::Value::Array(items) => items.first()?.as_table(),
            value => value.as_table(),
        })?;
    table.get(*key).map(toml::Value::to_string)
}

#[test]
fn the_reference_has_every_key_and_its_default() {
    let all = Config {
        tokens: vec![TokenSection::default()],
        gateways: vec![GatewaySection::default()],
        ..Config::default()
    };
    let printed = print_config(&Loaded::from(all));
    let defaults: toml::Table = toml::from_str(&printed).expect("what is printed is TOML");
    // The names of tables in the reference, in a file, and in the defaults.
    let tables = [
        ("", "", ""),
        ("tls.", "[tls]", "tls"),
        ("http.", "[http]", "http"),
        ("admin.", "[admin]", "admin"),
        ("admin.tls.", "[admin.tls]", "admin tls"),
        ("relay.", "[relay]", "relay"),
        ("tokens.", "[[tokens]]", "tokens"),
        ("batch.", "[batch]", "batch"),
        ("gateways.", "[[gateways]]", "gateways"),
        (
            "gateways.tls.",
            "[[gateways]]\n[gateways.tls]",
            "gateways tls",
        ),
        (
            "gateways.push-tls.",
            "[[gateways]]\n[gateways.push-tls]",
            "gateways push-tls",
        ),
        ("lanes.NAME.", "[lanes.x]", "lanes default"),
        ("origins.PATTERN.", "[origins.x]", "origins default"),
        ("guard.", "[guard]", "guard"),
        ("fetch.", "[fetch]", "fetch"),
        ("log.", "[log]", "log"),
        ("shutdown.", "[shutdown]", "shutdown"),
    ];
    let mut expected = vec![("hosts.HOST".to_owned(), None)];
    for (prefix, header, at) in tables {
        for key in known_keys(header) {
            let at: Vec<&str> = at.split_whitespace().chain([key.as_str()]).collect();
            let is_table = tables.iter().any(|(_, _, table)| {
                table
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .starts_with(&at)
            });
            let of_items = ["tokens", "gateways"].contains(&key.as_str());
            if (!is_table || of_items) && key != "hosts" {
                expected.push((format!("{prefix}{key}"), default_of(&defaults, &at)));
            }
        }
    }
    let reference = include_str!("../../../../docs/configuration.md");
    let rows: Vec<Vec<&str>> = reference
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect()
        })
        .collect();
    for (key, default) in &expected {
        let row = rows.iter().find(|row| row[1] == key);
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md lacks {key} = {default:?}"));
        let default = match (key.as_str(), default) {
            ("tokens" | "gateways", _) => "[]",
            ("gateways.lane", None) => "its own",
            ("tokens.lanes", None) => "all",
            ("tokens.limits", _) => "those of `relay`",
            ("tokens.name", _) => "none",
            (_, None) => "none",
            (_, Some(default)) => default,
        };
        let default = default.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        assert_eq!(
            row[2],
            default.trim_matches('`'),
            "docs/configuration.md: the default of {key}"
        );
    }
    for row in rows {
        let known = expected.iter().any(|(key, _)| key == row[1]);
        assert!(known, "docs/configuration.md: unknown key {}", row[1]);
    }
}
