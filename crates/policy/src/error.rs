//! Names of failed fetches, which JSON, frames, metrics and logs share.
//!
//! The names are the proxy error types of RFC 9209 where it has a suitable one. The other six are our own.

use std::borrow::Cow;
use std::fmt;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The name of a failure: RFC 9209 section 2.3, and six of our own at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorName { $($(#[$doc])* $variant,)* }

        impl ErrorName {
            /// Every name, in declaration order: the bounded label set of the metrics.
            pub const ALL: &'static [ErrorName] = &[$(ErrorName::$variant,)*];

            /// The name as JSON, frames and metrics have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorName::$variant => $name,)* }
            }
        }
    };
}

names! {
    /// The DNS answer did not come in time.
    DnsTimeout = "dns_timeout",
    /// The host name could not be resolved.
    DnsError = "dns_error",
    /// No usable route or address for the destination.
    DestinationNotFound = "destination_not_found",
    /// The destination counts as unavailable, without a try.
    DestinationUnavailable = "destination_unavailable",
    /// The destination's address is prohibited by the address policy.
    DestinationIpProhibited = "destination_ip_prohibited",
    /// The network reports that there is no route to the address.
    DestinationIpUnroutable = "destination_ip_unroutable",
    /// The destination refused the connection.
    ConnectionRefused = "connection_refused",
    /// The connection ended before the response was complete or had begun.
    ConnectionTerminated = "connection_terminated",
    /// No connection within the connect time.
    ConnectionTimeout = "connection_timeout",
    /// The origin sent nothing for the idle timeout of the body.
    ConnectionReadTimeout = "connection_read_timeout",
    /// The origin took nothing of the request for the idle timeout of the body.
    ConnectionWriteTimeout = "connection_write_timeout",
    /// No more connections may be opened.
    ConnectionLimitReached = "connection_limit_reached",
    /// The TLS handshake failed.
    TlsProtocolError = "tls_protocol_error",
    /// The origin's certificate is not valid for it.
    TlsCertificateError = "tls_certificate_error",
    /// The origin sent a TLS alert.
    TlsAlertReceived = "tls_alert_received",
    /// The configuration or the request's own mode forbids this request.
    HttpRequestDenied = "http_request_denied",
    /// The response ended before its declared end.
    HttpResponseIncomplete = "http_response_incomplete",
    /// The response's header section is over the limit.
    HttpResponseHeaderSectionSize = "http_response_header_section_size",
    /// The response body is over the cap.
    HttpResponseBodySize = "http_response_body_size",
    /// The transfer coding is unknown or broken.
    HttpResponseTransferCoding = "http_response_transfer_coding",
    /// The content coding is unknown or broken.
    HttpResponseContentCoding = "http_response_content_coding",
    /// No response header, or no end of the response, in time.
    HttpResponseTimeout = "http_response_timeout",
    /// The answer of the origin is not valid HTTP.
    HttpProtocolError = "http_protocol_error",
    /// A fault of fetchway.
    ProxyInternalError = "proxy_internal_error",
    /// The configuration of the node does not allow this fetch.
    ProxyConfigurationError = "proxy_configuration_error",
    /// The destination is a listener of this node.
    ProxyLoopDetected = "proxy_loop_detected",
    /// The client cancelled the fetch.
    Cancelled = "cancelled",
    /// A queue is full.
    QueueFull = "queue_full",
    /// The fetch waited in its queue for longer than its lane allows.
    QueueTimeout = "queue_timeout",
    /// A limit of the caller would be exceeded.
    LimitExceeded = "limit_exceeded",
    /// The request was sent, but its outcome is not known.
    OutcomeUnknown = "outcome_unknown",
    /// The request itself is wrong.
    InvalidRequest = "invalid_request",
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed fetch: its name, and a sentence for the reader who has to act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct FetchError {
    /// Kind of the failure.
    pub name: ErrorName,
    /// Sentence that says what happened, to what, and what to do.
    pub detail: Cow<'static, str>,
}

impl FetchError {
    /// Returns a failure called `name`, explained by `detail`.
    pub fn new(name: ErrorName, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            detail: detail.into(),
        }
    }
}
