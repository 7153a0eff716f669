//! WebSocket-over-HTTP, which Pushpin speaks to an API: a request's body holds events of one client,
//! the answer's body holds events for it.
//!
//! ```text
//! OPEN\r\n            TEXT 5\r\nhello\r\n            CLOSE 2\r\n\x03\xE8\r\n
//! ```
//!
//! The length is hexadecimal. `OPEN` is what a GET is otherwise, `TEXT` and `BINARY` are a POST each,
//! `CLOSE` and `DISCONNECT` a DELETE. Such a request is asked for by its content type, over HTTP/1.1;
//! no script sees it. The extension `grip`, by which an API takes part in Pushpin's channels, is not
//! answered: what is echoed is all there is.

use super::account::Verb;

/// The content type of requests and answers.
pub(super) const TYPE: &[u8] = b"application/websocket-events";

/// A status and a sentence for a body that can't be answered.
type Refused = (u16, &'static str);

/// Puts the answer's body to `output`; each event that is one of a client's requests is entered.
pub(super) fn answer(
    mut body: &[u8],
    mut enter: impl FnMut(Verb) -> Result<(), Refused>,
    output: &mut Vec<u8>,
) -> Result<(), Refused> {
    while !body.is_empty() {
        let (event, rest) = event(body).ok_or((400, "the body is not made of events"))?;
        let whole = &body[..body.len() - rest.len()];
        match event {
            b"OPEN" => {
                enter(Verb::Connect)?;
                output.extend_from_slice(whole);
            }
            b"TEXT" | b"BINARY" => {
                enter(Verb::Message)?;
                output.extend_from_slice(whole);
            }
            b"CLOSE" => {
                enter(Verb::Delete)?;
                output.extend_from_slice(whole);
            }
            b"DISCONNECT" => enter(Verb::Delete)?,
            b"PING" => {
                output.extend_from_slice(b"PO");
                output.extend_from_slice(&whole[2..]);
            }
            // PONG, and what is not known.
            _ => {}
        }
        body = rest;
    }
    Ok(())
}

/// The first event's name, and what stands behind the event.
fn event(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.windows(2).position(|end| end == b"\r\n")?;
    let (line, rest) = (&body[..end], &body[end + 2..]);
    let Some(blank) = line.iter().position(|byte| *byte == b' ') else {
        return Some((line, rest));
    };
    let digits = std::str::from_utf8(&line[blank + 1..]).ok()?;
    let length = usize::from_str_radix(digits, 16).ok()?;
    let (_, rest) = rest.split_at_checked(length)?;
    Some((&line[..blank], rest.strip_prefix(b"\r\n")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &[u8]) -> Result<(Vec<Verb>, Vec<u8>), Refused> {
        let (mut entered, mut output) = (Vec::new(), Vec::new());
        let enter = |verb| {
            entered.push(verb);
            Ok(())
        };
        answer(body, enter, &mut output).map(|()| (entered, output))
    }

    #[test]
    fn messages_come_back_and_the_end_is_noted() {
        let body = b"OPEN\r\nTEXT c\r\nhello\r\nworld\r\nPING 1\r\na\r\nBINARY 0\r\n\r\nPONG\r\n";
        let (entered, output) = answered(body).expect("events");
        assert_eq!(entered, [Verb::Connect, Verb::Message, Verb::Message]);
        let echo = b"OPEN\r\nTEXT c\r\nhello\r\nworld\r\nPONG 1\r\na\r\nBINARY 0\r\n\r\n";
        assert_eq!(output, echo);
        let (entered, output) = answered(b"DISCONNECT\r\n").expect("an event");
        assert_eq!((&entered[..], &output[..]), (&[Verb::Delete][..], &[][..]));
        let (entered, _) = answered(b"CLOSE 2\r\n\x03\xE8\r\n").expect("an event");
        assert_eq!(entered, [Verb::Delete]);
    }

    #[test]
    fn what_is_cut_or_no_event_is_refused() {
        for body in [
            &b"TEXT 5\r\nhell"[..],
            b"TEXT 5\r\nhello!",
            b"TEXT x\r\n",
            b"OPEN",
        ] {
            assert_eq!(answered(body).err().map(|refused| refused.0), Some(400));
        }
    }
}
