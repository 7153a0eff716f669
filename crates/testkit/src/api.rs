//! An HTTP API for a gateway's tests: a script answers, and every request is kept.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::PATIENCE;

/// The answer of a script.
pub type ApiAnswer = Response<Full<Bytes>>;

type Script =
    dyn Fn(ApiRequest) -> Pin<Box<dyn Future<Output = ApiAnswer> + Send>> + Send + Sync + 'static;

/// A request as the API got it.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// GET, POST or DELETE.
    pub method: Method,
    /// Path and query, as they came.
    pub target: String,
    /// The fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl ApiRequest {
    /// Method, target and body in one line, to compare.
    #[must_use]
    pub fn line(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {} {body}", self.method, self.target)
            .trim_end()
            .to_owned()
    }

    /// A field; empty if there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Where it stands among what its client has sent.
    ///
    /// # Panics
    /// If it does not say so.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.field("fetchway-sequence").parse().expect("a number")
    }
}

/// A 200 with a body.
#[must_use]
pub fn ok(body: impl Into<Bytes>) -> ApiAnswer {
    Response::new(Full::new(body.into()))
}

/// Any status with a body.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn status(code: u16, body: &'static str) -> ApiAnswer {
    let response = Response::builder().status(code);
    response.body(Full::from(body)).expect("a status")
}

/// A running API; it ends when dropped.
pub struct Api {
    addr: SocketAddr,
    log: watch::Receiver<Vec<ApiRequest>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Api({})", self.addr)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    /// An API on a port of the system's choice.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start<F>(script: impl Fn(ApiRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ApiAnswer> + Send + 'static,
    {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(any, script).await
    }

    /// An API on this address, such as one that has been there before.
    ///
    /// # Panics
    /// If it is taken.
    pub async fn start_at<F>(
        addr: SocketAddr,
        script: impl Fn(ApiRequest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ApiAnswer> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let script: Arc<Script> = Arc::new(move |request| Box::pin(script(request)));
        let (tell, log) = watch::channel(Vec::new());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, script, Arc::new(tell), stopped));
        Self {
            addr,
            log,
            stop: Some(stop),
            task,
        }
    }

    /// One that accepts every client and echoes.
    pub async fn echo() -> Self {
        Self::start(|request| async move {
            match request.method {
                Method::GET => ok("ok"),
                Method::POST => ok(request.body),
                _ => ok(""),
            }
        })
        .await
    }

    /// Ends it and its connections. Gives its address, for one that takes its place.
    ///
    /// # Panics
    /// If it has panicked.
    pub async fn stop(mut self) -> SocketAddr {
        drop(self.stop.take());
        (&mut self.task).await.expect("no panic");
        self.addr
    }

    /// Where it is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL of the API for a protocol, by its scheme `http` or `h2c`.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/", self.addr)
    }

    /// The requests received so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.log.borrow().clone()
    }

    /// The same as lines, of one target's beginning.
    #[must_use]
    pub fn lines(&self, of: &str) -> Vec<String> {
        let requests = self.log.borrow();
        let requests = requests.iter().filter(|r| r.target.starts_with(of));
        requests.map(ApiRequest::line).collect()
    }

    /// Waits until what it was asked is as wanted, and gives it.
    ///
    /// # Panics
    /// If that does not happen.
    pub async fn until(&self, mut ready: impl FnMut(&[ApiRequest]) -> bool) -> Vec<ApiRequest> {
        let mut log = self.log.clone();
        let waiting = log.wait_for(|requests| ready(requests));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(requests) => requests.expect("the API runs").clone(),
            Err(_) => panic!("the API was only asked {:?}", self.lines("")),
        }
    }

    /// Waits until it has been asked so often.
    pub async fn until_count(&self, count: usize) -> Vec<ApiRequest> {
        self.until(|requests| requests.len() >= count).await
    }
}

/// Whether a connection begins with HTTP/2's preface (RFC 9113 section 3.4): no method is called so.
async fn begins_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 3];
    let peeked = stream.peek(&mut first).await;
    peeked.is_ok_and(|n| first[..n] == b"PRI"[..n] && n > 0)
}

/// Path and query: what a request says in HTTP/1.1.
fn target(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(String::new, ToString::to_string)
}

async fn serve(
    listener: TcpListener,
    script: Arc<Script>,
    tell: Arc<watch::Sender<Vec<ApiRequest>>>,
    mut stopped: oneshot::Receiver<()>,
) {
    // With the task its connections end, as those of a process that is gone.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return connections.shutdown().await,
        };
        let Ok((stream, _)) = accepted else {
            continue;
        };
        let (script, tell) = (script.clone(), tell.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (script, tell) = (script.clone(), tell.clone());
                async move {
                    let (head, body) = request.into_parts();
                    let Ok(body) = body.collect().await else {
                        return Ok::<_, Infallible>(status(400, "the body is not whole"));
                    };
                    let request = ApiRequest {
                        method: head.method,
                        target: target(&head.uri),
                        headers: head.headers,
                        body: body.to_bytes(),
                    };
                    tell.send_modify(|log| log.push(request.clone()));
                    Ok(script(request).await)
                }
            });
            // A connection that breaks is the gateway's affair.
            if begins_http2(&stream).await {
                let _ = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            } else {
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
    }
}
