//! One request over one connection: laid out for the protocol spoken, sent, its response's header
//! awaited.

use std::sync::Arc;

use fetchway_policy::retry::Progress;
use fetchway_policy::{ErrorName, FetchError, redirect};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body as _;
use url::Url;

use crate::body::Source;
use crate::pool::{self, Failure, Lease, Site};
use crate::request::RequestBody;

/// What is to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: RequestBody,
}

/// Sends it and waits for the response's header.
pub(crate) async fn exchange(
    site: Arc<Site>,
    lease: Lease,
    outgoing: Outgoing<'_>,
) -> Result<(Response<()>, Source), Failure> {
    let (head, source) = match lease {
        Lease::Whole(mut connection) => {
            let request = http1(&site, outgoing).map_err(Failure::unsent)?;
            let (head, incoming) = connection.exchange(request).await?.into_parts();
            let source = Source::Http1 {
                connection,
                incoming,
                site,
            };
            (head, source)
        }
        Lease::Stream(place) => {
            let request = http2(&site, outgoing).map_err(Failure::unsent)?;
            let sent = pool::exchange_http2(place.sender.clone(), request, place.reused).await;
            let (response, upload) = sent.inspect_err(|failure| {
                if failure.progress == Progress::Unsent {
                    place.retire();
                }
            })?;
            let (head, download) = response.into_parts();
            let source = Source::Http2 {
                download,
                upload,
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
        });
    }
    Ok((Response::from_parts(head, ()), source))
}

fn http1(site: &Site, outgoing: Outgoing<'_>) -> Result<Request<RequestBody>, FetchError> {
    let target = redirect::target(outgoing.url)?;
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = Uri::from(target);
    // Host comes first, as RFC 9110 section 7.2 wishes.
    let headers = request.headers_mut();
    headers.reserve(outgoing.headers.len() + 1);
    headers.insert(header::HOST, site.authority.clone());
    headers.extend(outgoing.headers.clone());
    Ok(request)
}

fn http2(site: &Site, outgoing: Outgoing<'_>) -> Result<Request<RequestBody>, FetchError> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = site.authority.as_bytes().try_into().ok();
    parts.path_and_query = Some(redirect::target(outgoing.url)?);
    let uri = Uri::from_parts(parts).map_err(|_| {
        FetchError::new(
            ErrorName::InvalidRequest,
            "The URL cannot be sent over HTTP/2.",
        )
    })?;
    let length = outgoing.body.size_hint().exact();
    let mut request = Request::new(outgoing.body);
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = outgoing.headers.clone();
    let bodiless = matches!(
        *outgoing.method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    );
    if let Some(length) = length.filter(|length| *length > 0 || !bodiless) {
        request
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}
