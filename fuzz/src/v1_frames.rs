//! The decoder of binary frames.

use bytes::{Bytes, BytesMut};
use fetchway_wire::v1::block::{MAX_BLOCK, put_trailers, read_trailers};
use fetchway_wire::v1::frame::Part;
use fetchway_wire::v1::{Frame, MAX_MESSAGE, RequestHead, ResponseHead, decode};

/// Any bytes are frames or are refused. A decoded frame encodes to no more than the maximum length of a
/// frame, and decodes to the same frame; so do the heads and trailers in it.
pub fn v1_frames(input: &[u8]) {
    let mut message = Bytes::copy_from_slice(input);
    loop {
        let before = message.len();
        match decode(&mut message) {
            Ok(Some(frame)) => {
                assert!(message.len() < before, "a frame without a length");
                again(&frame);
            }
            Ok(None) => {
                assert!(message.is_empty(), "bytes are left over");
                return;
            }
            Err(malformed) => {
                assert!(!malformed.0.is_empty(), "a refusal without a reason");
                return;
            }
        }
    }
}

fn again(frame: &Frame) {
    if matches!(frame, Frame::Unknown { .. }) {
        return;
    }
    let mut out = BytesMut::new();
    frame.put(&mut out);
    assert!(out.len() <= 16 << 10, "a frame of {} bytes", out.len());
    assert!(out.len() <= MAX_MESSAGE);
    let mut bytes = out.freeze();
    assert_eq!(decode(&mut bytes).as_ref(), Ok(&Some(frame.clone())));
    assert!(bytes.is_empty(), "it encodes to more than itself");
    if let Frame::Block { part, block, .. } = frame {
        read(*part, block);
    }
}

fn read(part: Part, block: &[u8]) {
    let mut out = BytesMut::new();
    match part {
        Part::Open => {
            if let Ok(head) = RequestHead::read(block) {
                assert_eq!(head.check(), Ok(()), "it was read and may not be sent");
                head.put(&mut out);
                assert_eq!(RequestHead::read(&out), Ok(head));
            }
        }
        Part::Head => {
            if let Ok(head) = ResponseHead::read(block) {
                head.put(&mut out);
                assert_eq!(ResponseHead::read(&out), Ok(head));
            }
        }
        Part::Trailers | Part::More => {
            if let Ok(trailers) = read_trailers(block) {
                put_trailers(&mut out, &trailers);
                assert_eq!(read_trailers(&out), Ok(trailers));
            }
        }
    }
    assert!(out.len() <= MAX_BLOCK, "a block of {} bytes", out.len());
}
