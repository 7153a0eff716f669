//! The loop itself: waits for sockets and mail, and has a driver handle them.
//!
//! Sockets are registered once, edge-triggered for everything, and so never touched again: a client
//! costs no system call but its reads and writes. An event may be for a socket that has gone and whose
//! slot another has. The driver then tries that one for nothing, which does no harm.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

use super::mailbox::{Mail, Mailbox};

/// Events taken at a time. With more the loop first lets the thread's tasks run.
const EVENTS: usize = 256;

/// Handles what happens on one reactor's thread.
pub(crate) trait Driver: Send + 'static {
    /// Work that other threads, and tasks of this one, hand over.
    type Work: Send + 'static;

    /// Handles what has happened to the socket that was registered with `token`.
    fn ready(&mut self, token: usize, readiness: Readiness);

    /// Does some work from the mailbox.
    fn work(&mut self, work: Self::Work);

    /// Looks after timeouts. Called at the interval that [`start`] was given.
    fn sweep(&mut self);

    /// Ends a turn. Returns true if there is more to do at once.
    fn end_turn(&mut self) -> bool;
}

/// The state of a socket, as an event tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, or the socket has failed: only reading to the end shows it.
    pub(crate) ended: bool,
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Self {
        Self {
            readable: event.is_readable(),
            writable: event.is_writable(),
            ended: event.is_read_closed() || event.is_error(),
        }
    }
}

/// Runs `driver` on a thread and a runtime of its own, until its mailbox is stopped. Tasks that the
/// driver spawns run there too.
pub(crate) fn start<D: Driver>(
    driver: D,
    poll: Poll,
    mailbox: Arc<Mailbox<D::Work>>,
    sweep_every: Duration,
) -> io::Result<()> {
    let (give, take) = sync_channel::<Runtime>(1);
    let thread = std::thread::Builder::new().name("fetchway-gateway".to_owned());
    thread.spawn(move || {
        // Dropped on this thread, as a runtime must not be dropped within another.
        let Ok(runtime) = take.recv() else { return };
        let sweeper = mailbox.clone();
        runtime.spawn(async move {
            // One timer serves all sockets. It also keeps tokio from being woken for each request's own
            // timer: while one is due soon, those that are due later need no wake-up.
            loop {
                tokio::time::sleep(sweep_every).await;
                sweeper.put(Mail::Sweep);
            }
        });
        if let Err(error) = runtime.block_on(run(driver, poll, &mailbox)) {
            tracing::error!(%error, "a gateway's epoll set failed: its clients are no longer served");
        }
    })?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    give.send(runtime).map_err(io::Error::other)
}

async fn run<D: Driver>(mut driver: D, poll: Poll, mailbox: &Mailbox<D::Work>) -> io::Result<()> {
    // SAFETY: a `Poll` owns one epoll descriptor, gives that one from `as_raw_fd` for as long as it
    // lives, and it lives in the `AsyncFd` until it is dropped with it.
    let registered = unsafe { AsyncFd::register_with_interest(poll, Interest::READABLE) };
    let mut poll = registered?;
    let mut events = Events::with_capacity(EVENTS);
    let mut arrived = Vec::new();
    loop {
        let woken = tokio::select! {
            biased;
            ready = poll.readable_mut() => Some(ready?),
            () = mailbox.arrival() => None,
        };
        if let Some(mut ready) = woken {
            let poll = ready.get_inner_mut();
            match poll.poll(&mut events, Some(Duration::ZERO)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let mut count = 0;
            for event in &events {
                count += 1;
                driver.ready(event.token().0, event.into());
            }
            if count < EVENTS {
                ready.clear_ready();
            }
        }
        mailbox.take(&mut arrived);
        for mail in arrived.drain(..) {
            match mail {
                Mail::Work(work) => driver.work(work),
                Mail::Sweep => driver.sweep(),
                Mail::Stop => return Ok(()),
            }
        }
        if driver.end_turn() {
            mailbox.wake();
        }
        tokio::task::yield_now().await;
    }
}
