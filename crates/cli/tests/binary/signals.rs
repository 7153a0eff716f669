//! SIGTERM finishes what is in flight; a second one ends it at once; SIGHUP ends nothing.

use fetchway_test_origins::TestOrigin;
use serde_json::json;

use crate::serve::Serve;

#[tokio::test]
async fn sigterm_answers_all_that_is_in_flight_and_exits_0() {
    let (node, origin) = (
        Serve::start().await,
        TestOrigin::builder().start().expect("an origin"),
    );
    let mut client = node.client().await;
    for id in 0..500 {
        client
            .get(id, &origin.url(&format!("/gate?key=k&id={id}")))
            .await;
    }
    origin.wait_until(|stats| stats.in_flight == 500).await;
    node.signal("HUP").await;
    node.signal("TERM").await;
    node.leaving().await;
    client.get("late", &origin.url("/echo")).await;
    let refused = client.next().await;
    assert_eq!(
        (&refused["id"], &refused["errorCode"]),
        (&json!("late"), &json!("destination_unavailable"))
    );
    origin.open_gate("k").expect("few keys");
    let mut seen = vec![false; 500];
    for _ in 0..500 {
        let answer = client.next().await;
        assert_eq!(answer["status"], 200, "{answer}");
        let id = usize::try_from(answer["id"].as_u64().expect("a number")).expect("small");
        assert!(
            !std::mem::replace(&mut seen[id], true),
            "{id} was answered twice"
        );
    }
    let close = client.frame().await.expect("a Close");
    assert!(format!("{close:?}").contains("Away"), "{close:?}");
    drop(client);
    assert_eq!(node.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let (node, origin) = (
        Serve::start().await,
        TestOrigin::builder().start().expect("an origin"),
    );
    let mut client = node.client().await;
    for id in 0..20 {
        client.get(id, &origin.url("/gate?key=never")).await;
    }
    origin.wait_until(|stats| stats.in_flight == 20).await;
    node.signal("TERM").await;
    node.leaving().await;
    node.signal("TERM").await;
    assert_eq!(node.ended().await.code(), Some(130));
    origin.wait_until(|stats| stats.in_flight == 0).await;
}
