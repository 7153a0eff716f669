//! Conversion of a configuration for the engine and the relay, and the files that it names.

use std::cmp::Reverse;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use fetchway_fetch::{EngineConfig, PoolConfig};
use fetchway_performers::OriginRules;
use fetchway_policy::OriginLimits;
use fetchway_policy::guard::{AddressPolicy, HostPattern, IpNet};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::gateways::API_CONCURRENCY;
use super::{Config, DEFAULT, Ports, Secret};

/// The largest token file; whatever is longer is no token but the wrong file.
const MAX_TOKEN_FILE: u64 = 4 << 10;

/// A file that the configuration names is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {} {why}", .path.display())]
pub struct ReadError {
    /// Where it is named.
    key: String,
    path: PathBuf,
    /// The problem and its remedy: the rest of a sentence that begins with the path.
    why: String,
}

impl ReadError {
    pub(crate) fn new(key: impl fmt::Display, path: &Path, why: impl fmt::Display) -> Self {
        Self {
            key: key.to_string(),
            path: path.to_owned(),
            why: why.to_string(),
        }
    }

    /// Returns the error of a file that can't be read.
    pub(crate) fn unreadable(key: impl fmt::Display, path: &Path, error: &std::io::Error) -> Self {
        let why = format!("can't be read ({error}); correct the path or the file's permissions");
        Self::new(key, path, why)
    }
}

impl Config {
    /// Returns the configuration of the engine. Reads `fetch.ca-file`.
    ///
    /// # Errors
    /// The file can't be read or holds no certificate.
    pub fn engine_config(&self) -> Result<EngineConfig, ReadError> {
        let fetch = &self.fetch;
        let lanes = self.lanes.iter();
        let (origins, origin_default) = self.origin_limits();
        Ok(EngineConfig {
            lanes: lanes
                .map(|(name, lane)| (name.clone(), lane.to_lane()))
                .collect(),
            origins,
            origin_default,
            retry_after_cap: fetch.retry_after_cap,
            hosts: self
                .hosts
                .iter()
                .map(|(name, addresses)| (name.clone(), addresses.0.clone()))
                .collect(),
            dns_ttl: fetch.dns_ttl,
            pool: PoolConfig {
                idle_per_origin: fetch.idle_per_origin,
                idle_total: fetch.idle_total,
                idle_timeout: fetch.idle_timeout,
                h2_stream_window: u32::try_from(fetch.h2_stream_window.0).unwrap_or(u32::MAX),
            },
            extra_roots: read_roots(&fetch.ca_file)?,
            body_budget: fetch.body_budget.0,
            user_agent: fetch.user_agent.clone(),
        })
    }

    /// Limits of origins, for a batch.
    pub(crate) fn origin_rules(&self) -> OriginRules {
        let (patterns, others) = self.origin_limits();
        OriginRules::new(patterns, others)
    }

    /// Bounds of the batches that clients have run.
    pub(crate) fn batch_limits(&self) -> fetchway_batches::Limits {
        let batch = &self.batch;
        fetchway_batches::Limits {
            at_once: batch.max_at_once,
            concurrency: batch.max_concurrency,
            held: batch.max_held.as_usize(),
            spool: batch.spool.0,
            spool_memory: batch.spool_memory.0,
            spool_dir: batch.spool_dir.clone(),
            idle_timeout: batch.idle_timeout,
        }
    }

    /// Limits of origins by pattern, in the order in which they count, and the limits of all others.
    fn origin_limits(&self) -> (Vec<(HostPattern, OriginLimits)>, OriginLimits) {
        let others = self.origins.get(DEFAULT);
        let others = others.map_or_else(OriginLimits::default, |limits| limits.to_limits());
        (self.origins_by_rank(), others)
    }

    /// The engine takes the first pattern that matches, so the most specific comes first: names
    /// before wildcards, then the longer before the shorter.
    fn origins_by_rank(&self) -> Vec<(HostPattern, OriginLimits)> {
        let mut ranked: Vec<_> = self
            .origins
            .iter()
            .filter_map(|(text, limits)| {
                let pattern: HostPattern = text.parse().ok()?;
                Some((text, pattern, limits.to_limits()))
            })
            .collect();
        ranked.sort_by_key(|(text, ..)| (text.starts_with('*'), Reverse(text.len())));
        let mut ranked: Vec<_> = ranked
            .into_iter()
            .map(|(_, pattern, limits)| (pattern, limits))
            .collect();
        self.add_apis(&mut ranked);
        ranked
    }

    /// An API of which nothing is said may be sent as much at once as its gateway's lane lets through.
    fn add_apis(&self, ranked: &mut Vec<(HostPattern, OriginLimits)>) {
        let built_in = OriginLimits::default();
        let default = self.origins.get(DEFAULT);
        let default = default.map_or(built_in, |limits| limits.to_limits());
        if default.concurrency != built_in.concurrency {
            return;
        }
        for api in self
            .gateways
            .iter()
            .filter_map(|gateway| gateway.api.as_ref())
        {
            let host = api.url().host_str().unwrap_or_default();
            if let Ok(pattern) = host.parse::<HostPattern>()
                && !ranked.iter().any(|(known, _)| known.matches(host))
            {
                let concurrency = API_CONCURRENCY;
                ranked.push((
                    pattern,
                    OriginLimits {
                        concurrency,
                        ..default
                    },
                ));
            }
        }
    }

    /// Where fetches may go, with `allow_net` in addition to `[guard]`'s.
    #[must_use]
    pub fn address_policy(&self, allow_net: &[IpNet]) -> AddressPolicy {
        let ports = |ports: &[Ports]| ports.iter().map(|p| p.0.clone()).collect();
        let guard = &self.guard;
        AddressPolicy {
            allow_nets: [&guard.allow_net, allow_net].concat(),
            deny_nets: guard.deny_net.clone(),
            allow_hosts: guard.allow_hosts.clone(),
            deny_hosts: guard.deny_hosts.clone(),
            allow_ports: ports(&guard.allow_ports),
            deny_ports: ports(&guard.deny_ports),
        }
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, ReadError> {
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    read_certificates("fetch.ca-file", path)
}

/// The certificates in a PEM file, one at least.
pub(crate) fn read_certificates(
    key: impl fmt::Display,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ReadError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => return Err(ReadError::unreadable(key, path, &error)),
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => {
            let why = "holds no certificate in PEM form; name a file that begins with \
                       -----BEGIN CERTIFICATE-----";
            Err(ReadError::new(key, path, why))
        }
    }
}

/// The credential given directly or by file, whose key is `key`; empty if neither is given.
pub(crate) fn read_token(
    key: impl fmt::Display,
    token: &Secret,
    file: &Path,
) -> Result<Secret, ReadError> {
    if !token.is_empty() || file.as_os_str().is_empty() {
        return Ok(token.clone());
    }
    let mut text = String::new();
    let read = std::fs::File::open(file)
        .and_then(|file| file.take(MAX_TOKEN_FILE + 1).read_to_string(&mut text));
    if let Err(error) = read {
        return Err(ReadError::unreadable(key, file, &error));
    }
    let token = text.trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        return Err(ReadError::new(
            key,
            file,
            "is empty; write the token into it",
        ));
    }
    match crate::auth::check_token(token) {
        Ok(()) => Ok(Secret::new(token)),
        Err(why) => Err(ReadError::new(
            key,
            file,
            format_args!("is no token: {why}"),
        )),
    }
}
