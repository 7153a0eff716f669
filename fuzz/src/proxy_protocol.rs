//! The header in which a proxy names the client of a connection.

use fetchway_wire::proxy::{InvalidHeader, MAX_V1, MAX_V2, Source, parse};

/// For any pieces of a header: the parser asks for more bytes until the header is complete, within its
/// limit; a result never changes; and a line that names a client equals the line that would be written
/// for the client.
pub fn proxy_protocol(input: &[u8]) {
    let mut said = None;
    for end in 0..=input.len().min(MAX_V2 + 1) {
        let now = parse(&input[..end]);
        match (said, now) {
            (None, Ok(None)) => assert!(end < MAX_V2, "more is asked for without end"),
            (None, Ok(Some(header))) => {
                assert_eq!(header.len, end, "it was whole before");
                said = Some(now);
            }
            (None, Err(InvalidHeader(why))) => {
                assert!(!why.is_empty(), "a refusal without a reason");
                said = Some(now);
            }
            (Some(before), now) => assert_eq!(before, now, "something else after {end} bytes"),
        }
    }
    let Some(Ok(Some(header))) = said else {
        return;
    };
    if input.starts_with(b"PROXY ") {
        assert!(header.len <= MAX_V1, "a line over its bound");
        assert!(input[..header.len].ends_with(b"\r\n"), "no line");
        if let Source::Client(client) = header.source {
            let line = str::from_utf8(&input[..header.len]).expect("digits and dots");
            let mut words = line.trim_end().split(' ').skip(2);
            let ip = words.next().and_then(|word| word.parse().ok());
            assert_eq!(ip, Some(client.ip()), "{line}");
            let port = words.nth(1).and_then(|word| word.parse().ok());
            assert_eq!(port, Some(client.port()), "{line}");
        }
    }
}
