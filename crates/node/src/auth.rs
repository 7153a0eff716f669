//! Authentication: bearer tokens, and the rights of each.
//!
//! Tokens are compared by their SHA-256 digests, and each time with all of them. Neither the time of a
//! comparison nor its length depends on a token.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use fetchway_policy::guard::AddressPolicy;
use fetchway_service::{PlaceCounts, Places, Principal, TOKEN_PROTOCOL, offered_protocols};
use http::header::{AUTHORIZATION, HeaderMap};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::config::{Config, ReadError, RelaySection, Secret, read_token};

/// Sockets without a session that every credential may have, however few its sessions: a client whose
/// last sockets have not ended yet must be able to resume its session.
const MIN_SOCKETS: usize = 8;

/// A header of a request holds no more than this anyway.
const MAX_TOKEN: usize = 4 << 10;

/// Whether `token` can be sent in an `Authorization` header.
pub(crate) fn check_token(token: &str) -> Result<(), &'static str> {
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err("expected a token of 1 to 4096 characters");
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("expected a token of visible ASCII characters, without spaces");
    }
    Ok(())
}

/// The stored form of a token.
#[derive(Clone)]
pub(crate) struct TokenDigest([u8; SHA256_OUTPUT_LEN]);

impl TokenDigest {
    pub(crate) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(bytes)
    }

    fn equals(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// Why nobody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unauthorized {
    /// No token was sent.
    Missing,
    /// The token is none of ours.
    Unknown,
}

/// The principals of all configured tokens.
pub(crate) struct Keyring {
    holders: Vec<(TokenDigest, Principal)>,
    /// Principal of every client, if no token is configured.
    anonymous: Principal,
}

impl Keyring {
    /// Reads the token files that `config` names.
    pub(crate) fn new(config: &Config) -> Result<Self, ReadError> {
        let policy = Arc::new(config.address_policy(&[]));
        let batches = config.batch.max_at_once;
        let mut holders: Vec<(TokenDigest, Principal)> = Vec::with_capacity(config.tokens.len());
        for (index, section) in config.tokens.iter().enumerate() {
            let key = format!("tokens[{index}].token-file");
            let token = read_token(&key, &section.token, &section.token_file)?;
            let digest = TokenDigest::of(token.expose().as_bytes());
            let same = |(known, _): &(TokenDigest, Principal)| bool::from(digest.equals(known));
            if let Some(same) = holders.iter().position(same) {
                return Err(same_token(config, same, index));
            }
            let limits = config.relay.overridden(&section.limits);
            let own_policy = match section.allow_net.as_slice() {
                [] => Arc::clone(&policy),
                nets => Arc::new(config.address_policy(nets)),
            };
            let lanes = section.lanes.as_deref();
            let holder = principal(&section.name, &limits, batches, own_policy, lanes);
            holders.push((digest, holder));
        }
        let anonymous = principal("anonymous", &config.relay, batches, policy, None);
        Ok(Self { holders, anonymous })
    }

    /// Whether a token is asked for.
    pub(crate) fn is_required(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Returns the principal whose token these header fields carry.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<&Principal, Unauthorized> {
        if !self.is_required() {
            return Ok(&self.anonymous);
        }
        let sent = sent_token(headers).ok_or(Unauthorized::Missing)?;
        let sent = TokenDigest::of(&sent);
        let mut found = u32::MAX;
        for (index, (known, _)) in (0u32..).zip(&self.holders) {
            found.conditional_assign(&index, sent.equals(known));
        }
        let found = usize::try_from(found)
            .ok()
            .and_then(|i| self.holders.get(i));
        found.map(|(_, holder)| holder).ok_or(Unauthorized::Unknown)
    }
}

/// Two holders have one token. Where both are given directly, the configuration was refused before.
fn same_token(config: &Config, first: usize, second: usize) -> ReadError {
    let by_file = |at: &usize| !config.tokens[*at].token_file.as_os_str().is_empty();
    let (at, other) = match by_file(&second) {
        true => (second, first),
        false => (first, second),
    };
    let why = format!(
        "holds the token that tokens[{other}] ({}) has too; give each holder a token of its own",
        config.tokens[other].name
    );
    let key = format!("tokens[{at}].token-file");
    ReadError::new(key, &config.tokens[at].token_file, why)
}

/// Checks the one token of a listener that has only one.
pub(crate) fn authorize(known: &TokenDigest, headers: &HeaderMap) -> Result<(), Unauthorized> {
    let sent = bearer(headers).ok_or(Unauthorized::Missing)?;
    if bool::from(TokenDigest::of(&sent).equals(known)) {
        Ok(())
    } else {
        Err(Unauthorized::Unknown)
    }
}

/// The digest of a listener's own token, or none if it has none.
pub(crate) fn digest_of(token: &Secret) -> Option<TokenDigest> {
    (!token.is_empty()).then(|| TokenDigest::of(token.expose().as_bytes()))
}

fn sent_token(headers: &HeaderMap) -> Option<Vec<u8>> {
    if headers.contains_key(AUTHORIZATION) {
        return bearer(headers);
    }
    offered_protocols(headers)
        .find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL))
        .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
}

fn bearer(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().as_bytes().to_vec())
}

/// Returns the client that sessions and batches of one credential run for.
fn principal(
    name: &str,
    relay: &RelaySection,
    batches: usize,
    policy: Arc<AddressPolicy>,
    lanes: Option<&[String]>,
) -> Principal {
    Principal {
        name: Arc::from(name),
        limits: relay.to_limits(),
        policy,
        lanes: lanes.map(|lanes| Arc::new(lanes.iter().cloned().collect())),
        places: Places::new(PlaceCounts {
            sessions: relay.max_sessions,
            sockets: relay.max_sessions.max(MIN_SOCKETS),
            batches,
        }),
    }
}

#[cfg(test)]
mod tests {
    use fetchway_service::Limits;

    use super::*;
    use crate::config::Layers;

    fn keyring(toml: &str) -> Keyring {
        let loaded = Layers::new().file("t.toml".as_ref(), toml).load();
        Keyring::new(&loaded.expect("a valid configuration").config).expect("no files")
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, value.parse().expect("a valid value"))
            })
            .collect()
    }

    const TWO: &str = "
        [[tokens]]
        name = 'ann'
        token = 'token-of-ann'
        [[tokens]]
        name = 'bob'
        token = 'token-of-bob'
        lanes = ['default']
        allow-net = ['10.0.0.0/8']
        limits = { max-sessions = 2, max-message = '1MiB' }
    ";

    #[test]
    fn a_token_is_known_by_header_or_subprotocol() {
        let ring = keyring(TWO);
        let bob = BASE64_URL_SAFE_NO_PAD.encode("token-of-bob");
        let offer = format!("fetchway.json, fetchway.token.{bob}");
        for fields in [
            headers(&[("authorization", "Bearer token-of-bob")]),
            headers(&[("authorization", "bearer   token-of-bob")]),
            headers(&[("sec-websocket-protocol", offer.as_str())]),
        ] {
            let found = ring.identify(&fields).map(|found| &*found.name);
            assert_eq!(found, Ok("bob"), "{fields:?}");
        }
        let ann = headers(&[("authorization", "Bearer token-of-ann")]);
        assert_eq!(ring.identify(&ann).map(|found| &*found.name), Ok("ann"));
    }

    #[test]
    fn whoever_is_not_known_is_told_which_way() {
        let ring = keyring(TWO);
        let bob = BASE64_URL_SAFE_NO_PAD.encode("token-of-bob");
        let offer = format!("fetchway.token.{bob}");
        let mut twice = headers(&[("authorization", "Bearer token-of-ann")]);
        twice.append(
            AUTHORIZATION,
            http::HeaderValue::from_static("Bearer token-of-bob"),
        );
        for (fields, expected) in [
            (headers(&[]), Unauthorized::Missing),
            (
                headers(&[("authorization", "Basic dXNlcjpwYXNz")]),
                Unauthorized::Missing,
            ),
            (
                headers(&[("sec-websocket-protocol", "fetchway.token.!")]),
                Unauthorized::Missing,
            ),
            (twice, Unauthorized::Missing),
            (
                headers(&[("authorization", "Bearer token-of-an")]),
                Unauthorized::Unknown,
            ),
            (
                headers(&[("authorization", "Bearer ")]),
                Unauthorized::Unknown,
            ),
            // The header decides, even where the subprotocol alone would do.
            (
                headers(&[
                    ("authorization", "Bearer x"),
                    ("sec-websocket-protocol", &offer),
                ]),
                Unauthorized::Unknown,
            ),
        ] {
            let found = ring.identify(&fields).map(|found| &*found.name);
            assert_eq!(found, Err(expected), "{fields:?}");
        }
    }

    #[test]
    fn a_token_brings_its_rights() {
        let ring = keyring(TWO);
        let known = headers(&[("authorization", "Bearer token-of-bob")]);
        let principal = ring.identify(&known).expect("bob is known");
        assert_eq!(&*principal.name, "bob");
        assert_eq!(principal.limits.message, 1 << 20);
        assert_eq!(principal.limits.in_flight, Limits::default().in_flight);
        let lanes = principal.lanes.as_ref();
        assert!(lanes.is_some_and(|lanes| lanes.contains("default")));
        let inside = "10.1.2.3".parse().expect("an address");
        assert!(principal.policy.check_address(inside).is_ok());
        assert!(ring.anonymous.policy.check_address(inside).is_err());
    }

    #[test]
    fn without_tokens_anyone_is_anonymous() {
        let ring = keyring("");
        let found = ring.identify(&headers(&[("authorization", "Bearer x")]));
        assert_eq!(found.map(|found| &*found.name), Ok("anonymous"));
    }

    #[test]
    fn there_are_as_many_sessions_as_there_may_be() {
        let ring = keyring(TWO);
        let known = headers(&[("authorization", "Bearer token-of-bob")]);
        let places = &ring.identify(&known).expect("bob is known").places;
        let (first, second) = (places.session(), places.session());
        assert!(first.is_some() && second.is_some() && places.session().is_none());
        drop(second);
        assert!(places.session().is_some());
        let sockets: Vec<_> = std::iter::from_fn(|| places.socket()).collect();
        assert_eq!(sockets.len(), MIN_SOCKETS);
        drop(sockets);
        assert!(places.socket().is_some());
    }

    #[test]
    fn one_token_listeners_take_only_that() {
        let known = digest_of(&Secret::new("token-of-admin")).expect("a token");
        let right = headers(&[("authorization", "Bearer token-of-admin")]);
        let wrong = headers(&[("authorization", "Bearer token-of-ann")]);
        assert_eq!(authorize(&known, &right), Ok(()));
        assert_eq!(authorize(&known, &wrong), Err(Unauthorized::Unknown));
        assert_eq!(
            authorize(&known, &HeaderMap::new()),
            Err(Unauthorized::Missing)
        );
        assert!(digest_of(&Secret::default()).is_none());
    }

    #[test]
    fn tokens_that_no_header_can_carry_are_refused() {
        assert!(check_token("a-b_c.d~e").is_ok());
        for token in ["", "a b", "ümlaut", "tab\t", &"x".repeat(4097)] {
            assert!(check_token(token).is_err(), "{token}");
        }
    }
}
