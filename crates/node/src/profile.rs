//! CPU and heap profiles of the running process, in pprof form.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use jemalloc_pprof::PROF_CTL;
use pprof::protos::Message;
use tokio::task::spawn_blocking;

use fetchway_service::problem::{Answer, answer, problem};

/// Samples a second. No divisor of usual periods, so that it does not beat in time with them.
const FREQUENCY: i32 = 99;
const DEFAULT_SECONDS: u64 = 10;
const MAX_SECONDS: u64 = 60;
const CONTENT_TYPE: &str = "application/octet-stream";

/// Code that a sample must not be taken in: unwinding from there may deadlock on the loader's lock.
const NOT_SAMPLED: &[&str] = &["libc", "libgcc", "pthread", "vdso"];

/// One profile at a time: the process has one profiling timer.
static BUSY: AtomicBool = AtomicBool::new(false);

struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        let free = BUSY.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        free.is_ok().then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::Release);
    }
}

/// The duration that a query (`seconds=N`) asks for.
fn seconds(query: Option<&str>) -> Option<Duration> {
    let asked = query
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix("seconds="));
    let seconds = match asked {
        None => DEFAULT_SECONDS,
        Some(text) => text.parse().ok()?,
    };
    (1..=MAX_SECONDS)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

/// Where the CPU goes during the next seconds. Dropping the future ends the profile.
pub(crate) async fn cpu(query: Option<&str>) -> Answer {
    let Some(time) = seconds(query) else {
        let detail = format!(
            "`seconds` must be a whole number from 1 to {MAX_SECONDS}, as in \
             /debug/pprof/profile?seconds={DEFAULT_SECONDS}."
        );
        return problem(StatusCode::BAD_REQUEST, &detail);
    };
    let Some(turn) = Turn::take() else {
        let detail = "Another CPU profile is being taken; ask again when it is done.";
        return problem(StatusCode::TOO_MANY_REQUESTS, detail);
    };
    let builder = pprof::ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(NOT_SAMPLED);
    let guard = match builder.build() {
        Ok(guard) => guard,
        Err(e) => return failed("CPU", &e),
    };
    tokio::time::sleep(time).await;
    // Looking up symbols reads the program's debug information: too long for the runtime's threads.
    let report = spawn_blocking(move || {
        let profile = guard.report().build().and_then(|report| report.pprof());
        drop((guard, turn));
        profile.map(|profile| profile.encode_to_vec())
    });
    match report.await {
        Ok(Ok(bytes)) => answer(StatusCode::OK, CONTENT_TYPE, bytes),
        Ok(Err(e)) => failed("CPU", &e),
        Err(e) => failed("CPU", &e),
    }
}

/// Returns the memory that is allocated now, by the place of its allocation. Sampled, gzipped.
pub(crate) async fn heap() -> Answer {
    let taken = spawn_blocking(|| {
        let control = profiling_allocator()?;
        let mut control = control.blocking_lock();
        control.activated().then(|| control.dump_pprof())
    });
    match taken.await {
        Ok(Some(Ok(bytes))) => answer(StatusCode::OK, CONTENT_TYPE, bytes),
        Ok(Some(Err(e))) => failed("heap", &e),
        Err(e) => failed("heap", &e),
        Ok(None) => problem(
            StatusCode::NOT_IMPLEMENTED,
            "This process does not run under jemalloc with active profiling, so there is no heap \
             profile; the fetchway binary does unless _RJEM_MALLOC_CONF turns it off.",
        ),
    }
}

fn profiling_allocator()
-> Option<std::sync::Arc<tokio::sync::Mutex<jemalloc_pprof::JemallocProfCtl>>> {
    // Asked for first, as PROF_CTL panics where jemalloc was built without profiling.
    // SAFETY: jemalloc documents opt.prof as a readable bool.
    let enabled: Result<bool, _> = unsafe { tikv_jemalloc_ctl::raw::read(b"opt.prof\0") };
    match enabled {
        Ok(true) => PROF_CTL.clone(),
        _ => None,
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Answer {
    tracing::warn!(%error, "a {what} profile could not be taken");
    let detail = format!("The {what} profile could not be taken: {error}.");
    problem(StatusCode::INTERNAL_SERVER_ERROR, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_last_a_bounded_time() {
        assert_eq!(seconds(None), Some(Duration::from_secs(DEFAULT_SECONDS)));
        assert_eq!(seconds(Some("a=b&seconds=3")), Some(Duration::from_secs(3)));
        for query in [
            "seconds=0",
            "seconds=61",
            "seconds=",
            "seconds=-1",
            "seconds=1.5",
        ] {
            assert_eq!(seconds(Some(query)), None, "{query}");
        }
    }

    /// The test program runs under the system's allocator.
    #[tokio::test]
    async fn another_allocator_has_no_heap_profile_and_says_so() {
        assert_eq!(heap().await.status(), StatusCode::NOT_IMPLEMENTED);
    }
}
