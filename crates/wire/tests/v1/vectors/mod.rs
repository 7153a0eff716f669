//! `docs/vectors.json`: each frame as bytes and as JSON, for other implementations to test against.
//!
//! `list` and `odd` define the contents, `describe` the JSON of a frame. The file is committed. After
//! an intended change of the format, write it again with `FETCHWAY_WRITE_VECTORS=1 cargo test --package
//! fetchway-wire --test v1 vectors`.

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

/// Decodes `bytes`, which are one frame.
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

/// Returns the expected contents of the file.
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
        assert_eq!(committed, expected, "{REWRITE}");
    }
    assert_eq!(
        committed.lines().count(),
        expected.lines().count(),
        "{REWRITE}"
    );
}

const REWRITE: &str = "docs/vectors.json differs from the frames that the code writes, and other \
    implementations rely on the file. After an intended change, describe it in docs/protocol.md and run \
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
