//! Runs every committed input through the check of its target.

use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let file = entry.expect("a readable folder").path();
        let input = fs::read(&file).expect("a readable file");
        // Printed first, so that the input is known if the check panics.
        println!("{}", file.display());
        check(&input);
        // Prefixes are further inputs for free, and a common place for errors in decoders.
        for length in 0..input.len().min(512) {
            check(&input[..length]);
        }
        inputs += 1;
    }
    assert!(inputs > 0, "no inputs in {}", folder.display());
}

#[test]
fn batch_output() {
    replay("batch_output", fetchway_fuzz::batch_output);
}

#[test]
fn gateway_reader() {
    replay("gateway_reader", fetchway_fuzz::gateway_reader);
}

#[test]
fn proxy_protocol() {
    replay("proxy_protocol", fetchway_fuzz::proxy_protocol);
}

#[test]
fn relay_json() {
    replay("relay_json", fetchway_fuzz::relay_json);
}

#[test]
fn upstream_h1() {
    replay("upstream_h1", fetchway_fuzz::upstream_h1);
}

#[test]
fn upstream_h2() {
    replay("upstream_h2", fetchway_fuzz::upstream_h2);
}

#[test]
fn v1_frames() {
    replay("v1_frames", fetchway_fuzz::v1_frames);
}

#[test]
fn v1_session() {
    replay("v1_session", fetchway_fuzz::v1_session);
}

#[test]
fn ws_reader() {
    replay("ws_reader", fetchway_fuzz::ws_reader);
}
