//! From a request's path to its answer. The table in the crate's documentation says what each does.

mod content;
mod failing;
mod paging;
mod reflect;
mod reply;
mod waiting;

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use self::reply::{Refusal, Reply, json, text};
use crate::body::{Counted, Cut};
use crate::query::{BadQuery, Query};
use crate::shared::Shared;
use crate::stats::InFlight;

/// Answers one request; the error breaks the connection or the stream.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Counted>, Cut> {
    let flight = InFlight::new(&shared.counters);
    let query = Query::parse(request.uri().query());
    let head = request.method() == Method::HEAD;
    let reply = match route(&shared, &query, request).await {
        Ok(reply) => reply,
        Err(Refusal::Bad(BadQuery(sentence))) => text(StatusCode::BAD_REQUEST, sentence),
        Err(Refusal::Drop) => return Err(Cut),
    };
    let (mut parts, body) = reply.into_parts();
    if query.switch("close") {
        parts
            .headers
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let body = if head
        || matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) {
        Counted::without_body(flight)
    } else {
        let announced = parts.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        Counted::new(body, announced, flight)
    };
    Ok(Response::from_parts(parts, body))
}

async fn route(
    shared: &Shared,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    match request.uri().path() {
        "/" => Ok(text(
            StatusCode::OK,
            "a synthetic origin of fetchway".to_owned(),
        )),
        "/echo" => reflect::echo(shared, request).await,
        "/upload" => reflect::upload(shared, query, request).await,
        "/duplex" => reflect::duplex(shared, query, request),
        "/stats" => Ok(json(&serde_json::json!(*shared.counters.lock()))),
        "/delay" => waiting::delay(query).await,
        "/stall" => waiting::stall(query),
        "/slow" => waiting::slow(query),
        "/gate" => waiting::gate(shared, query).await,
        "/bytes" => content::bytes(query),
        "/gzip" => content::coded(query, "gzip").await,
        "/br" => content::coded(query, "br").await,
        "/zstd" => content::coded(query, "zstd").await,
        "/deflate" => content::coded(query, "deflate").await,
        "/coded" => content::coded(query, query.required("as")?).await,
        "/cookies" => content::cookies(query),
        "/headers" => content::headers(query),
        "/trailers" => content::trailers(query),
        "/page" => paging::page(shared, query),
        "/status" => failing::status(query),
        "/redirect" => failing::redirect(query),
        "/fail" => failing::fail(shared, query),
        "/cut" => failing::cut_short(query),
        "/close" => Err(Refusal::Drop),
        other => Ok(text(
            StatusCode::NOT_FOUND,
            format!("the origin has no route {other}"),
        )),
    }
}
