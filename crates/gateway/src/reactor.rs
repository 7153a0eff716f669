//! Client sockets wait here: an epoll set of our own on a thread of its own. What its clients send goes
//! to the API from that thread, over connections of its own, so that nothing of a message crosses from
//! one thread to another.
//!
//! Sockets are registered once, edge-triggered for everything, and so never touched again: a client
//! costs no system call but its reads and writes. An event may be for a client that has gone and whose
//! place another has: that one is looked at for nothing, which does no harm.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use fetchway_fetch::Direct;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use tokio::io::Interest as Wanted;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use crate::conn::Conn;
use crate::gateway::Inner;
use crate::lines::{self, LINE, Lines};

/// Clients are looked at in so many slices, one after the other.
pub(crate) const SLICES: u32 = 4;

/// Events taken at a time. With more the task lets others run between.
const EVENTS: usize = 256;

/// What has happened to a client's socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The client has ended its side, or the socket has failed: only reading to the end shows it.
    pub(crate) ended: bool,
}

#[derive(Default)]
struct Places {
    conns: Vec<Option<Arc<Conn>>>,
    free: Vec<u32>,
}

/// One set of sockets.
pub(crate) struct Reactor {
    registry: Registry,
    places: Mutex<Places>,
    /// Runs the tasks of its clients.
    pub(crate) tasks: Handle,
    gateway: OnceLock<Weak<Inner>>,
    /// Those that have had their turn and more to be read, each once.
    unread: Mutex<Vec<Arc<Conn>>>,
    more: Notify,
    stop: Notify,
}

impl Reactor {
    /// A reactor on a thread of its own, which waits for its first client.
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let run = move || {
            // Built here, as it is dropped here: a runtime must not be dropped within another.
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let reactor = Arc::new(Self {
                registry,
                places: Mutex::default(),
                tasks: runtime.handle().clone(),
                gateway: OnceLock::new(),
                unread: Mutex::default(),
                more: Notify::new(),
                stop: Notify::new(),
            });
            if tell.send(Ok(reactor.clone())).is_err() {
                return;
            }
            runtime.block_on(async {
                let ran = tokio::select! {
                    ran = reactor.run(poll) => ran,
                    () = reactor.stop.notified() => Ok(()),
                };
                if let Err(error) = ran {
                    tracing::error!(%error, "a gateway's set of sockets failed: its clients hang");
                }
            });
        };
        let thread = std::thread::Builder::new().name("fetchway-gateway".to_owned());
        thread.spawn(run)?;
        told.recv().map_err(io::Error::other)?
    }

    /// Says whose clients will be here, and how their messages reach the API directly, if they can.
    pub(crate) fn belongs_to(
        self: &Arc<Self>,
        gateway: &Arc<Inner>,
        direct: Option<Direct>,
    ) -> io::Result<()> {
        if let Some(direct) = direct {
            let registry = self.registry.try_clone()?;
            let lines = Lines::new(gateway, direct, self, registry);
            // On its own thread.
            self.tasks.spawn(async move { lines::set_up(lines) });
        }
        let gateway = Arc::downgrade(gateway);
        self.tasks.spawn(self.clone().look(gateway.clone()));
        // Told once, by the gateway that began it.
        let _ = self.gateway.set(gateway);
        Ok(())
    }

    /// Has it take a turn.
    pub(crate) fn wake(&self) {
        self.more.notify_one();
    }

    /// Ends its thread.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a client.
    pub(crate) fn place(&self, conn: &Arc<Conn>) -> u32 {
        let mut places = self.places();
        if let Some(free) = places.free.pop() {
            places.conns[free as usize] = Some(conn.clone());
            return free;
        }
        places.conns.push(Some(conn.clone()));
        places.conns.len() as u32 - 1
    }

    /// Watches the socket of the client at a place.
    pub(crate) fn watch(&self, place: u32, fd: std::os::fd::RawFd) -> io::Result<()> {
        let all = Interest::READABLE | Interest::WRITABLE;
        self.registry
            .register(&mut SourceFd(&fd), Token(place as usize), all)
    }

    /// Gives a place back. The socket leaves the set when it is closed.
    pub(crate) fn leave(&self, place: u32) {
        let mut places = self.places();
        if let Some(conn) = places.conns.get_mut(place as usize)
            && conn.take().is_some()
        {
            places.free.push(place);
        }
    }

    fn at(&self, place: usize) -> Option<Arc<Conn>> {
        self.places().conns.get(place)?.clone()
    }

    /// Places in use and free.
    fn len(&self) -> usize {
        self.places().conns.len()
    }

    /// The clients at some places.
    fn slice(&self, places: std::ops::Range<usize>) -> Vec<Arc<Conn>> {
        let all = self.places();
        let end = places.end.min(all.conns.len());
        let slice = all.conns.get(places.start..end).unwrap_or_default();
        slice.iter().flatten().cloned().collect()
    }

    /// Looks at all clients again and again: pings, silence, stalls. One timer serves them all.
    ///
    /// It also keeps tokio from being woken for each request's own timer: while one rings soon, those
    /// that ring later need no telling.
    async fn look(self: Arc<Self>, gateway: Weak<Inner>) {
        let mut slice = 0;
        while let Some(every) = gateway.upgrade().map(|gateway| gateway.look_every()) {
            tokio::time::sleep(every).await;
            let Some(gateway) = gateway.upgrade() else {
                return;
            };
            slice = (slice + 1) % SLICES;
            let len = self.len().div_ceil(SLICES as usize);
            let begin = len * slice as usize;
            for conn in self.slice(begin..begin + len) {
                gateway.look_at(&conn);
            }
            gateway.table.sweep();
            gateway.look_at_troubles();
            lines::with(&gateway, Lines::look);
        }
    }

    async fn run(&self, poll: Poll) -> io::Result<()> {
        // SAFETY: a `Poll` owns one epoll descriptor, gives that one from `as_raw_fd` for as long as it
        // lives, and it lives in the `AsyncFd` until it is dropped with it.
        let registered = unsafe { AsyncFd::register_with_interest(poll, Wanted::READABLE) };
        let mut poll = registered?;
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let woken = tokio::select! {
                biased;
                ready = poll.readable_mut() => Some(ready?),
                () = self.more.notified() => None,
            };
            let Some(gateway) = self.gateway.get().and_then(Weak::upgrade) else {
                continue;
            };
            lines::with(&gateway, Lines::attend);
            if let Some(mut ready) = woken {
                match ready
                    .get_inner_mut()
                    .poll(&mut events, Some(Duration::ZERO))
                {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    polled => polled?,
                }
                if self.events(&gateway, &events) < EVENTS {
                    ready.clear_ready();
                }
            }
            // Once each: between two turns of a client, others have theirs.
            let unread = std::mem::take(&mut *self.unread());
            for conn in unread {
                gateway.read_again(&conn);
            }
            lines::with(&gateway, Lines::flush);
            drop(gateway);
            tokio::task::yield_now().await;
        }
    }

    /// Tells the gateway of events; gives how many there were.
    fn events(&self, gateway: &Arc<Inner>, events: &Events) -> usize {
        let mut count = 0;
        for event in events {
            count += 1;
            let ready = Ready {
                readable: event.is_readable(),
                writable: event.is_writable(),
                ended: event.is_read_closed() || event.is_error(),
            };
            let Token(token) = event.token();
            if token & LINE != 0 {
                lines::with(gateway, |lines| lines.ready(token, ready));
            } else if let Some(conn) = self.at(token) {
                gateway.ready(&conn, ready);
            }
        }
        count
    }

    fn unread(&self) -> MutexGuard<'_, Vec<Arc<Conn>>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is more to be read of a client, when others have had their turn.
    pub(crate) fn again(&self, conn: &Arc<Conn>) {
        self.unread().push(conn.clone());
        self.more.notify_one();
    }
}
