//! Tests of the crowd with a small gateway that echoes messages itself, and with faulty ones.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use fetchway_ws::{Decoder, Event, Opcode, Receiver, Role, put_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as AsyncMutex;

use super::slow::Slow;
use super::{Coming, Crowd, Gateway, Gauge, post};
use crate::Volume;
use crate::swarm::Stop;

/// Fault of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Changes,
    Repeats,
    Closes,
    Refuses,
    /// Delivers pushes, but answers that they were refused.
    Denies,
}

/// Server that answers handshakes, echoes messages and POSTs, and delivers pushes.
#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    fault: Fault,
    clients: Arc<Mutex<HashMap<String, Arc<AsyncMutex<OwnedWriteHalf>>>>>,
    pongs: Arc<AtomicUsize>,
}

impl Server {
    async fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let server = Self {
            addr: listener.local_addr().expect("a bound listener"),
            fault,
            clients: Arc::default(),
            pongs: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client may drop its connection.
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut input = BytesMut::new();
        loop {
            let Some(end) = input.windows(4).position(|end| end == b"\r\n\r\n") else {
                if stream.read_buf(&mut input).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let head = String::from_utf8_lossy(&input.split_to(end + 4)).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if head.contains("Upgrade: websocket") {
                return self.websocket(stream, &path, input).await;
            }
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: "));
            let length = length.map_or(0, |length| length.parse().expect("a length"));
            while input.len() < length {
                stream.read_buf(&mut input).await?;
            }
            let client = self.clients.lock().expect("whole").get(&path).cloned();
            let mut answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned();
            if let Some(client) = client {
                let mut frame = BytesMut::new();
                put_frame(&mut frame, Opcode::Text, &input[..length], None);
                client.lock().await.write_all(&frame).await?;
                if self.fault == Fault::Denies {
                    answer = answer.replace("200 OK", "429 Too Many Requests");
                }
            } else {
                // Not a client's path: the server acts as an API that echoes.
                let body = String::from_utf8_lossy(&input[..length]);
                answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            }
            input.advance(length);
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    async fn websocket(
        self,
        mut stream: TcpStream,
        path: &str,
        input: BytesMut,
    ) -> std::io::Result<()> {
        if self.fault == Fault::Refuses {
            let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
            return stream.write_all(refusal).await;
        }
        let accepted =
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x89\x02hi";
        stream.write_all(accepted).await?;
        let (read, write) = stream.into_split();
        let write = Arc::new(AsyncMutex::new(write));
        let client = Arc::clone(&write);
        (self.clients.lock().expect("whole")).insert(path.to_owned(), client);
        let mut receiver = Receiver::new(read, input, Decoder::new(Role::Server, 1 << 20));
        while let Some(event) = receiver.next().await? {
            let mut out = BytesMut::new();
            match event {
                Event::Message(mut message) => {
                    let opcode = if message.text {
                        Opcode::Text
                    } else {
                        Opcode::Binary
                    };
                    if self.fault == Fault::Changes {
                        message.data[50] ^= 1;
                    }
                    put_frame(&mut out, opcode, &message.data, None);
                    match self.fault {
                        Fault::Repeats => put_frame(&mut out, opcode, &message.data, None),
                        Fault::Closes => {
                            out.clear();
                            put_frame(&mut out, Opcode::Close, &[0x0F, 0xA1], None);
                        }
                        _ => {}
                    }
                }
                Event::Pong(payload) => {
                    assert_eq!(&payload[..], b"hi");
                    self.pongs.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
            write.lock().await.write_all(&out).await?;
        }
        Ok(())
    }
}

/// Runs `work` with a crowd at such servers, on a separate thread.
async fn crowd<T: Send + 'static>(
    servers: &[&Server],
    work: impl FnOnce(&mut Crowd) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let gateways = servers.iter().map(|server| Gateway {
        addr: server.addr,
        push: server.addr,
    });
    let stop = Stop::default();
    let mut crowd = Crowd::new(gateways.collect(), None, 7, true, &stop)?;
    let done = tokio::task::spawn_blocking(move || work(&mut crowd));
    done.await.expect("no panic")
}

const COMING: Coming = Coming {
    rate: 0.0,
    at_once: 16,
};

#[tokio::test]
async fn every_message_and_push_arrives_and_is_counted() {
    let (one, two) = (
        Server::start(Fault::None).await,
        Server::start(Fault::None).await,
    );
    crowd(&[&one, &two], |crowd| {
        crowd.grow(30, COMING)?;
        crowd.grow(50, COMING)?;
        assert_eq!(crowd.message_each(0..50, 7, 4_096)?.requests, 50);
        let pushed = crowd.push_each(0..50, 128)?;
        assert_eq!((pushed.run.requests, pushed.answers.sent), (50, 50));
        assert_eq!(crowd.echo(0, 8, 1_001, 128)?.requests, 1_001);
        let (run, _) = crowd.every(Duration::from_millis(50), Duration::from_millis(200), 64)?;
        assert_eq!(run.requests, 200);
        crowd.reconnect(Duration::from_millis(50), 128)?;
        crowd.echo(0, 50, 500, 200_000)?;
        crowd.ensure_complete()
    })
    .await
    .expect("no fault");
    let pongs = one.pongs.load(Ordering::Relaxed) + two.pongs.load(Ordering::Relaxed);
    assert_eq!(pongs, 100, "each connection answers its ping");
}

#[tokio::test]
async fn slow_clients_get_what_was_accepted_once_they_read() {
    let server = Server::start(Fault::None).await;
    let slowed = crowd(&[&server], |crowd| {
        crowd.set_afar(3);
        crowd.grow(10, COMING)?;
        let slow = Slow {
            clients: 3,
            rate: 300.0,
            size: 1_000,
            senders: 7,
            time: Duration::from_millis(100),
            rounds: 2,
        };
        let slowed = crowd.slow(&slow, Gauge::new(None)?)?;
        crowd.ensure_complete()?;
        Ok(slowed)
    })
    .await
    .expect("no fault");
    let answers = slowed.answers;
    assert!(
        answers.sent > 0 && answers.sent == answers.total(),
        "{answers}"
    );
    assert!(
        slowed.arrived > answers.sent,
        "clients that read receive pushes too"
    );
}

#[tokio::test]
async fn a_push_that_was_refused_must_not_arrive() {
    let server = Server::start(Fault::Denies).await;
    let done = crowd(&[&server], |crowd| {
        crowd.grow(2, COMING)?;
        let slow = Slow {
            clients: 1,
            rate: 300.0,
            size: 1_000,
            senders: 1,
            time: Duration::from_millis(100),
            rounds: 1,
        };
        crowd.slow(&slow, Gauge::new(None)?)
    })
    .await;
    let error = done.err().expect("a detected fault");
    assert!(format!("{error:#}").contains("or other ones"), "{error:#}");
}

#[tokio::test]
async fn what_a_server_does_wrong_is_seen() {
    for (fault, sign) in [
        (Fault::Changes, "changed on the way"),
        (Fault::Repeats, "out of order, lost or twice"),
        (Fault::Closes, "closed with Some(4001)"),
        (Fault::Refuses, "refused with 403"),
    ] {
        let server = Server::start(fault).await;
        let done = crowd(&[&server], |crowd| {
            crowd.grow(2, COMING)?;
            crowd.echo(0, 2, 10, 128)
        })
        .await;
        let Err(error) = done else {
            panic!("{fault:?} was not detected");
        };
        assert!(format!("{error:#}").contains(sign), "{error:#}");
    }
}

#[tokio::test]
async fn posts_come_back_too() {
    let server = Server::start(Fault::None).await;
    let volume = Volume {
        concurrency: 4,
        total: 1_000,
    };
    let posts =
        tokio::task::spawn_blocking(move || post(server.addr, volume, 128, 7, &Stop::default()));
    let run = posts.await.expect("no panic").expect("no fault");
    assert_eq!(run.requests, 1_000);
}
