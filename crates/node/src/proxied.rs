//! The header by which a proxy says whose connection it passes on (the PROXY protocol), read before
//! anything else of the connection.

use std::net::SocketAddr;

use fetchway_policy::guard::IpNet;
use fetchway_wire::proxy::{MAX_V2, Source, parse};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Reads the PROXY header and returns the client that it names, if it names one. Not one byte after the header is
/// read, because TLS or HTTP follows.
///
/// # Errors
/// Why the connection is to be closed: `peer` is none of `proxies`, and may say what it likes; or what
/// it sends is no header.
pub(crate) async fn client(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxies: &[IpNet],
) -> Result<Option<SocketAddr>, String> {
    let ip = peer.ip().to_canonical();
    if !proxies.iter().any(|net| net.contains(ip)) {
        return Err("it is from none of trusted-proxies".to_owned());
    }
    // The longest header fits, so there is room until the parser has had enough.
    let mut seen = [0; MAX_V2];
    let mut taken = 0;
    loop {
        let more = stream.peek(&mut seen[taken..]).await;
        let more = more.map_err(|error| error.to_string())?;
        if more == 0 {
            return Err("it ended before its PROXY header did".to_owned());
        }
        let header = parse(&seen[..taken + more]).map_err(|wrong| wrong.to_string())?;
        // What is only a part is all of it the header's, and is taken: peeking again shows what is new.
        let end = header.map_or(taken + more, |header| header.len);
        let read = stream.read_exact(&mut seen[taken..end]).await;
        read.map_err(|error| error.to_string())?;
        taken = end;
        match header.map(|header| header.source) {
            Some(Source::Client(client)) => return Ok(Some(client)),
            Some(Source::Nobody) => return Ok(None),
            None => {}
        }
    }
}
