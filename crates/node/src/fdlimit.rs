//! The limit of open files: raised as far as the system lets us, and a warning if that is too low.

use std::io;

use crate::config::Config;

/// Files that a process has open beside its connections: logs, timers, epoll, certificates.
const OTHER_FILES: u64 = 64;

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

/// How many files `config` may need at worst: a connection for every fetch that may be in flight
/// (with HTTP/1.1 each has its own) and for each idle one, the sessions of one token, and the
/// connections that are no sessions.
#[must_use]
pub fn needed(config: &Config) -> u64 {
    let lanes: usize = config
        .lanes
        .values()
        .fold(0, |sum, lane| sum.saturating_add(lane.concurrency));
    let sum = [
        config.fetch.idle_total,
        config.http.max_connections,
        config.relay.max_sessions,
    ]
    .into_iter()
    .fold(lanes, usize::saturating_add);
    (sum as u64).saturating_add(OTHER_FILES)
}

/// What to tell whoever runs the node, if `limit` open files may be too few for `config`.
#[must_use]
pub fn warning(limit: u64, config: &Config) -> Option<String> {
    let needed = needed(config);
    (limit < needed).then(|| {
        format!(
            "at most {limit} files can be open at once, but the configured counts may need \
             {needed}; raise the limit (`ulimit -n {needed}`, or LimitNOFILE={needed} in a systemd \
             unit), or lower lanes.*.concurrency, fetch.idle-total or relay.max-sessions"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_reaches_the_hard_limit() {
        let raised = raise().expect("a process may raise its own limit");
        assert_eq!(get().expect("the limit").rlim_max, raised);
        assert_eq!(soft_limit().expect("the limit"), raised);
    }

    #[test]
    fn a_low_limit_is_told_with_what_to_set() {
        let config = Config::default();
        let needed = needed(&config);
        assert_eq!(warning(needed, &config), None);
        let warning = warning(1_024, &config).expect("1024 is too low");
        assert!(
            warning.contains(&format!("LimitNOFILE={needed}")),
            "{warning}"
        );
    }
}
