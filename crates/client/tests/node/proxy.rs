//! A way to a node that breaks when it is told to: at seeded points, or for good.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A listener that passes everything on to a node.
pub(crate) struct Proxy {
    addr: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    dead: watch::Sender<bool>,
    /// Breaks what is open each time that it changes.
    severed: watch::Sender<u32>,
}

/// When connections are cut.
struct Plan {
    random: StdRng,
    /// Cuts still to come.
    left: u32,
    /// Bytes between two cuts, at most.
    most: u64,
}

/// What a connection may still carry, both ways together.
#[derive(Clone)]
struct Budget(Arc<Mutex<Option<u64>>>);

impl Proxy {
    /// One that cuts nothing yet.
    pub(crate) async fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound listener");
        let random = StdRng::seed_from_u64(0);
        let plan = Arc::new(Mutex::new(Plan {
            random,
            left: 0,
            most: 0,
        }));
        let dead = watch::Sender::new(false);
        let severed = watch::Sender::new(0);
        let ends = (dead.subscribe(), severed.subscribe());
        tokio::spawn(accept(listener, node, Arc::clone(&plan), ends));
        Self {
            addr,
            plan,
            dead,
            severed,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// From the next connection on: each is cut somewhere, `times` in all.
    pub(crate) fn cut(&self, seed: u64, times: u32, most: u64) {
        let random = StdRng::seed_from_u64(seed);
        *lock(&self.plan) = Plan {
            random,
            left: times,
            most,
        };
    }

    /// Cuts still to come.
    pub(crate) fn left(&self) -> u32 {
        lock(&self.plan).left
    }

    /// Breaks every connection; the next ones are taken.
    pub(crate) fn sever(&self) {
        self.severed.send_modify(|times| *times += 1);
    }

    /// Breaks every connection, and takes no more.
    pub(crate) fn kill(&self) {
        self.dead.send_replace(true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> parking_lot::MutexGuard<'_, T> {
    mutex.lock()
}

async fn accept(
    listener: TcpListener,
    node: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    (mut dead, severed): (watch::Receiver<bool>, watch::Receiver<u32>),
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = dead.wait_for(|dead| *dead) => return,
        };
        let Ok((client, _)) = accepted else {
            continue;
        };
        let (budget, reset) = lock(&plan).next();
        let (mut dead, mut severed) = (dead.clone(), severed.clone());
        severed.mark_unchanged();
        let plan = Arc::clone(&plan);
        tokio::spawn(async move {
            tokio::select! {
                cut = carry(client, node, budget, reset) => {
                    if cut {
                        let mut plan = lock(&plan);
                        plan.left = plan.left.saturating_sub(1);
                    }
                }
                _ = dead.wait_for(|dead| *dead) => {}
                _ = severed.changed() => {}
            }
        });
    }
}

impl Plan {
    /// What the next connection may carry, and whether it ends with a reset.
    fn next(&mut self) -> (Budget, bool) {
        let reset = self.random.random();
        let budget = (self.left > 0).then(|| {
            // One in eight is cut within the handshakes.
            let early = self.random.random_ratio(1, 8);
            let most = if early { 600 } else { self.most };
            self.random.random_range(0..most)
        });
        (Budget(Arc::new(Mutex::new(budget))), reset)
    }
}

/// Passes on until either side ends, or the budget does: then it says `true`.
async fn carry(mut client: TcpStream, node: SocketAddr, budget: Budget, reset: bool) -> bool {
    let Ok(mut node) = TcpStream::connect(node).await else {
        return false;
    };
    if reset {
        // What is on its way is lost with it.
        client.set_zero_linger().expect("a TCP socket");
        node.set_zero_linger().expect("a TCP socket");
    }
    let (client_read, client_write) = client.split();
    let (node_read, node_write) = node.split();
    tokio::select! {
        cut = pass(client_read, node_write, &budget) => cut,
        cut = pass(node_read, client_write, &budget) => cut,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    budget: &Budget,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return false;
        };
        let (allowed, cut) = match &mut *lock(&budget.0) {
            None => (read, false),
            Some(left) => {
                let allowed = usize::try_from(*left).unwrap_or(usize::MAX).min(read);
                *left -= allowed as u64;
                (allowed, *left == 0)
            }
        };
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return false;
        }
        if cut {
            return true;
        }
    }
}
