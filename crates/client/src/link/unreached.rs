//! Why a relay could not be reached, and whether another attempt can help.

use std::io;
use std::time::Duration;

use fetchway_policy::ErrorName;
use fetchway_ws::Refused;
use http::StatusCode;
use rustls::{AlertDescription as Alert, CertificateError};
use serde::Deserialize;

use super::target::Target;
use crate::error::Error;

/// Maximum number of characters of a server's explanation that an error repeats.
const MAX_WORDS: usize = 200;

/// Maximum number of relays whose failures one error lists.
const MAX_LISTED: usize = 4;

/// Why a relay could not be reached.
#[derive(Clone, Debug)]
pub(crate) struct Unreached {
    pub(crate) error: Error,
    /// True if no later attempt can succeed until someone changes a setting on either side.
    pub(crate) permanent: bool,
}

impl From<Error> for Unreached {
    fn from(error: Error) -> Self {
        Self {
            error,
            permanent: false,
        }
    }
}

impl Unreached {
    fn permanent(name: ErrorName, detail: String) -> Self {
        Self {
            error: Error::new(name, detail),
            permanent: true,
        }
    }

    /// Returns the failure of a dial that exceeded the connect timeout.
    pub(super) fn timed_out(target: &Target, limit: Duration) -> Self {
        let detail = format!(
            "{target} opened no WebSocket within {limit:?}: check that the relay is running."
        );
        Error::new(ErrorName::ConnectionTimeout, detail).into()
    }

    /// Returns the failure of a handshake that the server refused.
    pub(super) fn refused(target: &Target, error: &io::Error) -> Self {
        let Some(refused) = Refused::of(error) else {
            let other = match target.is_tls() {
                true => "",
                false => ", and does it want wss://",
            };
            let detail =
                format!("{target} opened no WebSocket ({error}): is a relay there{other}?");
            return Self::permanent(ErrorName::ProxyConfigurationError, detail);
        };
        let (status, said) = (refused.status, describe(refused));
        let denied = |detail| Self::permanent(ErrorName::HttpRequestDenied, detail);
        match status {
            StatusCode::UNAUTHORIZED if target.authorization.is_none() => denied(format!(
                "{target} requires a token ({said}): set one with Builder::token."
            )),
            StatusCode::UNAUTHORIZED => denied(format!(
                "{target} rejects the token ({said}): set another one with Builder::token."
            )),
            StatusCode::FORBIDDEN => denied(format!(
                "{target} denies access to this client ({said}): check the relay's configuration, or \
                 set another token with Builder::token."
            )),
            status if status.is_success() || status.is_redirection() => {
                let detail =
                    format!("{target} answers with {status} and no WebSocket: is a relay there?");
                Self::permanent(ErrorName::ProxyConfigurationError, detail)
            }
            _ => {
                let detail = format!(
                    "{target} opened no WebSocket ({said}): check the relay's URL, or try later."
                );
                Error::new(ErrorName::DestinationUnavailable, detail).into()
            }
        }
    }

    /// Returns the failure of a TLS handshake.
    pub(super) fn tls(target: &Target, error: &io::Error) -> Self {
        let inner = error.get_ref();
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let failed =
            |advice| format!("The TLS handshake with {target} failed ({error}): {advice}.");
        match inner {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let advice = "the issuer of its certificate is not trusted; add it with \
                              Builder::root_certificates_pem";
                Self::permanent(ErrorName::TlsCertificateError, failed(advice))
            }
            Some(rustls::Error::InvalidCertificate(_)) => {
                let advice = "check its certificate, and the host in the relay's URL";
                Self::permanent(ErrorName::TlsCertificateError, failed(advice))
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                let detail = format!("{target} does not speak TLS: is it a ws:// relay?");
                Self::permanent(ErrorName::TlsProtocolError, detail)
            }
            Some(rustls::Error::AlertReceived(alert)) => Self {
                error: Error::new(ErrorName::TlsAlertReceived, failed("see the relay's log")),
                permanent: is_permanent(*alert),
            },
            Some(rustls::Error::PeerIncompatible(_)) => {
                let advice = "it supports no TLS version or cipher suite that this client supports";
                Self::permanent(ErrorName::TlsProtocolError, failed(advice))
            }
            _ => Error::new(ErrorName::TlsProtocolError, failed("try again")).into(),
        }
    }

    /// Returns one error that lists the failures of several relays; `None` if there are none.
    pub(crate) fn combine(each: &[Self]) -> Option<Error> {
        let first = &each.first()?.error;
        let mut listed: Vec<&str> = Vec::new();
        // Several sockets of one relay fail in the same way.
        for unreached in each {
            if !listed.contains(&&*unreached.error.detail) {
                listed.push(&unreached.error.detail);
            }
        }
        let more = listed.len().saturating_sub(MAX_LISTED);
        listed.truncate(MAX_LISTED);
        let mut detail = listed.join(" ");
        if more > 0 {
            detail.push_str(&format!(" {more} more relays cannot be reached either."));
        }
        Some(Error::new(first.name, detail))
    }
}

/// Returns true for an alert that is caused by the configuration of one of the two sides.
fn is_permanent(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName
            | Alert::NoApplicationProtocol
            | Alert::CertificateRequired
    )
}

/// Describes a refusal: the status, and the server's explanation if there is one.
pub(super) fn describe(refused: &Refused) -> String {
    /// A problem document (RFC 9457).
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let Refused { status, body: said } = refused;
    let words = match serde_json::from_str::<Problem>(said) {
        Ok(problem) => problem.detail,
        // HTML is for browsers, and other JSON for programs.
        Err(_) if said.starts_with(['<', '{', '[']) => String::new(),
        Err(_) => said.clone(),
    };
    let words: String = words.chars().take(MAX_WORDS).collect();
    let words = words.trim().trim_end_matches('.');
    match words.is_empty() {
        true => status.to_string(),
        false => format!("{status}: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(said: &str) -> String {
        describe(&Refused {
            status: StatusCode::NOT_FOUND,
            body: said.to_owned(),
        })
    }

    #[test]
    fn a_servers_words_are_for_people() {
        let problem = r#"{"type":"about:blank","title":"Not Found","detail":"There is nothing."}"#;
        assert_eq!(words(problem), "404 Not Found: There is nothing");
        assert_eq!(words("gone fishing"), "404 Not Found: gone fishing");
        for other in ["", "<html>lost</html>", r#"{"error":1}"#, "[1]"] {
            assert_eq!(words(other), "404 Not Found", "{other}");
        }
        assert_eq!(words(&"x".repeat(5_000)).len(), 15 + MAX_WORDS);
    }

    #[test]
    fn several_are_told_of_once_each_and_not_without_end() {
        let unreached = |detail: String| Unreached::permanent(ErrorName::DnsError, detail);
        assert!(Unreached::combine(&[]).is_none());
        let each: Vec<_> = (0..14)
            .map(|at| unreached(format!("R{}.", at / 2)))
            .collect();
        let told = Unreached::combine(&each).expect("some");
        assert_eq!(
            told.detail,
            "R0. R1. R2. R3. 3 more relays cannot be reached either."
        );
    }
}
