//! Why a relay was not reached: what is said of it, and whether another try can help.

use std::io;
use std::time::Duration;

use fetchway_policy::ErrorName;
use fetchway_ws::Refused;
use http::StatusCode;
use rustls::{AlertDescription as Alert, CertificateError};
use serde::Deserialize;

use super::target::Target;
use crate::error::Error;

/// Characters of a server's own words that are repeated, if they are no problem document.
const MAX_WORDS: usize = 200;

/// Relays whose failures are told one by one.
const MAX_TOLD: usize = 4;

/// A relay that was not reached.
#[derive(Clone, Debug)]
pub(crate) struct Unreached {
    pub(crate) error: Error,
    /// As long as nobody changes anything here or there, it will not be reached.
    pub(crate) for_good: bool,
}

impl From<Error> for Unreached {
    fn from(error: Error) -> Self {
        Self {
            error,
            for_good: false,
        }
    }
}

impl Unreached {
    fn for_good(name: ErrorName, detail: String) -> Self {
        Self {
            error: Error::new(name, detail),
            for_good: true,
        }
    }

    /// The connect timeout is over.
    pub(super) fn timed_out(target: &Target, limit: Duration) -> Self {
        let detail = format!("{target} opened no WebSocket within {limit:?}.");
        Error::new(ErrorName::ConnectionTimeout, detail).into()
    }

    /// A server's answer to the handshake that opened nothing.
    pub(super) fn refused(target: &Target, error: &io::Error) -> Self {
        let Some(refused) = Refused::of(error) else {
            let other = match target.is_tls() {
                true => "",
                false => ", and does it want wss://",
            };
            let detail =
                format!("{target} opened no WebSocket ({error}): is a relay there{other}?");
            return Self::for_good(ErrorName::ProxyConfigurationError, detail);
        };
        let (status, said) = (refused.status, said(refused));
        let denied = |detail| Self::for_good(ErrorName::HttpRequestDenied, detail);
        match status {
            StatusCode::UNAUTHORIZED if target.authorization.is_none() => denied(format!(
                "{target} asks for a token ({said}): set one with Builder::token."
            )),
            StatusCode::UNAUTHORIZED => denied(format!(
                "{target} does not know the token that was sent ({said}): set another one with \
                 Builder::token."
            )),
            StatusCode::FORBIDDEN => denied(format!(
                "{target} does not let this client in ({said}): look at its configuration, or give \
                 another token."
            )),
            status if status.is_success() || status.is_redirection() => {
                let detail =
                    format!("{target} answers with {status} and no WebSocket: is a relay there?");
                Self::for_good(ErrorName::ProxyConfigurationError, detail)
            }
            _ => {
                let detail = format!(
                    "{target} opened no WebSocket ({said}): check the relay's URL, or try later."
                );
                Error::new(ErrorName::DestinationUnavailable, detail).into()
            }
        }
    }

    /// A TLS handshake that failed.
    pub(super) fn tls(target: &Target, error: &io::Error) -> Self {
        let inner = error.get_ref();
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let failed =
            |advice| format!("The TLS handshake with {target} failed ({error}): {advice}.");
        match inner {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let advice = "the issuer of its certificate is not trusted; add it with \
                              Builder::root_certificates_pem";
                Self::for_good(ErrorName::TlsCertificateError, failed(advice))
            }
            Some(rustls::Error::InvalidCertificate(_)) => {
                let advice = "check its certificate, and the host in the relay's URL";
                Self::for_good(ErrorName::TlsCertificateError, failed(advice))
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                let detail = format!("{target} does not speak TLS: is it a ws:// relay?");
                Self::for_good(ErrorName::TlsProtocolError, detail)
            }
            Some(rustls::Error::AlertReceived(alert)) => Self {
                error: Error::new(
                    ErrorName::TlsAlertReceived,
                    failed("see what the relay logs of it"),
                ),
                for_good: is_lasting(*alert),
            },
            Some(rustls::Error::PeerIncompatible(_)) => {
                let advice = "it has no version or cipher of TLS that we have";
                Self::for_good(ErrorName::TlsProtocolError, failed(advice))
            }
            _ => Error::new(ErrorName::TlsProtocolError, failed("try again")).into(),
        }
    }

    /// What several relays are told of together. Nothing if there is none.
    pub(crate) fn all(each: &[Self]) -> Option<Error> {
        let first = &each.first()?.error;
        let mut told: Vec<&str> = Vec::new();
        // Two sockets of one relay have the same to tell.
        for unreached in each {
            if !told.contains(&&*unreached.error.detail) {
                told.push(&unreached.error.detail);
            }
        }
        let more = told.len().saturating_sub(MAX_TOLD);
        told.truncate(MAX_TOLD);
        let mut detail = told.join(" ");
        if more > 0 {
            detail.push_str(&format!(" {more} more are no better."));
        }
        Some(Error::new(first.name, detail))
    }
}

/// Alerts about what is set up on one of the two sides.
fn is_lasting(alert: Alert) -> bool {
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

/// The status of a refusal, and why in the server's own words.
pub(super) fn said(refused: &Refused) -> String {
    /// RFC 9457.
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let Refused { status, body: said } = refused;
    let words = match serde_json::from_str::<Problem>(said) {
        Ok(problem) => problem.detail,
        // A page is for browsers, and other JSON for programs.
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

    fn words(said_: &str) -> String {
        said(&Refused {
            status: StatusCode::NOT_FOUND,
            body: said_.to_owned(),
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
        let unreached = |detail: String| Unreached::for_good(ErrorName::DnsError, detail);
        assert!(Unreached::all(&[]).is_none());
        let each: Vec<_> = (0..14)
            .map(|at| unreached(format!("R{}.", at / 2)))
            .collect();
        let told = Unreached::all(&each).expect("some");
        assert_eq!(told.detail, "R0. R1. R2. R3. 3 more are no better.");
    }
}
