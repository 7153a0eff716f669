//! Messages of one client reach the API in order; different clients never wait for one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fetchway_test_origins::{Api, ok};
use fetchway_testkit::Socket;
use http::Method;
use tokio::sync::Semaphore;

use crate::gateway;

/// An API that accepts at once and lets each message wait for a permit; how many were there at once.
async fn held() -> (Api, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, most) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (permits, peak) = (gate.clone(), most.clone());
    let now = Arc::new(AtomicUsize::new(0));
    let api = Api::scripted(move |request| {
        let (permits, peak, now) = (permits.clone(), peak.clone(), now.clone());
        async move {
            if request.method == Method::POST {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(at_once, Ordering::SeqCst);
                permits.acquire().await.expect("never closed").forget();
                now.fetch_sub(1, Ordering::SeqCst);
                return ok(request.body);
            }
            ok("ok")
        }
    });
    (api, gate, most)
}

#[tokio::test]
async fn messages_come_one_at_a_time_in_order_and_delete_last() {
    let (api, gate, most) = held().await;
    let (node, addr) = gateway(&api, "");
    let mut client = Socket::connect(addr, "/alice").await;
    for at in 0..50 {
        client.send(&at.to_string()).await;
    }
    // The client is gone before the second of its messages can have been sent.
    api.until_count(2).await;
    client.close(1000, "bye").await;
    gate.add_permits(50);
    let requests = api.until_count(52).await;
    let bodies: Vec<String> = requests[1..51].iter().map(|r| r.line()).collect();
    let expected: Vec<String> = (0..50).map(|at| format!("POST /alice {at}")).collect();
    assert_eq!(bodies, expected);
    assert_eq!(requests[51].line(), "DELETE /alice bye");
    assert_eq!(most.load(Ordering::SeqCst), 1);
    node.stop().await;
}

#[tokio::test]
async fn parallel_lets_so_many_be_there_at_once() {
    let (api, gate, most) = held().await;
    let (node, addr) = gateway(&api, "order = \"parallel(4)\"");
    let mut client = Socket::connect(addr, "/alice").await;
    for at in 0..20 {
        client.send(&at.to_string()).await;
    }
    api.until_count(5).await;
    client.close(1000, "bye").await;
    gate.add_permits(20);
    let requests = api.until_count(22).await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    assert_eq!(
        requests[21].line(),
        "DELETE /alice bye",
        "last all the same"
    );
    node.stop().await;
}

#[tokio::test]
async fn one_clients_wait_is_not_anothers() {
    let (gate, permits) = {
        let gate = Arc::new(Semaphore::new(0));
        (gate.clone(), gate)
    };
    let api = Api::scripted(move |request| {
        let permits = permits.clone();
        async move {
            if request.method == Method::POST && request.target == "/slow" {
                permits.acquire().await.expect("never closed").forget();
            }
            match request.method {
                Method::GET => ok("ok"),
                _ => ok(request.body),
            }
        }
    });
    let (node, addr) = gateway(&api, "");
    let mut slow = Socket::connect(addr, "/slow").await;
    let mut fast = Socket::connect(addr, "/fast").await;
    slow.send("waits").await;
    api.until(|requests| {
        requests
            .iter()
            .any(|r| r.target == "/slow" && r.method == Method::POST)
    })
    .await;
    for _ in 0..100 {
        fast.send("quick").await;
        assert_eq!(fast.text().await, "quick");
    }
    gate.add_permits(1);
    assert_eq!(slow.text().await, "waits");
    drop((slow, fast));
    node.stop().await;
}

#[tokio::test]
async fn more_than_may_wait_is_not_read_and_not_lost() {
    let (api, gate, _) = held().await;
    let (node, addr) = gateway(&api, "queue-messages = 2");
    let mut client = Socket::connect(addr, "/alice").await;
    for at in 0..500 {
        client.send(&at.to_string()).await;
    }
    gate.add_permits(500);
    for at in 0..500 {
        assert_eq!(client.text().await, at.to_string());
    }
    drop(client);
    node.stop().await;
}
