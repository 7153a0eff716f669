//! Two connections with one id.

use std::sync::Arc;

use fetchway_test_origins::{Api, ApiRequest, ok, status};
use fetchway_testkit::Socket;
use http::Method;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::{gateway, open_push, push};

/// An API that lets some requests wait for a permit each, and then answers them with `answer`.
async fn held(
    waits: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static,
    answer: &'static str,
) -> (Api, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let permits = gate.clone();
    let api = Api::scripted(move |request| {
        let (waits, permits) = (waits(&request), permits.clone());
        async move {
            if !waits {
                return ok("ok");
            }
            permits.acquire().await.expect("never closed").forget();
            ok(answer)
        }
    });
    (api, gate)
}

/// Whether the API is asked for a client that would replace another.
fn replaces(request: &ApiRequest) -> bool {
    request.method == Method::GET && !request.field("fetchway-replaces").is_empty()
}

#[tokio::test]
async fn the_new_one_takes_over_once_the_api_has_accepted_it() {
    let api = Api::echo();
    let (node, addr) = open_push(&api, "");
    let mut old = Socket::connect(addr, "/alice").await;
    let mut new = Socket::connect(addr, "/alice").await;
    let (code, _) = old.end().await.expect("a Close");
    assert_eq!(code, 4001);
    drop(old);
    assert_eq!(push(addr, "alice", "news").await.0, 200);
    assert_eq!(new.text().await, "news");
    new.send("hello").await;
    assert_eq!(new.text().await, "hello");
    let requests = api.requests();
    assert_eq!(
        requests[1].field("fetchway-replaces"),
        requests[0].field("fetchway-connection")
    );
    new.close(1000, "bye").await;
    api.until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    node.stop().await;
    let lines = [
        "GET /alice",
        "GET /alice",
        "POST /alice hello",
        "DELETE /alice bye",
    ];
    assert_eq!(api.lines(""), lines, "the old one's DELETE is not sent");
}

#[tokio::test]
async fn an_api_that_knows_epochs_hears_of_both_ends() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "epochs = true");
    let mut old = Socket::connect(addr, "/alice").await;
    let new = Socket::connect(addr, "/alice").await;
    assert_eq!(old.end().await.expect("a Close").0, 4001);
    let requests = api
        .until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    let delete = requests.iter().find(|r| r.method == Method::DELETE);
    let delete = delete.expect("a DELETE");
    assert_eq!(
        delete.field("fetchway-epoch"),
        requests[0].field("fetchway-epoch")
    );
    drop(new);
    node.stop().await;
}

#[tokio::test]
async fn one_that_the_api_refuses_replaces_nobody() {
    let api = Api::scripted(|request| async move {
        match (&request.method, request.field("cookie")) {
            (&Method::GET, "bad=1") => status(401, ""),
            (&Method::GET, _) => ok("ok"),
            _ => ok(request.body),
        }
    });
    let (node, addr) = gateway(&api, "");
    let mut old = Socket::connect(addr, "/alice").await;
    let refused = Socket::open(addr, "/alice", &[("cookie", "bad=1")]).await;
    assert_eq!(refused.expect_err("refused").status, 502);
    old.send("still here").await;
    assert_eq!(old.text().await, "still here");
    drop(old);
    node.stop().await;
}

#[tokio::test]
async fn reject_refuses_the_second_one_unasked() {
    let api = Api::echo();
    let (node, addr) = gateway(&api, "duplicate = \"reject\"");
    let first = Socket::connect(addr, "/alice").await;
    let refused = Socket::open(addr, "/alice", &[])
        .await
        .expect_err("refused");
    assert_eq!(refused.status, 409);
    assert_eq!(api.requests().len(), 1);
    first.close(1000, "").await;
    api.until_count(2).await;
    drop(Socket::connect(addr, "/alice").await);
    node.stop().await;
}

#[tokio::test]
async fn many_stay_and_a_push_reaches_all() {
    let api = Api::echo();
    let (node, addr) = open_push(&api, "duplicate = \"many\"");
    let mut first = Socket::connect(addr, "/alice").await;
    let mut second = Socket::connect(addr, "/alice").await;
    assert_eq!(push(addr, "alice", "news").await.0, 200);
    assert_eq!(first.text().await, "news");
    assert_eq!(second.text().await, "news");
    first.close(1000, "one").await;
    assert_eq!(push(addr, "alice", "more").await.0, 200);
    assert_eq!(second.text().await, "more");
    second.close(1000, "two").await;
    api.until(|requests| requests.iter().any(|r| r.method == Method::DELETE))
        .await;
    node.stop().await;
    let deletes = api.lines("");
    let deletes = deletes.iter().filter(|line| line.starts_with("DELETE"));
    assert_eq!(
        deletes.collect::<Vec<_>>(),
        ["DELETE /alice two"],
        "the id's own end"
    );
}

/// The old client vanishes while the API is being asked for the new one: a DELETE now, or one that is
/// on its way, would unregister the new one.
#[tokio::test]
async fn an_old_end_never_unregisters_the_new_one() {
    let (api, gate) = held(replaces, "ok").await;
    let (node, addr) = gateway(&api, "");
    let old = Socket::connect(addr, "/alice").await;
    let connecting = tokio::spawn(Socket::open(addr, "/alice", &[]));
    api.until_count(2).await;
    assert!(old.close(1000, "gone").await.is_some());
    gate.add_permits(1);
    let new = connecting.await.expect("no panic").expect("accepted");
    new.close(1000, "bye").await;
    api.until_count(3).await;
    node.stop().await;
    assert_eq!(
        api.lines(""),
        ["GET /alice", "GET /alice", "DELETE /alice bye"]
    );
}

#[tokio::test]
async fn a_delete_that_waited_is_sent_when_the_new_one_is_refused() {
    let (api, gate) = held(replaces, "no").await;
    let (node, addr) = gateway(&api, "");
    let old = Socket::connect(addr, "/alice").await;
    let connecting = tokio::spawn(Socket::open(addr, "/alice", &[]));
    api.until_count(2).await;
    assert!(old.close(1000, "gone").await.is_some());
    gate.add_permits(1);
    let refused = connecting.await.expect("no panic").expect_err("refused");
    assert_eq!(refused.status, 403);
    api.until_count(3).await;
    assert_eq!(api.lines("")[2], "DELETE /alice gone");
    node.stop().await;
}

/// The DELETE of the old one is at the API when the new one comes.
#[tokio::test]
async fn a_new_one_waits_for_a_delete_that_is_on_its_way() {
    let (api, gate) = held(|request| request.line() == "DELETE /alice gone", "ok").await;
    let (node, addr) = gateway(&api, "");
    let old = Socket::connect(addr, "/alice").await;
    old.close(1000, "gone").await;
    api.until_count(2).await;
    let connecting = tokio::spawn(Socket::open(addr, "/alice", &[]));
    let other = Socket::connect(addr, "/bob").await;
    assert_eq!(api.lines("/alice").len(), 2, "it is not asked for yet");
    gate.add_permits(1);
    let new = connecting.await.expect("no panic").expect("accepted");
    assert_eq!(
        api.lines("/alice"),
        ["GET /alice", "DELETE /alice gone", "GET /alice"]
    );
    drop((new, other));
    node.stop().await;
}

/// A push while a second connection is being asked for is for that one; if it is refused, the first one
/// gets it.
#[tokio::test]
async fn a_push_meant_for_one_that_is_refused_reaches_the_other() {
    let (api, gate) = held(replaces, "no").await;
    let (node, addr) = open_push(&api, "");
    let mut first = Socket::connect(addr, "/alice").await;
    let connecting = tokio::spawn(Socket::open(addr, "/alice", &[]));
    api.until_count(2).await;
    assert_eq!(
        push(addr, "alice", "news").await,
        (202, "queued".to_owned())
    );
    gate.add_permits(1);
    assert!(connecting.await.expect("no panic").is_err());
    assert_eq!(first.text().await, "news");
    drop(first);
    node.stop().await;
}

/// A plain API takes both for one client: what the old connection has sent comes before what the new one
/// sends, and before its end.
#[tokio::test]
async fn a_new_ones_messages_and_end_come_behind_the_old_ones_messages() {
    let (api, gate) = held(|request| request.line() == "POST /alice one", "").await;
    let (node, addr) = gateway(&api, "");
    let mut old = Socket::connect(addr, "/alice").await;
    old.send("one").await;
    old.send("two").await;
    // What is read after it is closed counts no more.
    old.send_message(Message::Ping("read?".into())).await;
    assert_eq!(old.next().await, Ok(Message::Pong("read?".into())));
    api.until_count(2).await;
    let mut new = Socket::connect(addr, "/alice").await;
    assert_eq!(old.end().await.expect("a Close").0, 4001);
    new.send("three").await;
    new.close(1000, "bye").await;
    // Time enough for what must not be sent yet.
    drop(Socket::connect(addr, "/bob").await);
    api.until(|requests| requests.iter().any(|r| r.line() == "DELETE /bob EOF"))
        .await;
    gate.add_permits(1);
    api.until(|requests| requests.iter().any(|r| r.line() == "DELETE /alice bye"))
        .await;
    node.stop().await;
    let lines = [
        "GET /alice",
        "POST /alice one",
        "GET /alice",
        "POST /alice two",
        "POST /alice three",
        "DELETE /alice bye",
    ];
    assert_eq!(api.lines("/alice"), lines);
}

/// With `many` they are several clients, whose messages don't wait; but the id's end does.
#[tokio::test]
async fn the_last_end_of_many_waits_for_all_messages() {
    let (api, gate) = held(|request| request.line() == "POST /alice one", "").await;
    let (node, addr) = gateway(&api, "duplicate = \"many\"");
    let mut first = Socket::connect(addr, "/alice").await;
    let mut second = Socket::connect(addr, "/alice").await;
    first.send("one").await;
    api.until_count(3).await;
    second.send("two").await;
    api.until_count(4).await;
    first.close(1000, "first").await;
    let closed = "fetchway_gateway_connections_closed_total{gateway=\"gateway\"}";
    while node.metric(closed).await != Some(1.0) {}
    second.close(1000, "second").await;
    drop(Socket::connect(addr, "/bob").await);
    api.until(|requests| requests.iter().any(|r| r.line() == "DELETE /bob EOF"))
        .await;
    assert_eq!(
        api.lines("/alice").last().map(String::as_str),
        Some("POST /alice two")
    );
    gate.add_permits(1);
    api.until(|requests| requests.iter().any(|r| r.line() == "DELETE /alice second"))
        .await;
    node.stop().await;
}

/// The DELETE of the one that ended first was not sent, as the other was there: then the other's is.
#[tokio::test]
async fn of_many_the_end_of_the_last_is_heard_whatever_the_others_still_wait_for() {
    let (api, gate) = held(|request| request.line() == "POST /alice two", "").await;
    let (node, addr) = gateway(&api, "duplicate = \"many\"");
    let first = Socket::connect(addr, "/alice").await;
    let mut second = Socket::connect(addr, "/alice").await;
    second.send("two").await;
    api.until_count(3).await;
    second.close(1000, "second").await;
    let closed = "fetchway_gateway_connections_closed_total{gateway=\"gateway\"}";
    while node.metric(closed).await != Some(1.0) {}
    first.close(1000, "first").await;
    while node.metric(closed).await != Some(2.0) {}
    drop(Socket::connect(addr, "/bob").await);
    api.until(|requests| requests.iter().any(|r| r.line() == "DELETE /bob EOF"))
        .await;
    assert_eq!(
        api.lines("/alice").len(),
        3,
        "it waits for the other's message"
    );
    gate.add_permits(1);
    api.until(|requests| requests.iter().any(|r| r.line() == "DELETE /alice first"))
        .await;
    node.stop().await;
    assert_eq!(
        api.lines("/alice").len(),
        4,
        "one DELETE, {:?}",
        api.lines("")
    );
}

/// It is remembered that a client was there though another with its id has been refused since.
#[tokio::test]
async fn one_that_has_gone_is_gone_whoever_was_refused_since() {
    let (api, gate) = held(replaces, "no").await;
    let (node, addr) = open_push(&api, "epochs = true");
    let first = Socket::connect(addr, "/alice").await;
    let connecting = tokio::spawn(Socket::open(addr, "/alice", &[]));
    api.until_count(2).await;
    first.close(1000, "").await;
    api.until_count(3).await;
    while node
        .metric("fetchway_gateway_pending_deletes{gateway=\"gateway\"}")
        .await
        != Some(0.0)
    {}
    gate.add_permits(1);
    assert!(connecting.await.expect("no panic").is_err());
    assert_eq!(push(addr, "alice", "late").await, (410, "gone".to_owned()));
    node.stop().await;
}
