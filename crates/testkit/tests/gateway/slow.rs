//! An API that is slow, answers at length, or asks to be left alone; and the lane that messages travel
//! in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fetchway_test_origins::{Api, ApiRequest, ok, status};
use fetchway_testkit::Socket;
use http::Method;
use tokio::sync::Semaphore;

use crate::{gateway, gateway_to};

/// The clocks, caps and limits of the lane that a gateway's messages travel in.
fn lane(settings: &str) -> String {
    format!(
        "lane = \"default\"\non-loss = \"message\"\non-loss-message = \"lost\"\n[lanes.default]\n{settings}"
    )
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_loss() {
    let api = Api::scripted(|request: ApiRequest| async move {
        if request.method == Method::POST && request.body == "slow" {
            std::future::pending::<()>().await;
        }
        match request.method {
            Method::POST => ok(request.body),
            _ => ok("ok"),
        }
    });
    let (node, addr) = gateway(&api, &lane("header-timeout = \"300ms\""));
    let mut client = Socket::connect(addr, "/alice").await;
    for _ in 0..3 {
        client.send("slow").await;
        client.send("fast").await;
        assert_eq!(client.text().await, "lost");
        assert_eq!(client.text().await, "fast");
    }
    drop(client);
    node.stop().await;
}

#[tokio::test]
async fn an_answer_over_the_cap_is_a_loss() {
    let api = Api::scripted(|request: ApiRequest| async move {
        match request.method {
            Method::POST => ok(vec![b'x'; request.body.len() * 100_000]),
            _ => ok("ok"),
        }
    });
    let (node, addr) = gateway(&api, &lane("response-cap = \"256KiB\""));
    let mut client = Socket::connect(addr, "/alice").await;
    for (message, answer) in [("x", 100_000), ("xx", 200_000), ("xxx", 0), ("xx", 200_000)] {
        client.send(message).await;
        let text = client.text().await;
        match answer {
            0 => assert_eq!(text, "lost"),
            len => assert_eq!(text.len(), len),
        }
    }
    drop(client);
    node.stop().await;
}

/// Answers of a megabyte for many at once, with room for a few of them: each waits for its room.
#[tokio::test]
async fn long_answers_share_the_byte_budget() {
    const LEN: usize = 1 << 20;
    let api = Api::scripted(|request: ApiRequest| async move {
        match request.method {
            Method::POST => ok(vec![b'x'; LEN]),
            _ => ok("ok"),
        }
    });
    let toml = "[fetch]\nbody-budget = \"4MiB\"";
    let (node, addr) = gateway_to(&api.url(crate::SCHEME), toml);
    let clients = (0..24).map(|n| async move {
        let mut client = Socket::connect(addr, &format!("/{n}")).await;
        for _ in 0..3 {
            client.send("x").await;
            assert_eq!(client.text().await.len(), LEN);
        }
    });
    futures_util::future::join_all(clients).await;
    node.stop().await;
}

#[tokio::test]
async fn no_more_are_at_the_api_than_the_lane_allows() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let script = (now.clone(), most.clone(), gate.clone());
    let api = Api::scripted(move |request: ApiRequest| {
        let (now, most, gate) = script.clone();
        async move {
            if request.method != Method::POST {
                return ok("ok");
            }
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.acquire().await.expect("open").forget();
            now.fetch_sub(1, Ordering::SeqCst);
            ok(request.body)
        }
    });
    let (node, addr) = gateway(&api, &lane("concurrency = 2"));
    let mut clients = Vec::new();
    for n in 0..8 {
        clients.push(Socket::connect(addr, &format!("/{n}")).await);
    }
    for client in &mut clients {
        client.send("message").await;
    }
    let posts =
        |requests: &[ApiRequest]| requests.iter().filter(|r| r.method == Method::POST).count();
    for answered in 0..8 {
        api.until(|requests| posts(requests) >= (answered + 2).min(8))
            .await;
        gate.add_permits(1);
    }
    for client in &mut clients {
        assert_eq!(client.text().await, "message");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    drop(clients);
    node.stop().await;
}

#[tokio::test]
async fn an_api_that_asks_to_be_left_alone_is() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let api = Api::scripted(move |request: ApiRequest| {
        let first = request.method == Method::POST && count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                let mut answer = status(503, "later");
                let seconds = http::HeaderValue::from_static("1");
                answer.headers_mut().insert("retry-after", seconds);
                return answer;
            }
            match request.method {
                Method::POST => ok(request.body),
                _ => ok("ok"),
            }
        }
    });
    let (node, addr) = gateway(&api, &lane(""));
    let mut client = Socket::connect(addr, "/alice").await;
    client.send("one").await;
    assert_eq!(client.text().await, "lost");
    client.send("two").await;
    node.until_lane(|lane| lane.queued == 1).await;
    assert_eq!(client.text().await, "two");
    drop(client);
    node.stop().await;
}
