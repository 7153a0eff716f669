//! The routes of the admin listener: health, metrics, profiles.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::task::spawn_blocking;

use crate::auth::{TokenDigest, authorize};
use crate::http::{REQUEST_TOKEN, health, log_request, not_found, read_only, refuse, unauthorized};
use crate::listener::{Handler, Peer};
use crate::metrics::{Metrics, Refused, Scrape};
use crate::origin_check::OriginCheck;
use crate::profile;
use fetchway_service::problem::{Answer, answer, json, problem};
use fetchway_service::{Phase, Shutdown};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers the admin listener's requests.
pub(crate) struct Admin {
    pub(crate) origins: OriginCheck,
    /// Asked for by everything that tells more than whether the node lives.
    pub(crate) token: Option<TokenDigest>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) scrape: Arc<Scrape>,
    pub(crate) shutdown: Shutdown,
}

impl Handler for Admin {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Answer {
        let answer = self.route(&request).await;
        log_request("admin", peer, request.method(), request.uri(), &answer);
        answer
    }
}

impl Admin {
    async fn route(&self, request: &Request<Incoming>) -> Answer {
        if let Err(refusal) = self.origins.check(request.uri(), request.headers()) {
            return refuse(&self.metrics, refusal);
        }
        let path = request.uri().path();
        let open = matches!(path, "/health" | "/ready");
        let known = open
            || matches!(
                path,
                "/metrics" | "/debug/pprof/profile" | "/debug/pprof/heap"
            );
        if let (false, Some(token)) = (open, &self.token)
            && let Err(why) = authorize(token, request.headers())
        {
            self.metrics.refused(Refused::Token);
            return unauthorized(why, REQUEST_TOKEN);
        }
        if known && !matches!(*request.method(), Method::GET | Method::HEAD) {
            return read_only();
        }
        match path {
            "/health" => health(),
            "/ready" => self.ready(),
            "/metrics" => self.metrics().await,
            "/debug/pprof/profile" => profile::cpu(request.uri().query()).await,
            "/debug/pprof/heap" => profile::heap().await,
            path => not_found(path),
        }
    }

    fn ready(&self) -> Answer {
        if self.shutdown.phase() == Phase::Serving {
            return json(StatusCode::OK, &serde_json::json!({ "status": "ready" }));
        }
        let detail = "This node is shutting down and takes no new sessions.";
        problem(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    async fn metrics(&self) -> Answer {
        let scrape = Arc::clone(&self.scrape);
        match spawn_blocking(move || scrape.text()).await {
            Ok(Ok(text)) => answer(StatusCode::OK, OPENMETRICS, text),
            Ok(Err(_)) | Err(_) => {
                tracing::error!("the metrics could not be written down");
                let detail = "The metrics could not be written down; this is a fault of fetchway.";
                problem(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}
