//! Tests of the decoder: limits, violations, and any slicing of the bytes.

use proptest::prelude::*;

use super::*;
use crate::frame::put_frame;

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn drain(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Result<Vec<Event>, ProtocolError> {
    let mut buffer = BytesMut::new();
    let mut events = Vec::new();
    for slice in bytes.chunks(step.max(1)) {
        buffer.extend_from_slice(slice);
        while let Some(event) = decoder.decode(&mut buffer)? {
            events.push(event);
        }
    }
    Ok(events)
}

fn message(text: bool, data: &[u8]) -> Event {
    Event::Message(Message {
        text,
        data: data.into(),
    })
}

#[test]
fn a_control_frame_may_stand_between_fragments() {
    let mut bytes = BytesMut::new();
    let first = Header {
        fin: false,
        opcode: Opcode::Text,
        len: 2,
        mask: None,
    };
    first.put(&mut bytes);
    bytes.extend_from_slice(b"ab");
    put_frame(&mut bytes, Opcode::Ping, b"p", None);
    put_frame(&mut bytes, Opcode::Continuation, b"c", None);
    let events = drain(&mut Decoder::new(Role::Client, 10), &bytes, 1).unwrap();
    assert_eq!(
        events,
        [Event::Ping(Bytes::from_static(b"p")), message(true, b"abc")]
    );
}

#[test]
fn a_message_over_the_limit_is_skipped_and_the_next_one_read() {
    for step in [1, 7, 1000] {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, Opcode::Binary, &[9; 300], KEY);
        put_frame(&mut bytes, Opcode::Text, b"next", KEY);
        let mut decoder = Decoder::new(Role::Server, 299);
        let events = drain(&mut decoder, &bytes, step).unwrap();
        assert_eq!(events, [Event::TooLong(300), message(true, b"next")]);
    }
}

#[test]
fn an_early_decoder_reports_the_header_and_skips_the_payload() {
    let mut bytes = BytesMut::new();
    let piece = |fin, opcode, len| Header {
        fin,
        opcode,
        len,
        mask: KEY,
    };
    piece(false, Opcode::Binary, 200).put(&mut bytes);
    bytes.extend_from_slice(&[0; 200]);
    piece(false, Opcode::Continuation, 100).put(&mut bytes);
    let mut decoder = Decoder::early(Role::Server, 299);
    let told = decoder.decode(&mut bytes);
    assert_eq!(
        told,
        Ok(Some(Event::TooLong(300))),
        "nothing of it is there yet"
    );
    assert_eq!(decoder.buffered(), 0);
    bytes.extend_from_slice(&[0; 100]);
    put_frame(&mut bytes, Opcode::Ping, b"", KEY);
    put_frame(&mut bytes, Opcode::Continuation, &[0; 9], KEY);
    put_frame(&mut bytes, Opcode::Text, b"next", KEY);
    let events = drain(&mut decoder, &bytes, 1000);
    assert_eq!(
        events,
        Ok(vec![Event::Ping(Bytes::new()), message(true, b"next")])
    );
}

#[test]
fn breaches_are_named_with_their_close_code() {
    let unmasked = b"\x81\x01a".as_slice();
    let cases: [(&[u8], CloseCode); 7] = [
        (unmasked, CloseCode::Protocol),
        (b"\x80\x81\0\0\0\0a", CloseCode::Protocol),
        (b"\xC1\x81\0\0\0\0a", CloseCode::Protocol),
        (b"\x83\x81\0\0\0\0a", CloseCode::Protocol),
        (b"\x09\x80\0\0\0\0", CloseCode::Protocol),
        (b"\x81\x81\0\0\0\0\xFF", CloseCode::InvalidPayload),
        (b"\x88\x82\0\0\0\0\x03\xEE", CloseCode::Protocol),
    ];
    for (bytes, code) in cases {
        let error = drain(&mut Decoder::new(Role::Server, 100), bytes, 100).unwrap_err();
        assert_eq!(error.code, code, "{bytes:?}: {error}");
    }
}

#[test]
fn a_text_is_refused_with_the_byte_that_is_no_utf8() {
    let mut bytes = BytesMut::new();
    Header {
        fin: false,
        opcode: Opcode::Text,
        len: 100,
        mask: None,
    }
    .put(&mut bytes);
    let mut decoder = Decoder::new(Role::Client, 1000);
    // The first two bytes of a character, which could be one, then a third that cannot follow.
    for good in [b"\xce\xba".as_slice(), b"\xf4", b"\x8f"] {
        bytes.extend_from_slice(good);
        assert_eq!(decoder.decode(&mut bytes), Ok(None));
    }
    bytes.extend_from_slice(b"a");
    let error = decoder.decode(&mut bytes).unwrap_err();
    assert_eq!(error.code, CloseCode::InvalidPayload);
}

proptest! {
    #[test]
    fn any_slicing_gives_the_same_events(
        messages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(0u8..128, 0..400)), 0..8),
        step in 1usize..50,
    ) {
        let mut bytes = BytesMut::new();
        for (text, data) in &messages {
            let opcode = if *text { Opcode::Text } else { Opcode::Binary };
            put_frame(&mut bytes, opcode, data, KEY);
        }
        let events = drain(&mut Decoder::new(Role::Server, 1000), &bytes, step).unwrap();
        let expected: Vec<Event> = messages.iter().map(|(t, d)| message(*t, d)).collect();
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic_nor_pass_the_limit(bytes: Vec<u8>, step in 1usize..20) {
        let mut decoder = Decoder::new(Role::Server, 64);
        if let Ok(events) = drain(&mut decoder, &bytes, step) {
            for event in events {
                if let Event::Message(m) = event { prop_assert!(m.data.len() <= 64); }
            }
        }
        prop_assert!(decoder.buffered() <= 64);
    }
}
