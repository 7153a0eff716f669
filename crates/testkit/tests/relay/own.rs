//! A node never fetches from its own listeners, whatever is allowed.

use std::net::UdpSocket;

use fetchway_testkit::{Client, TestNode};

use crate::{failure, origin};

/// All that can be allowed.
const EVERYWHERE: &str = "guard.allow-net = ['0.0.0.0/0', '::/0']";

async fn is_a_loop(client: &mut Client, url: &str) {
    let answer = client.fetch(url).await;
    assert_eq!(failure(&answer), "proxy_loop_detected", "{url}: {answer}");
}

#[tokio::test]
async fn its_own_listeners_are_refused_by_every_name() {
    let toml = format!("{EVERYWHERE}\n[hosts]\n'me.test' = '127.0.0.1'");
    let (node, origin) = (TestNode::configured("127.0.0.1:0", &toml), origin());
    let mut client = node.client().await;
    for port in [node.addr().port(), node.admin().port()] {
        for host in [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "127.1",
            "[::ffff:127.0.0.1]",
            "me.test",
        ] {
            for scheme in ["http", "https"] {
                is_a_loop(&mut client, &format!("{scheme}://{host}:{port}/health")).await;
            }
        }
        let to = format!("http://127.0.0.1:{port}/health");
        is_a_loop(&mut client, &origin.url(&format!("/redirect?to={to}"))).await;
    }
    assert_eq!(
        node.metric("fetchway_connections_accepted_total{listener=\"main\"}")
            .await,
        Some(1.0)
    );
    assert_eq!(client.fetch(&origin.url("/echo")).await["status"], 200);
    drop(client);
    node.stop().await;
}

/// This machine's address towards the world, if it has one.
fn address_of_this_machine() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Sends nothing; it only asks for the route.
    socket.connect("1.1.1.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

#[tokio::test]
async fn a_listener_on_every_address_is_refused_at_every_address() {
    let token = "[[tokens]]\nname = 'ann'\ntoken = 'ta'";
    for (listen, mut hosts) in [
        (
            "0.0.0.0:0",
            vec![
                "127.0.0.1",
                "127.0.0.2",
                "127.45.6.7",
                "0.0.0.0",
                "localhost",
            ],
        ),
        (
            "[::]:0",
            vec![
                "[::1]",
                "[::]",
                "127.0.0.1",
                "127.0.0.2",
                "[::ffff:127.0.0.1]",
                "0",
            ],
        ),
    ] {
        let node = TestNode::configured(listen, &format!("{EVERYWHERE}\n{token}"));
        let mut client = node.client_with("ta").await;
        let own = address_of_this_machine();
        hosts.extend(own.as_deref());
        for host in hosts {
            is_a_loop(
                &mut client,
                &format!("http://{host}:{}/health", node.addr().port()),
            )
            .await;
        }
        drop(client);
        node.stop().await;
    }
}
