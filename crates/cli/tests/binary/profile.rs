//! The allocator that the binary ships with is set up as it was meant to be.

use fetchway_testkit::http;

use crate::serve::Serve;

#[tokio::test]
async fn the_binary_gives_heap_profiles() {
    let node = Serve::start().await;
    let (status, profile) = http(node.admin, "GET /debug/pprof/heap HTTP/1.1").await;
    assert_eq!(status, 200, "{profile}");
    assert!(profile.starts_with('\u{1f}'), "it is gzipped");
}
