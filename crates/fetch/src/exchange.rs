//! One request over one connection: built for the protocol, sent, and its response header awaited.

use std::sync::Arc;

use fetchway_policy::retry::Progress;
use fetchway_policy::{ErrorName, FetchError, redirect};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::body::Source;
use crate::pool::{self, Failure, Lease, Site};
use crate::request::Sending;

/// The request to send.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Sending,
}

/// Sends the request, and waits for the response header until the given instant. After that it fails with
/// the given error.
pub(crate) async fn exchange(
    site: Arc<Site>,
    lease: Lease,
    outgoing: Outgoing<'_>,
    (until, late): (Instant, impl FnOnce() -> FetchError),
) -> Result<(Response<()>, Source), Failure> {
    let too_late = |_| Failure {
        error: late(),
        progress: Progress::SentNoResponse,
        body: None,
    };
    let (head, source) = match lease {
        Lease::Whole(mut connection) => {
            let request = http1(&site, outgoing)?;
            let sent = timeout_at(until, connection.exchange(request)).await;
            let (head, incoming) = sent.map_err(too_late)??.into_parts();
            let source = Source::Http1 {
                connection,
                incoming,
                site,
            };
            (head, source)
        }
        Lease::Stream(place) => {
            let request = http2(&site, outgoing)?;
            let heard = place.heard();
            let sent = timeout_at(until, pool::exchange_http2(&place, request)).await;
            if sent.is_err() && place.heard() == heard {
                // The connection has shown no sign of life, so the next fetch must not wait on it too.
                place.retire();
            }
            let (response, upload) = sent.map_err(too_late)??;
            let (head, download) = response.into_parts();
            let source = Source::Http2 {
                download,
                upload,
                failed: None,
                _place: place,
            };
            (head, source)
        }
    };
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let detail = "The origin switched protocols, which it was not asked to do.";
        return Err(Failure {
            error: FetchError::new(ErrorName::HttpProtocolError, detail),
            progress: Progress::ResponseBegun,
            body: None,
        });
    }
    Ok((Response::from_parts(head, ()), source))
}

fn http1(site: &Site, outgoing: Outgoing<'_>) -> Result<Request<Sending>, Failure> {
    let target = match redirect::target(outgoing.url) {
        Ok(target) => target,
        Err(error) => return Err(Failure::unsent(error, outgoing.body)),
    };
    let length = content_length(&outgoing).filter(|length| *length == 0);
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = Uri::from(target);
    // Host comes first, as RFC 9110 section 7.2 recommends.
    let headers = request.headers_mut();
    headers.reserve(outgoing.headers.len() + 1);
    headers.insert(header::HOST, site.authority.clone());
    headers.extend(outgoing.headers.clone());
    if let Some(length) = length {
        // If there is a body, hyper sets the length.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if headers.contains_key(header::TE) {
        // The field concerns this hop only, and says so (RFC 9110 section 10.1.4).
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    Ok(request)
}

fn http2(site: &Site, outgoing: Outgoing<'_>) -> Result<Request<Sending>, Failure> {
    let uri = match http2_uri(site, outgoing.url) {
        Ok(uri) => uri,
        Err(error) => return Err(Failure::unsent(error, outgoing.body)),
    };
    let length = content_length(&outgoing);
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = outgoing.headers.clone();
    if let Some(length) = length {
        request
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

/// Returns the value of `Content-Length`, if the field is sent: not for a missing body where none is usual,
/// which could confuse origins; zero where a body is usual (RFC 9110 section 8.6).
fn content_length(outgoing: &Outgoing<'_>) -> Option<u64> {
    let bodiless = matches!(
        *outgoing.method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    );
    let length = outgoing.body.size_hint().exact()?;
    (length > 0 || !bodiless).then_some(length)
}

fn http2_uri(site: &Site, url: &Url) -> Result<Uri, FetchError> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(match site.target.tls {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    });
    parts.authority = site.authority.as_bytes().try_into().ok();
    parts.path_and_query = Some(redirect::target(url)?);
    Uri::from_parts(parts).map_err(|_| {
        FetchError::new(
            ErrorName::InvalidRequest,
            "The URL cannot be sent over HTTP/2.",
        )
    })
}
