//! CPU and heap profiles over real TCP.

use crate::client::{send, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_are_served_one_at_a_time() {
    let node = start("");
    let admin = node.admin_addr().expect("an admin listener");
    let ballast: Vec<Vec<u8>> = (0..1_000).map(|i| vec![1; 1_000 + i]).collect();
    let heap = send(admin, "GET /debug/pprof/heap", &[]).await;
    assert_eq!(heap.status, 200, "{}", String::from_utf8_lossy(&heap.body));
    assert!(heap.body.starts_with(&[0x1f, 0x8b]), "it is gzipped");
    assert_eq!(ballast.len(), 1_000);

    let (first, second) = tokio::join!(
        send(admin, "GET /debug/pprof/profile?seconds=1", &[]),
        send(admin, "GET /debug/pprof/profile?seconds=1", &[]),
    );
    let mut answers = [first, second];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 429]);
    // A pprof Profile begins with its field 1, a length-delimited sample type.
    assert_eq!(answers[0].body.first(), Some(&0x0a));
    let again = send(admin, "GET /debug/pprof/profile?seconds=1", &[]).await;
    assert_eq!(again.status, 200, "the turn is free again");
}
