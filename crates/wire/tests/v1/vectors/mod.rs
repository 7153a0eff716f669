//! `docs/vectors.json`: each frame as bytes and as JSON, for other implementations to test against.
//!
//! `list` and `odd` say what is in it, `describe` how a frame looks in JSON. The file is committed: where the
//! format changes on purpose, `FETCHWAY_WRITE_VECTORS=1 cargo test --package fetchway-wire --test v1
//! vectors` writes it anew.

mod describe;
mod list;
mod odd;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::{Frame, decode};
use serde_json::{Value, json};

use self::describe::{Described, describe};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors.json")
}

fn encode(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.put(&mut out);
    out.freeze()
}

/// The one frame that `bytes` are.
fn whole(bytes: &Bytes) -> Result<Frame, String> {
    let mut message = bytes.clone();
    let frame = decode(&mut message).map_err(|malformed| malformed.0.to_owned())?;
    match frame {
        Some(frame) if message.is_empty() => Ok(frame),
        _ => Err("not one frame".to_owned()),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text
}

fn unhex(text: &str) -> Bytes {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hex digits");
            u8::from_str_radix(pair, 16).expect("hex digits")
        })
        .collect()
}

/// The file as it should be.
fn text() -> String {
    let mut lines = Vec::new();
    for (name, frame) in list::frames() {
        let described = describe(&frame).expect("a frame that can be read");
        lines.push(format!(
            r#"{{"name": {}, "hex": "{}", "frame": {described}}}"#,
            json!(name),
            hex(&encode(&frame)),
        ));
    }
    for (name, bytes) in odd::decoded_only() {
        let described = whole(&bytes).and_then(|frame| describe(&frame));
        lines.push(format!(
            r#"{{"name": {}, "hex": "{}", "decodeOnly": true, "frame": {}}}"#,
            json!(name),
            hex(&bytes),
            described.expect("a frame that can be read"),
        ));
    }
    for (name, bytes) in odd::malformed() {
        let error = whole(&bytes).and_then(|frame| describe(&frame));
        lines.push(format!(
            r#"{{"name": {}, "hex": "{}", "error": {}}}"#,
            json!(name),
            hex(&bytes),
            json!(error.expect_err(name)),
        ));
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[test]
fn the_committed_vectors_are_what_we_speak() {
    let expected = text();
    if std::env::var_os("FETCHWAY_WRITE_VECTORS").is_some() {
        fs::write(file(), &expected).expect("docs/ can be written to");
    }
    let committed = fs::read_to_string(file()).unwrap_or_default();
    for (committed, expected) in committed.lines().zip(expected.lines()) {
        assert_eq!(committed, expected, "{ANEW}");
    }
    assert_eq!(
        committed.lines().count(),
        expected.lines().count(),
        "{ANEW}"
    );
}

const ANEW: &str = "docs/vectors.json differs from what the code speaks. Other implementations hold to \
    it: if the format was to change, say so in docs/protocol.md and write the file anew with \
    FETCHWAY_WRITE_VECTORS=1 cargo test --package fetchway-wire --test v1 vectors";

#[test]
fn every_vector_decodes_and_encodes() {
    let committed = fs::read_to_string(file()).expect("docs/vectors.json");
    let vectors: Vec<Value> = serde_json::from_str(&committed).expect("JSON");
    assert!(vectors.len() > 60, "{} vectors", vectors.len());
    for vector in &vectors {
        let (name, bytes) = (&vector["name"], unhex(vector["hex"].as_str().expect("hex")));
        let decoded = whole(&bytes);
        let described: Described = decoded.clone().and_then(|frame| describe(&frame));
        if let Some(error) = vector["error"].as_str() {
            assert_eq!(described, Err(error.to_owned()), "{name}");
            continue;
        }
        assert_eq!(described.as_ref(), Ok(&vector["frame"]), "{name}");
        if vector["decodeOnly"] != true {
            let again = encode(&decoded.expect("seen above"));
            assert_eq!(hex(&again), hex(&bytes), "{name}");
        }
    }
}
