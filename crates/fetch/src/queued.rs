//! A fetch with a place in the queues of its lane and origin, and the ways to perform it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use fetchway_policy::FetchError;

use crate::account::{Account, Place};
use crate::answer::Fetched;
use crate::defaults;
use crate::door::Door;
use crate::end::End;
use crate::request::FetchRequest;
use crate::run::Run;
use crate::whole::Whole;

/// A fetch with a place in the queues, or its turn already. Dropping it cancels the fetch.
pub struct Queued {
    account: Account,
    /// Boxed, because it is moved from future to future.
    request: Box<FetchRequest>,
    /// Counts the bytes of the request's body that were sent.
    sent: Arc<AtomicU64>,
    end: End,
    /// The place, or the reason why the fetch has none.
    place: Result<Place, FetchError>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Queued").field(&self.request).finish()
    }
}

impl Account {
    /// Takes a place in the queues of the request's lane and origin. Fetches that one account queues
    /// one after the other are dispatched in that order, as far as their origins allow. An error is
    /// returned when the fetch is performed.
    #[must_use]
    pub fn queue(&self, mut request: FetchRequest) -> Queued {
        let engine = self.engine();
        let sent = Arc::default();
        let end = End::begin(engine.observer().clone(), request.lane, Arc::clone(&sent));
        defaults::set(&mut request, engine.user_agent());
        let place = self.ask(&request, false);
        Queued {
            account: self.clone(),
            request: Box::new(request),
            sent,
            end,
            place,
        }
    }
}

impl Queued {
    /// Performs the fetch up to its response's header. Dropping the future cancels it.
    ///
    /// # Errors
    /// Any error of a fetch, by name.
    pub fn perform(self) -> impl Future<Output = Result<Fetched, FetchError>> + Send {
        self.run(None)
    }

    /// Performs the fetch up to its response's header, and asks `door` before each of its requests. The
    /// owner of the door decides about retries, and those of the lane do not apply.
    ///
    /// # Errors
    /// Any error of a fetch, by name.
    pub fn perform_through(
        self,
        door: &dyn Door,
    ) -> impl Future<Output = Result<Fetched, FetchError>> + Send {
        self.run(Some(door))
    }

    /// Performs the fetch and reads the response's body whole, as [`Fetched::whole`] does.
    ///
    /// # Errors
    /// Any error of a fetch, by name.
    pub async fn perform_whole(self, weight: u64) -> Result<Whole, FetchError> {
        self.perform().await?.whole(weight).await
    }

    async fn run(self, door: Option<&dyn Door>) -> Result<Fetched, FetchError> {
        let run = Run::new(&self.account, door, self.request, self.sent);
        let performed = match self.place {
            Ok(place) => run.perform(place).await,
            Err(error) => Err(error),
        };
        match performed {
            Ok((request, answer)) => answer.hand_over(*request, self.account, self.end),
            Err(error) => {
                self.end.tell(Some(error.name), 0);
                Err(error)
            }
        }
    }
}
