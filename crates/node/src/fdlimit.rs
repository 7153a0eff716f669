//! The limit of open files: raised as far as the system lets us, and what is said if that is too low.

use std::io;

use crate::config::{Config, KeyPath, Loaded, Source};

/// Files that a process has open beside its connections: logs, timers, epoll, certificates.
const OTHER_FILES: u64 = 64;

/// Files that clients of gateways leave to everything else, connections to their APIs above all: a
/// quarter of the limit, and at most so many.
const MOST_RESERVED: u64 = 4_096;

/// Raises the soft limit to the hard one.
///
/// # Errors
/// The system's own.
///
/// # Returns
/// The soft limit now in force.
pub fn raise() -> io::Result<u64> {
    let mut limit = get()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid rlimit that outlives the call, which only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// The soft limit in force.
pub(crate) fn soft_limit() -> io::Result<u64> {
    Ok(get()?.rlim_cur)
}

fn get() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call, which only writes to it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// How many files `config` may need at worst, if every count is reached at once: a connection for every
/// fetch that may be in flight (with HTTP/1.1 each has its own) and for each idle one, the sessions of
/// one token, the connections that are no sessions, and clients of gateways as far as there is a bound.
/// The others get what is left: [`clients`].
fn at_worst(config: &Config) -> u64 {
    let lanes = config.lanes.values().map(|lane| lane.concurrency);
    let beside = [
        config.fetch.idle_total,
        config.http.max_connections,
        if_relaying(config, config.relay.max_sessions),
    ];
    sum(lanes.chain(beside).chain(bounds_of_clients(config)))
}

/// Each `max-clients` that is set.
fn bounds_of_clients(config: &Config) -> impl Iterator<Item = usize> {
    let gateways = config.gateways.iter();
    gateways
        .map(|gateway| gateway.max_clients)
        .filter(|most| *most > 0)
}

/// How many clients each gateway may have that sets no `max-clients`, with `limit` open files: an equal
/// share of what is left by the reserve and by the gateways that do.
pub(crate) fn clients(limit: u64, config: &Config) -> usize {
    let reserve = (limit / 4).min(MOST_RESERVED);
    let set = bounds_of_clients(config).fold(reserve, |sum, most| sum.saturating_add(most as u64));
    let unset = config
        .gateways
        .iter()
        .filter(|gateway| gateway.max_clients == 0);
    let share = limit.saturating_sub(set) / (unset.count() as u64).max(1);
    // One at least: that there are too few files for more is warned of.
    usize::try_from(share).unwrap_or(usize::MAX).max(1)
}

/// A limit of the relay, which does not count where there is none.
fn if_relaying(config: &Config, limit: usize) -> usize {
    config.listen.0.map_or(0, |_| limit)
}

/// How many files are needed for what was asked for: the counts that someone has set. What nobody has
/// set counts for one session with as many fetches as it may have, which is the least to be expected.
fn asked_for(loaded: &Loaded) -> u64 {
    let config = &loaded.config;
    let is_set =
        |keys: &[&str]| *loaded.source(&KeyPath::of(keys.iter().copied())) != Source::Default;
    let all = config.lanes.values().map(|lane| lane.concurrency);
    let one_session = if_relaying(config, config.relay.max_in_flight);
    let one_session = one_session.min(all.fold(0, usize::saturating_add));
    let lanes = config.lanes.iter();
    let set = lanes.filter(|(name, _)| is_set(&["lanes", name, "concurrency"]));
    let fetches = set
        .map(|(_, lane)| lane.concurrency)
        .fold(0, usize::saturating_add);
    let beside = [
        (["fetch", "idle-total"], config.fetch.idle_total),
        (["http", "max-connections"], config.http.max_connections),
        (["relay", "max-sessions"], config.relay.max_sessions),
    ];
    let beside = beside
        .into_iter()
        .filter(|(keys, _)| is_set(keys))
        .map(|(_, count)| count);
    let clients = bounds_of_clients(config);
    sum(beside.chain(clients).chain([fetches.max(one_session)]))
}

fn sum(counts: impl Iterator<Item = usize>) -> u64 {
    counts.fold(OTHER_FILES, |sum, count| sum.saturating_add(count as u64))
}

/// Advice for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// The limit does for anything.
    None,
    /// The limit would be too low if all counts were reached at once, which is not expected.
    Note(String),
    /// The limit may be too low for the configuration.
    Warning(String),
}

/// Whether `limit` open files will do for the configuration.
#[must_use]
pub fn advice(limit: u64, loaded: &Loaded) -> Advice {
    let (needed, worst) = (asked_for(loaded), at_worst(&loaded.config));
    let clients = match loaded.config.gateways.is_empty() {
        true => "",
        false => "; each client of a gateway needs one more",
    };
    if limit < needed {
        Advice::Warning(format!(
            "at most {limit} files can be open at once, and the configured counts may need {needed}: \
             raise the limit (`ulimit -n {needed}`, or LimitNOFILE={needed} in a systemd unit), or lower \
             relay.max-in-flight, lanes.*.concurrency, fetch.idle-total, http.max-connections, \
             relay.max-sessions or gateways[*].max-clients{clients}"
        ))
    } else if limit < worst {
        Advice::Note(format!(
            "at most {limit} files can be open at once; all of lanes.*.concurrency, fetch.idle-total, \
             http.max-connections and relay.max-sessions together would need {worst}{clients}"
        ))
    } else {
        Advice::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn loaded(toml: &str) -> Loaded {
        let layers = Layers::new().file("t.toml".as_ref(), toml);
        layers.load().expect("a valid configuration")
    }

    #[test]
    fn raising_reaches_the_hard_limit() {
        let raised = raise().expect("a process may raise its own limit");
        assert_eq!(get().expect("the limit").rlim_max, raised);
        assert_eq!(soft_limit().expect("the limit"), raised);
    }

    #[test]
    fn one_full_session_is_the_least_to_be_expected() {
        let defaults = loaded("");
        let one = defaults.config.relay.max_in_flight as u64 + OTHER_FILES;
        assert!(matches!(advice(one, &defaults), Advice::Note(_)));
        let Advice::Warning(warning) = advice(one - 1, &defaults) else {
            panic!("one session alone may need more");
        };
        assert!(warning.contains(&format!("LimitNOFILE={one}")), "{warning}");
        assert_eq!(advice(at_worst(&defaults.config), &defaults), Advice::None);
    }

    #[test]
    fn a_node_that_relays_nothing_needs_nothing_for_it() {
        let gateway = "listen = 'none'\n[[gateways]]\nlisten = '127.0.0.1:0'\napi = 'http://a/'";
        let gateway = loaded(gateway);
        assert_eq!(asked_for(&gateway), OTHER_FILES);
        let relay = Config::default();
        let lanes = gateway.config.lanes.values().map(|lane| lane.concurrency);
        let all = sum(lanes) + (relay.fetch.idle_total + relay.http.max_connections) as u64;
        assert_eq!(at_worst(&gateway.config), all);
        let Advice::Note(note) = advice(OTHER_FILES, &gateway) else {
            panic!("it may need more");
        };
        assert!(
            note.ends_with("each client of a gateway needs one more"),
            "{note}"
        );
    }

    #[test]
    fn clients_get_what_the_others_leave() {
        let gateways = |bounds: &[usize]| {
            let one = |(i, most)| {
                format!(
                    "[[gateways]]\nname = 'g{i}'\nlisten = '127.0.0.1:0'\napi = 'http://a/'\n\
                     max-clients = {most}\n"
                )
            };
            let all = bounds.iter().enumerate().map(one).collect::<String>();
            loaded(&format!("listen = 'none'\n{all}"))
        };
        for (limit, bounds, expected) in [
            (1_024, &[0][..], 768),
            (20_000, &[0], 15_904),
            (20_000, &[0, 0], 7_952),
            (20_000, &[0, 5_904], 10_000),
            (20_000, &[0, 30_000], 1),
            (0, &[0], 1),
        ] {
            let config = gateways(bounds).config;
            assert_eq!(clients(limit, &config), expected, "{limit} {bounds:?}");
        }
        let many = gateways(&[30_000]);
        assert_eq!(asked_for(&many), 30_000 + OTHER_FILES);
        let Advice::Warning(warning) = advice(20_000, &many) else {
            panic!("they do not fit");
        };
        assert!(warning.contains("max-clients"), "{warning}");
    }

    #[test]
    fn counts_that_someone_has_set_are_needed_in_full() {
        let few = loaded("lanes.default.concurrency = 100");
        assert!(matches!(advice(100 + OTHER_FILES, &few), Advice::Note(_)));
        assert!(matches!(advice(99 + OTHER_FILES, &few), Advice::Warning(_)));
        let many = loaded("relay.max-sessions = 50000\nlanes.bulk.concurrency = 20000");
        let needed = 70_000 + OTHER_FILES;
        assert!(matches!(advice(needed, &many), Advice::Note(_)));
        assert!(matches!(advice(needed - 1, &many), Advice::Warning(_)));
    }
}
