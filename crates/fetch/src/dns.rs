//! Names to addresses: fixed names first, then the system's resolver. Answers are cached, and the same
//! question is asked once at a time. The dial checks the addresses, each time.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fetchway_policy::{ErrorName, FetchError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock;

/// Maximum number of cached names. Beyond it, expired names are removed; if none has expired, all are.
const MAX_NAMES: usize = 10_000;

/// Maximum number of questions at once. Each takes a thread of the blocking pool.
const MAX_QUESTIONS: usize = 64;

/// A resolver, which may block.
type Resolver = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

type Addresses = Arc<[IpAddr]>;
type Answer = Result<Addresses, FetchError>;
type Asking = Shared<BoxFuture<'static, Answer>>;

enum Entry {
    /// The question in progress. Its waiters keep it alive: an answer to a question that all have given up
    /// would come late, and be out of date.
    Asking(WeakShared<BoxFuture<'static, Answer>>),
    Known(Answer, Instant),
}

/// The DNS cache of one engine.
pub(crate) struct Dns {
    fixed: HashMap<String, Addresses>,
    ttl: Duration,
    resolver: Resolver,
    entries: Mutex<HashMap<String, Entry>>,
    questions: Arc<Semaphore>,
}

impl Dns {
    /// Returns a cache in front of the system's resolver.
    pub(crate) fn new(fixed: &[(String, Vec<IpAddr>)], ttl: Duration) -> Self {
        Self::asking(Arc::new(system), fixed, ttl)
    }

    fn asking(resolver: Resolver, fixed: &[(String, Vec<IpAddr>)], ttl: Duration) -> Self {
        let fixed = fixed
            .iter()
            .map(|(name, addresses)| (name.to_ascii_lowercase(), Arc::from(addresses.as_slice())))
            .collect();
        Self {
            fixed,
            ttl,
            resolver,
            entries: Mutex::default(),
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        }
    }

    /// Returns the addresses of `name`, at least one.
    pub(crate) async fn resolve(&self, name: &str) -> Answer {
        if let Some(addresses) = self.fixed.get(name) {
            return Ok(addresses.clone());
        }
        let asking = match self.look_up(name, Instant::now()) {
            Ok(answer) => return answer,
            Err(asking) => asking,
        };
        let answer = asking.clone().await;
        self.remember(name, &asking, &answer);
        answer
    }

    /// Returns the cached answer, or the question in progress, which is begun if necessary.
    fn look_up(&self, name: &str, now: Instant) -> Result<Answer, Asking> {
        let mut entries = self.entries.lock();
        match entries.get(name) {
            Some(Entry::Known(answer, until)) if *until > now => return Ok(answer.clone()),
            Some(Entry::Asking(asking)) => {
                if let Some(asking) = asking.upgrade() {
                    return Err(asking);
                }
            }
            _ => {}
        }
        if entries.len() >= MAX_NAMES {
            entries.retain(|_, entry| !entry.is_over(now));
            if entries.len() >= MAX_NAMES {
                entries.clear();
            }
        }
        let question = ask(
            name.to_owned(),
            self.resolver.clone(),
            self.questions.clone(),
        );
        let asking = question.boxed().shared();
        if let Some(weak) = asking.downgrade() {
            entries.insert(name.to_owned(), Entry::Asking(weak));
        }
        Err(asking)
    }

    /// Stores the answer, unless a later question of the same name has been asked.
    fn remember(&self, name: &str, asking: &Asking, answer: &Answer) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(name)
            && let Entry::Asking(weak) = entry
            && weak.upgrade().is_some_and(|known| known.ptr_eq(asking))
        {
            let life = match answer {
                Ok(_) => self.ttl,
                Err(_) => self.ttl / 10,
            };
            *entry = Entry::Known(answer.clone(), clock::after(life));
        }
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Asking(asking) => asking.upgrade().is_none(),
            Self::Known(_, until) => *until <= now,
        }
    }
}

async fn ask(name: String, resolver: Resolver, questions: Arc<Semaphore>) -> Answer {
    let place = questions.acquire_owned().await;
    let asked = name.clone();
    // The place goes with the question, because a question that all have given up still has its thread.
    let found = tokio::task::spawn_blocking(move || {
        let _place = place;
        resolver(&asked)
    });
    let addresses = match found.await.map_err(io::Error::other).flatten() {
        Ok(addresses) => addresses,
        Err(error) => return Err(failed(&name, &error)),
    };
    if addresses.is_empty() {
        let detail = format!("The host {name} has no address: check the name.");
        return Err(FetchError::new(ErrorName::DnsError, detail));
    }
    Ok(addresses.into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "it blocks on a thread for that; the dial vets what it answers"
)]
fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    use std::net::ToSocketAddrs as _;
    let found = (name, 0).to_socket_addrs()?;
    Ok(found.map(|address| address.ip()).collect())
}

fn failed(name: &str, error: &io::Error) -> FetchError {
    let detail = format!("The host {name} could not be resolved ({error}): check the name.");
    FetchError::new(ErrorName::DnsError, detail)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn counting(answer: fn() -> io::Result<Vec<IpAddr>>) -> (Dns, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let resolver = move |_: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            answer()
        };
        let dns = Dns::asking(Arc::new(resolver), &[], Duration::from_secs(30));
        (dns, count)
    }

    #[tokio::test]
    async fn fixed_names_come_first() {
        let fixed = [("Api.Test".to_owned(), vec![IP])];
        let dns = Dns::new(&fixed, Duration::from_secs(30));
        assert_eq!(*dns.resolve("api.test").await.unwrap(), [IP]);
    }

    #[tokio::test(start_paused = true)]
    async fn simultaneous_questions_are_one_and_answers_are_kept_for_their_time() {
        let (dns, count) = counting(|| Ok(vec![IP]));
        let many = (0..100).map(|_| dns.resolve("a.test"));
        for answer in futures_util::future::join_all(many).await {
            assert_eq!(*answer.unwrap(), [IP]);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(29)).await;
        dns.resolve("a.test").await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        dns.resolve("a.test").await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_dns_errors_and_kept_for_a_tenth() {
        let (dns, count) = counting(|| Err(io::Error::other("no such name")));
        for (wait, questions) in [(0, 1), (2, 1), (2, 2)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            let error = dns.resolve("a.test").await.unwrap_err();
            assert_eq!(error.name, ErrorName::DnsError);
            assert_eq!(count.load(Ordering::SeqCst), questions);
        }
        let (dns, _) = counting(|| Ok(Vec::new()));
        let error = dns.resolve("a.test").await.unwrap_err();
        assert_eq!(error.name, ErrorName::DnsError);
    }

    #[tokio::test]
    async fn a_question_that_all_gave_up_is_asked_anew() {
        // The first question is answered only when the test lets it.
        let (release, held) = mpsc::sync_channel::<()>(0);
        let held = Mutex::new(Some(held));
        let resolver = move |_: &str| {
            let first = held.lock().take();
            match first {
                Some(held) => held.recv().map(|()| Vec::new()).map_err(io::Error::other),
                None => Ok(vec![IP]),
            }
        };
        let dns = Dns::asking(Arc::new(resolver), &[], Duration::from_secs(30));
        let mut first = Box::pin(dns.resolve("a.test"));
        assert!((&mut first).now_or_never().is_none());
        // Joined by a second, then both go; the resolver's thread is still at it.
        let mut second = Box::pin(dns.resolve("a.test"));
        assert!((&mut second).now_or_never().is_none());
        drop((first, second));
        assert_eq!(*dns.resolve("a.test").await.unwrap(), [IP]);
        drop(release);
    }

    #[tokio::test]
    async fn names_are_forgotten_before_there_are_too_many() {
        let (dns, _) = counting(|| Ok(vec![IP]));
        for n in 0..MAX_NAMES + 10 {
            dns.resolve(&format!("{n}.test")).await.unwrap();
            assert!(dns.entries.lock().len() <= MAX_NAMES);
        }
    }
}
