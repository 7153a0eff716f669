//! Where a fetch may go: every address is vetted when it is dialled, and a connection serves only the
//! policy that it was dialled under.

use std::net::IpAddr;
use std::sync::Arc;

use fetchway_fetch::Account;
use fetchway_policy::ErrorName;
use fetchway_policy::guard::AddressPolicy;
use fetchway_test_origins::TestOrigin;
use futures_util::future::join_all;

use crate::support::{PLENTY, Rig, config, get, loopback, trusting_origin, whole, with_hosts};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_way_of_writing_a_private_address_is_refused() {
    let rig = Rig::with_policy(config(), AddressPolicy::default());
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "[2002:a00:1::]",
        "[2001:0:0:0:0:0:80ff:fffe]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "localhost",
        "LOCALHOST",
        "127.0.0.1.",
        "１２７.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let name = rig.fails(&format!("{scheme}://{host}:1/")).await;
            assert_eq!(
                name,
                ErrorName::DestinationIpProhibited,
                "{scheme}://{host}"
            );
        }
    }
    assert_eq!(rig.count.opened(), 0);
    rig.finish().await;
}

#[tokio::test]
async fn one_bad_answer_among_good_ones_refuses_the_name() {
    let origin = TestOrigin::builder().start().unwrap();
    let hosts: [(&str, &[IpAddr]); 4] = [
        ("good.test", &[ip("127.0.0.1")]),
        ("bad.test", &[ip("10.0.0.1")]),
        ("mixed.test", &[ip("127.0.0.1"), ip("10.0.0.1")]),
        ("mapped.test", &[ip("::1"), ip("::ffff:10.0.0.1")]),
    ];
    let rig = Rig::new(with_hosts(config(), &hosts));
    rig.get(&origin.url_at("good.test", "/echo")).await.unwrap();
    for host in ["bad.test", "mixed.test", "mapped.test"] {
        let name = rig.fails(&origin.url_at(host, "/echo")).await;
        assert_eq!(name, ErrorName::DestinationIpProhibited, "{host}");
    }
    assert_eq!(origin.stats().connections, 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_further_address_is_tried_when_one_fails() {
    let origin = TestOrigin::builder().start().unwrap();
    // Nothing listens on the first two.
    let hosts: [(&str, &[IpAddr]); 1] =
        [("many.test", &[ip("127.0.0.3"), ip("::1"), ip("127.0.0.1")])];
    let rig = Rig::new(with_hosts(config(), &hosts));
    let whole = rig.get(&origin.url_at("many.test", "/echo")).await.unwrap();
    let port = origin.addr().port();
    assert_eq!(whole.echoed("host"), [format!("many.test:{port}")]);
    rig.finish().await;
}

#[tokio::test]
async fn redirects_are_vetted_like_the_first_url() {
    let origin = TestOrigin::builder().start().unwrap();
    let hosts: [(&str, &[IpAddr]); 2] = [
        ("front.test", &[ip("127.0.0.1")]),
        ("inside.test", &[ip("10.0.0.1")]),
    ];
    let mut policy = loopback();
    policy.deny_hosts = vec!["denied.test".parse().unwrap()];
    let rig = Rig::with_policy(with_hosts(config(), &hosts), policy);
    for (to, name) in [
        ("http://inside.test/", ErrorName::DestinationIpProhibited),
        (
            "http://169.254.169.254/latest/meta-data/",
            ErrorName::DestinationIpProhibited,
        ),
        ("//0xa.1/", ErrorName::DestinationIpProhibited),
        (
            "http://[::ffff:10.0.0.1]/",
            ErrorName::DestinationIpProhibited,
        ),
        ("https://denied.test/", ErrorName::HttpRequestDenied),
        ("ftp://front.test/", ErrorName::HttpRequestDenied),
        ("file:///etc/passwd", ErrorName::HttpRequestDenied),
    ] {
        let path = format!("/redirect?to={to}");
        assert_eq!(
            rig.fails(&origin.url_at("front.test", &path)).await,
            name,
            "{to}"
        );
    }
    assert_eq!(origin.stats().requests, 7, "the first hop of each");
    rig.finish().await;
}

/// Keeps a connection warm for one who may, then asks for one who may not.
async fn warm_connection(origin: TestOrigin, config: fetchway_fetch::EngineConfig) {
    let rig = Rig::new(config);
    let url = origin.url("/echo");
    rig.get(&url).await.unwrap();
    rig.get(&url).await.unwrap();
    let stats = origin.stats();
    assert_eq!((stats.connections, stats.open), (1, 1), "one is warm");
    let strict = Account::open(&rig.engine, rig.network(AddressPolicy::default()), PLENTY);
    let refused = strict
        .queue(get(&url))
        .perform()
        .await
        .expect_err("it may not");
    assert_eq!(refused.name, ErrorName::DestinationIpProhibited);
    // Another that may, under another policy, has a connection of its own.
    let mut other = loopback();
    other.deny_nets.push("10.0.0.0/8".parse().unwrap());
    let other = Account::open(&rig.engine, rig.network(other), PLENTY);
    for connections in [2, 2] {
        whole(other.queue(get(&url)).perform().await.unwrap())
            .await
            .unwrap();
        assert_eq!(origin.stats().connections, connections);
    }
    // The same policy, written again, is the same network.
    let account = Account::open(&rig.engine, rig.network(loopback()), PLENTY);
    whole(account.queue(get(&url)).perform().await.unwrap())
        .await
        .unwrap();
    assert_eq!(origin.stats().connections, 2);
    assert!(Arc::ptr_eq(
        &rig.network(loopback()),
        &rig.network(loopback())
    ));
    drop((strict, other, account));
    rig.finish().await;
}

#[tokio::test]
async fn a_warm_connection_serves_only_its_own_policy() {
    let origin = TestOrigin::builder().start().unwrap();
    warm_connection(origin, config()).await;
    let origin = TestOrigin::builder().tls().start().unwrap();
    let config = trusting_origin(config(), &origin);
    warm_connection(origin, config).await;
}

#[tokio::test]
async fn own_listeners_are_refused_whatever_is_allowed() {
    let origin = TestOrigin::builder().start().unwrap();
    let port = origin.addr().port();
    let hosts: [(&str, &[IpAddr]); 1] = [("self.test", &[ip("127.0.0.1")])];
    let everything = AddressPolicy {
        allow_nets: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..AddressPolicy::default()
    };
    for listener in [origin.addr(), format!("0.0.0.0:{port}").parse().unwrap()] {
        let rig = Rig::with_policy(with_hosts(config(), &hosts), everything.clone());
        let other = TestOrigin::builder().start().unwrap();
        rig.engine.add_own_listener(listener);
        let hosts = [
            "127.0.0.1",
            "0.0.0.0",
            "0",
            "self.test",
            "localhost",
            "[::ffff:127.0.0.1]",
        ];
        let mut urls = hosts
            .map(|host| format!("http://{host}:{port}/echo"))
            .to_vec();
        urls.push(other.url(&format!("/redirect?to={}", origin.url("/echo"))));
        for url in urls {
            assert_eq!(
                rig.fails(&url).await,
                ErrorName::ProxyLoopDetected,
                "{url}, {listener}"
            );
        }
        rig.get(&other.url("/echo")).await.unwrap();
        rig.finish().await;
    }
    assert_eq!(origin.stats().connections, 0);
}

#[tokio::test]
async fn names_are_resolved_once_for_many_dials() {
    let origin = TestOrigin::builder().start().unwrap();
    let rig = Rig::new(config());
    let url = origin.url_at("localhost", "/gate?key=names");
    let all = join_all((0..20).map(|_| rig.get(&url)));
    let open = async {
        origin.wait_until(|stats| stats.in_flight == 20).await;
        origin.open_gate("names").unwrap();
    };
    let (answers, ()) = tokio::join!(all, open);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(
        rig.fails("http://does-not-exist.invalid/").await,
        ErrorName::DnsError
    );
    rig.finish().await;
}

#[tokio::test]
async fn only_http_and_https_are_fetched() {
    let rig = Rig::new(config());
    for url in ["ftp://127.0.0.1/", "ws://127.0.0.1/", "file:///etc/passwd"] {
        assert_eq!(rig.fails(url).await, ErrorName::InvalidRequest);
    }
    rig.finish().await;
}
