//! What a client of the relay sees: a real node, real sockets, test origins.

mod answers;
mod batches;
mod bodies;
mod control;
mod doors;
mod fields;
mod frames;
mod guard;
mod ids;
mod limits;
mod own;
mod refusals;
mod sharing;
mod shutdown;

use std::path::{Path, PathBuf};

use fetchway_test_origins::TestOrigin;
use serde_json::Value;

/// An HTTP/1.1 origin on a free port of 127.0.0.1.
pub(crate) fn origin() -> TestOrigin {
    TestOrigin::builder().start().expect("a free port")
}

/// An origin that speaks HTTP/2 over TLS, and the file of the authority that a node must trust.
pub(crate) fn tls_origin(test: &str) -> (TestOrigin, PathBuf) {
    let origin = TestOrigin::builder().tls().start().expect("a free port");
    let ca = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ca-of-{test}.pem"));
    let pem = origin.certificate().expect("it speaks TLS").ca_pem();
    std::fs::write(&ca, pem).expect("a temporary file");
    (origin, ca)
}

/// The error's name, of an answer that has all that a failed fetch's answer has.
#[track_caller]
pub(crate) fn failure(answer: &Value) -> &str {
    assert_eq!(answer["status"], 0, "{answer}");
    assert_eq!(answer["headers"], serde_json::json!({}), "{answer}");
    assert_eq!(answer["body"], "", "{answer}");
    let sentence = answer["error"].as_str().expect("a message");
    assert!(sentence.len() > 10, "{answer}");
    answer["errorCode"].as_str().expect("a name")
}

/// The timing's three numbers; the duration is what lies between the other two.
#[track_caller]
pub(crate) fn timing(answer: &Value) -> [u64; 3] {
    let [start, end, duration] = ["start", "end", "duration"].map(|name| {
        let number = answer["timing"][name].as_u64();
        number.unwrap_or_else(|| panic!("{name} of {answer}"))
    });
    assert_eq!(end - start, duration, "{answer}");
    [start, end, duration]
}
