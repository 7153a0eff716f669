//! Errors that end a connection, and the error codes of HTTP/2.

use std::borrow::Cow;

use fetchway_policy::ErrorName;

use crate::Failure;

/// An error code (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    pub(super) const PROTOCOL_ERROR: Self = Self(1);
    pub(super) const FLOW_CONTROL_ERROR: Self = Self(3);
    pub(super) const FRAME_SIZE_ERROR: Self = Self(6);
    pub(super) const REFUSED_STREAM: Self = Self(7);
    pub(super) const CANCEL: Self = Self(8);
    pub(super) const COMPRESSION_ERROR: Self = Self(9);
    pub(super) const ENHANCE_YOUR_CALM: Self = Self(11);
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {:#x}", self.0),
        }
    }
}

/// The result of handling a frame.
pub(super) type Handled = Result<(), ConnectionError>;

/// A failure of the whole connection.
#[derive(Debug)]
pub(super) struct ConnectionError {
    pub(super) code: Code,
    pub(super) failure: Failure,
}

impl ConnectionError {
    pub(super) fn new(code: Code, name: ErrorName, what: impl Into<Cow<'static, str>>) -> Self {
        let detail = format!("The API violates HTTP/2: {}.", what.into());
        Self {
            code,
            failure: Failure::new(name, detail),
        }
    }

    pub(super) fn protocol(what: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, ErrorName::HttpProtocolError, what)
    }

    /// A server that sends too much, too often or without effect.
    pub(super) fn calm(what: &'static str) -> Self {
        Self::new(Code::ENHANCE_YOUR_CALM, ErrorName::HttpProtocolError, what)
    }
}
