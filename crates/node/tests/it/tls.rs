//! TLS of the listeners, and new files for it while they run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::api::Api;
use crate::client::{exchange, main_addr, request, start, upgrade_on};
use fetchway_node::Node;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Certificate and key files of one listener.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let files = Self {
            cert: dir.join(format!("{name}-cert.pem")),
            key: dir.join(format!("{name}-key.pem")),
        };
        files.renew();
        files
    }

    /// Writes a new certificate with a new key.
    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        std::fs::write(&self.cert, made.cert.pem()).expect("a temporary file");
        std::fs::write(&self.key, made.signing_key.serialize_pem()).expect("a temporary file");
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.cert).expect("the file is whole")
    }

    fn toml(&self) -> String {
        format!(
            "{{ cert = '{}', key = '{}' }}",
            self.cert.display(),
            self.key.display()
        )
    }
}

/// Connects, trusting nothing but `trusted`.
async fn connect(
    addr: SocketAddr,
    trusted: CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_behind(b"", addr, trusted).await
}

/// The same on a connection whose first bytes are `before`.
async fn connect_behind(
    before: &[u8],
    addr: SocketAddr,
    trusted: CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(before).await?;
    connect_on(stream, trusted).await
}

/// The same on a connection that is there.
async fn connect_on(
    stream: TcpStream,
    trusted: CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn every_listener_can_speak_tls() {
    let files = Files::new("both");
    let node = start(&format!("tls = {0}\nadmin.tls = {0}", files.toml()));
    for addr in [
        main_addr(&node),
        node.admin_addr().expect("an admin listener"),
    ] {
        let io = connect(addr, files.certificate())
            .await
            .expect("a handshake");
        let answer = exchange(io, &request(addr, "GET /health", &[])).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn clients_of_a_gateway_can_speak_tls() {
    let files = Files::new("gateway");
    let mut api = Api::start();
    let node = start(&api.gateway(&format!("tls = {}", files.toml())));
    let addr = node.gateway_addr("gateway").expect("a gateway");
    let mut open = Vec::new();
    for id in ["ann", "bob"] {
        let io = connect(addr, files.certificate()).await;
        let io = io.expect("a handshake");
        let (answer, socket) = upgrade_on(io, addr, &format!("/{id}"), &[]).await;
        assert_eq!(answer.status, 101);
        open.push(socket);
        let request = api.next().await;
        assert_eq!(request.line(), format!("GET /api/{id}"));
        assert_eq!(request.field("x-forwarded-proto"), "https");
        files.renew();
        node.reload_tls().expect("the new files are sound");
    }
}

#[tokio::test]
async fn a_push_listener_can_speak_tls() {
    let (files, of_clients) = (Files::new("push"), Files::new("push-clients"));
    let api = Api::start();
    let (tls, push_tls) = (of_clients.toml(), files.toml());
    let more = format!("push-listen = '127.0.0.1:0'\ntls = {tls}\npush-tls = {push_tls}");
    let node = start(&api.gateway(&more));
    let addr = node.push_addr("gateway").expect("a push listener");
    for _ in 0..2 {
        let io = connect(addr, files.certificate()).await;
        let io = io.expect("a handshake");
        let answer = exchange(io, &request(addr, "GET /nobody", &[])).await;
        assert_eq!(answer.status, 404);
        let others = connect(addr, of_clients.certificate()).await;
        assert!(others.is_err(), "the clients' certificate is another");
        files.renew();
        node.reload_tls().expect("the new files are sound");
    }
}

/// What TLS has read along with the handshake is in no buffer that the system would tell of.
#[tokio::test]
async fn frames_that_come_with_the_handshake_are_read() {
    let files = Files::new("early");
    let mut api = Api::start();
    let node = start(&api.gateway(&format!("tls = {}", files.toml())));
    let addr = node.gateway_addr("gateway").expect("a gateway");
    let io = connect(addr, files.certificate()).await;
    let mut io = io.expect("a handshake");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let request = format!("GET /ann HTTP/1.1\r\nHost: {addr}\r\n{upgrade}\r\n\r\n");
    // One record, of which the reader of the handshake takes a part only.
    let text = "x".repeat(14_000);
    let length = u16::try_from(text.len()).expect("two bytes").to_be_bytes();
    let frame = [b"\x81\xfe", &length[..], &[0; 4], text.as_bytes()].concat();
    let all = [request.as_bytes(), &frame].concat();
    io.write_all(&all).await.expect("it is taken");
    assert_eq!(api.next_line().await, "GET /api/ann");
    let asked = tokio::time::timeout(Duration::from_secs(20), api.next_line()).await;
    assert_eq!(asked.expect("the message"), format!("POST /api/ann {text}"));
}

/// A client under TLS that reads nothing, pushed to until something waits; how many bytes that are. It
/// has sent something since.
async fn stuffed(api: &mut Api, node: &Node, files: &Files) -> (TlsStream<TcpStream>, usize) {
    let addr = node.gateway_addr("gateway").expect("a gateway");
    let pushes = node.push_addr("gateway").expect("a push listener");
    // With little room of its own: what the gateway cannot write would fit into a buffer that grows.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a size");
    let stream = socket.connect(addr).await;
    let io = connect_on(stream.expect("the listener is there"), files.certificate()).await;
    let (answer, mut ann) = upgrade_on(io.expect("a handshake"), addr, "/ann", &[]).await;
    assert_eq!(answer.status, 101);
    assert_eq!(api.next_line().await, "GET /api/ann");
    // An empty message, which has no answer: when the API has it, the gateway has the socket.
    ann.write_all(b"\x81\x80\0\0\0\0")
        .await
        .expect("it is taken");
    assert_eq!(api.next_line().await, "POST /api/ann");
    let body = "x".repeat(1 << 20);
    let length = format!("Content-Length: {}", body.len());
    let push = format!("{}{body}", request(pushes, "POST /ann", &[&length]));
    let mut bytes = 0;
    loop {
        let io = TcpStream::connect(pushes).await;
        let pushed = exchange(io.expect("the listener is there"), &push).await;
        bytes += body.len() + 10;
        if pushed.status == 202 {
            break;
        }
        assert_eq!(pushed.status, 200);
    }
    ann.write_all(b"\x81\x80\0\0\0\0")
        .await
        .expect("it is taken");
    assert_eq!(api.next_line().await, "POST /api/ann");
    (ann, bytes)
}

#[tokio::test]
async fn what_tls_holds_back_goes_on_when_the_client_reads() {
    let files = Files::new("stuffed");
    let mut api = Api::start();
    let more = format!("push-listen = '127.0.0.1:0'\ntls = {}", files.toml());
    let node = start(&api.gateway(&more));
    let (mut ann, bytes) = stuffed(&mut api, &node, &files).await;
    let mut all = vec![0; bytes];
    let read = tokio::time::timeout(Duration::from_secs(20), ann.read_exact(&mut all)).await;
    read.expect("all that was taken comes").expect("it is open");
}

#[tokio::test]
async fn a_client_under_tls_that_takes_nothing_is_cut_off() {
    let files = Files::new("stalled");
    let mut api = Api::start();
    let more = "push-listen = '127.0.0.1:0'\nwrite-stall = '300ms'";
    let node = start(&api.gateway(&format!("{more}\ntls = {}", files.toml())));
    let (_ann, _) = stuffed(&mut api, &node, &files).await;
    let gone = tokio::time::timeout(Duration::from_secs(20), api.next_line()).await;
    assert_eq!(gone.expect("it is cut off"), "DELETE /api/ann EOF");
}

#[tokio::test]
async fn a_proxys_header_comes_before_tls() {
    let files = Files::new("proxied");
    let mut api = Api::start();
    let more = "proxy-protocol = true\ntrusted-proxies = ['127.0.0.1']";
    let node = start(&api.gateway(&format!("tls = {}\n{more}", files.toml())));
    let addr = node.gateway_addr("gateway").expect("a gateway");
    let line = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n";
    let io = connect_behind(line, addr, files.certificate()).await;
    let (answer, _ann) = upgrade_on(io.expect("a handshake"), addr, "/ann", &[]).await;
    assert_eq!(answer.status, 101);
    let request = api.next().await;
    assert_eq!(request.field("x-forwarded-for"), "192.0.2.7");
    assert_eq!(request.field("x-forwarded-proto"), "https");
    assert!(
        connect(addr, files.certificate()).await.is_err(),
        "no header"
    );
}

#[tokio::test]
async fn new_files_are_used_and_broken_ones_are_not() {
    let files = Files::new("reload");
    let node = start(&format!("tls = {}", files.toml()));
    let first = files.certificate();
    files.renew();
    let second = files.certificate();
    assert!(
        connect(main_addr(&node), first.clone()).await.is_ok(),
        "not read again yet"
    );
    node.reload_tls().expect("the new files are sound");
    assert!(connect(main_addr(&node), second.clone()).await.is_ok());
    assert!(connect(main_addr(&node), first).await.is_err());

    std::fs::write(&files.key, "no key").expect("a temporary file");
    let error = node
        .reload_tls()
        .expect_err("the key is broken")
        .to_string();
    assert!(error.starts_with("tls.key = "), "{error}");
    assert!(
        error.contains("reload-key.pem holds no private key in PEM form"),
        "{error}"
    );
    assert!(
        connect(main_addr(&node), second.clone()).await.is_ok(),
        "the old ones stay"
    );

    let other = Files::new("reload-other");
    std::fs::copy(&other.key, &files.key).expect("a temporary file");
    let error = node
        .reload_tls()
        .expect_err("the key is another's")
        .to_string();
    assert!(
        error.contains("is the certificate of another key than tls.key = "),
        "{error}"
    );
    assert!(
        connect(main_addr(&node), second).await.is_ok(),
        "the old ones stay"
    );
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_dropped() {
    let files = Files::new("silent");
    let node = start(&format!(
        "tls = {}\nhttp.handshake-timeout = '50ms'",
        files.toml()
    ));
    let mut silent = TcpStream::connect(main_addr(&node))
        .await
        .expect("the listener is there");
    let mut rest = Vec::new();
    let read = silent.read_to_end(&mut rest).await;
    assert_eq!(read.expect("it is closed"), 0);
}

#[tokio::test]
async fn a_file_that_is_of_no_use_is_told_by_its_key() {
    let files = Files::new("useless");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    };
    let (cert, key) = (&files.cert, &files.key);
    let empty = write("useless-empty.pem", "nothing");
    let locked = write(
        "useless-locked.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    for (cert, key, expected) in [
        (
            &empty,
            key,
            "useless-empty.pem holds no certificate in PEM form",
        ),
        (key, key, "useless-key.pem holds no certificate in PEM form"),
        (
            cert,
            &empty,
            "useless-empty.pem holds no private key in PEM form",
        ),
        (
            cert,
            &locked,
            "useless-locked.pem holds an encrypted private key",
        ),
        (&dir.join("none.pem"), key, "none.pem can't be read"),
    ] {
        let toml = format!(
            "admin.tls = {{ cert = '{}', key = '{}' }}",
            cert.display(),
            key.display()
        );
        let loaded = crate::client::config(&toml);
        let error = fetchway_node::Node::start(&loaded).err();
        let error = error.expect("it is of no use").to_string();
        assert!(error.starts_with("admin.tls."), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
