//! Names to addresses: fixed names first, then the system's resolver, its answers cached and
//! simultaneous questions asked once. Nothing is vetted here: the dial does that, each time.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fetchway_policy::{ErrorName, FetchError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Names remembered. Beyond it the expired go, and if none has, all do.
const MAX_NAMES: usize = 10_000;

/// Questions under way at once: each holds a thread of the blocking pool.
const MAX_QUESTIONS: usize = 64;

type Addresses = Arc<[IpAddr]>;
type Answer = Result<Addresses, FetchError>;

enum Entry {
    Asking(Shared<BoxFuture<'static, Answer>>),
    Known(Answer, Instant),
}

/// The cache of one engine.
pub(crate) struct Dns {
    fixed: HashMap<String, Addresses>,
    ttl: Duration,
    entries: Mutex<HashMap<String, Entry>>,
    questions: Arc<Semaphore>,
}

impl Dns {
    pub(crate) fn new(fixed: &[(String, Vec<IpAddr>)], ttl: Duration) -> Self {
        let fixed = fixed
            .iter()
            .map(|(name, addresses)| (name.to_ascii_lowercase(), Arc::from(addresses.as_slice())))
            .collect();
        Self {
            fixed,
            ttl,
            entries: Mutex::default(),
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of `name`; at least one.
    pub(crate) async fn resolve(&self, name: &str) -> Answer {
        if let Some(addresses) = self.fixed.get(name) {
            return Ok(addresses.clone());
        }
        let asking = match self.look_up(name, Instant::now()) {
            Entry::Known(answer, _) => return answer,
            Entry::Asking(asking) => asking,
        };
        let answer = asking.await;
        let life = if answer.is_ok() {
            self.ttl
        } else {
            self.ttl / 10
        };
        let known = Entry::Known(answer.clone(), Instant::now() + life);
        self.entries().insert(name.to_owned(), known);
        answer
    }

    /// What is known, or the question under way, begun here if need be.
    fn look_up(&self, name: &str, now: Instant) -> Entry {
        let mut entries = self.entries();
        match entries.get(name) {
            Some(Entry::Known(answer, until)) if *until > now => {
                return Entry::Known(answer.clone(), *until);
            }
            Some(Entry::Asking(asking)) => return Entry::Asking(asking.clone()),
            _ => {}
        }
        if entries.len() >= MAX_NAMES {
            entries.retain(|_, entry| !matches!(entry, Entry::Known(_, until) if *until <= now));
            if entries.len() >= MAX_NAMES {
                entries.clear();
            }
        }
        let asking = ask(name.to_owned(), self.questions.clone())
            .boxed()
            .shared();
        entries.insert(name.to_owned(), Entry::Asking(asking.clone()));
        Entry::Asking(asking)
    }
}

async fn ask(name: String, questions: Arc<Semaphore>) -> Answer {
    let _place = questions.acquire().await;
    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
    let addresses: Vec<IpAddr> = match found {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(error) => return Err(failed(&name, &error)),
    };
    if addresses.is_empty() {
        let detail = format!("The host {name} has no address: check the name.");
        return Err(FetchError::new(ErrorName::DnsError, detail));
    }
    Ok(addresses.into())
}

fn failed(name: &str, error: &io::Error) -> FetchError {
    let detail = format!("The host {name} could not be resolved ({error}): check the name.");
    FetchError::new(ErrorName::DnsError, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fixed_names_come_first_and_unknown_ones_are_a_dns_error() {
        let fixed = [("Api.Test".to_owned(), vec![IpAddr::from([192, 0, 2, 1])])];
        let dns = Dns::new(&fixed, Duration::from_secs(30));
        assert_eq!(
            *dns.resolve("api.test").await.unwrap(),
            [IpAddr::from([192, 0, 2, 1])]
        );
        let (a, b) = tokio::join!(
            dns.resolve("nonexistent.invalid"),
            dns.resolve("nonexistent.invalid")
        );
        assert_eq!(a.as_ref().unwrap_err().name, ErrorName::DnsError);
        assert_eq!(a, b);
        assert!(matches!(
            dns.entries()["nonexistent.invalid"],
            Entry::Known(Err(_), _)
        ));
    }
}
