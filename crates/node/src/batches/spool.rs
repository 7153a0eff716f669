//! What a client has sent and the batch has not taken: in memory first, then in a file without a name.
//!
//! ```text
//!   client ──▶ memory ───────────────▶ batch      while the file is empty and memory has room
//!   client ──▶ file (a ring) ────────▶ batch      from then on, until the file is empty again
//! ```
//!
//! One task writes and one reads. The file's blocks are used again in a ring, so it never grows beyond
//! its bound however long the batch is; it has no name, so nothing is left of it whatever happens.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// Bytes read from the file at once.
const READ: u64 = 128 << 10;
/// What a piece takes in memory beside its bytes.
const PIECE_WEIGHT: usize = 128;

/// How much a spool holds, and where.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Bytes in memory; more go to the file.
    pub(super) memory: usize,
    /// Bytes in the file; more are refused.
    pub(super) file: u64,
    /// The folder for the file; empty for the system's own.
    pub(super) folder: PathBuf,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spool {
    bounds: Bounds,
    state: Mutex<State>,
    /// There is more to read, or the end.
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<Bytes>,
    /// Bytes of `memory`, and what its pieces take beside them.
    weight: usize,
    file: Option<Arc<File>>,
    /// Bytes that have been read from the file in all, and written to it.
    read: u64,
    written: u64,
    /// Nothing more is written: the end, or why there is none.
    end: Option<Result<(), FetchError>>,
}

/// What there is to read.
enum Seen {
    Piece(Bytes),
    /// From where in the file, and how much.
    File(Arc<File>, u64, u64),
    End(Result<(), FetchError>),
    Nothing,
}

impl Spool {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::default(),
            more: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece. Only one task may do so.
    ///
    /// # Errors
    /// `limit_exceeded` if it is full, `proxy_internal_error` if the file fails. Nothing may come after.
    pub(super) async fn write(&self, piece: Bytes) -> Result<(), FetchError> {
        let (file, written) = {
            let mut state = self.state();
            let weight = piece.len() + PIECE_WEIGHT;
            let is_file_empty = state.read == state.written;
            if is_file_empty && state.weight + weight <= self.bounds.memory {
                state.weight += weight;
                state.memory.push_back(piece);
                drop(state);
                self.more.notify_one();
                return Ok(());
            }
            let len = piece.len() as u64;
            if state.written - state.read + len > self.bounds.file {
                return Err(self.full());
            }
            (state.file.clone(), state.written)
        };
        let file = match file {
            Some(file) => file,
            None => self.open().await?,
        };
        let (size, len) = (self.bounds.file, piece.len() as u64);
        let to = Arc::clone(&file);
        blocking(move || put(&to, size, written, &piece)).await?;
        let mut state = self.state();
        state.file = Some(file);
        state.written += len;
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    /// Nothing more is written.
    pub(super) fn end(&self, end: Result<(), FetchError>) {
        self.state().end = Some(end);
        self.more.notify_one();
    }

    /// The next piece, or nothing at the end. Only one task may ask.
    pub(super) async fn read(&self) -> Option<Result<Bytes, FetchError>> {
        loop {
            match self.look() {
                Seen::Piece(piece) => return Some(Ok(piece)),
                Seen::End(Ok(())) => return None,
                Seen::End(Err(error)) => return Some(Err(error)),
                Seen::Nothing => self.more.notified().await,
                Seen::File(file, from, len) => {
                    let size = self.bounds.file;
                    let piece = blocking(move || get(&file, size, from, len)).await;
                    if piece.is_ok() {
                        self.state().read += len;
                    }
                    return Some(piece);
                }
            }
        }
    }

    fn look(&self) -> Seen {
        let mut state = self.state();
        if let Some(piece) = state.memory.pop_front() {
            state.weight -= piece.len() + PIECE_WEIGHT;
            return Seen::Piece(piece);
        }
        let left = state.written - state.read;
        match (&state.file, &state.end) {
            (Some(file), _) if left > 0 => Seen::File(Arc::clone(file), state.read, left.min(READ)),
            (_, Some(end)) => Seen::End(end.clone()),
            (_, None) => Seen::Nothing,
        }
    }

    async fn open(&self) -> Result<Arc<File>, FetchError> {
        let folder = self.bounds.folder.clone();
        blocking(move || match folder.as_os_str().is_empty() {
            true => nameless(&std::env::temp_dir()),
            false => nameless(&folder),
        })
        .await
        .map(Arc::new)
    }

    fn full(&self) -> FetchError {
        let total = self.bounds.memory as u64 + self.bounds.file;
        let detail = format!(
            "The batch's items come faster than it takes them, and {total} bytes of them wait already, \
             as many as may (batch.spool): send no more than that ahead of the outcomes, or use a \
             session. The items read before are answered."
        );
        FetchError::new(ErrorName::LimitExceeded, detail)
    }
}

/// Runs file work where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FetchError> {
    let done = match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    };
    done.map_err(|error| {
        let detail = format!(
            "The file that keeps the batch's items until they are taken cannot be used ({error}): see \
             batch.spool-dir of this node. The items read before are answered."
        );
        FetchError::new(ErrorName::ProxyInternalError, detail)
    })
}

/// A file that is gone with its last handle.
fn nameless(folder: &Path) -> io::Result<File> {
    let name = format!("fetchway-{:032x}", rand::random::<u128>());
    let path = folder.join(name);
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Writes to a ring of `size` bytes.
fn put(file: &File, size: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
    let at = at % size;
    let first = bytes
        .len()
        .min(usize::try_from(size - at).unwrap_or(usize::MAX));
    file.write_all_at(&bytes[..first], at)?;
    file.write_all_at(&bytes[first..], 0)
}

/// Reads `len` bytes of a ring of `size` bytes.
fn get(file: &File, size: u64, at: u64, len: u64) -> io::Result<Bytes> {
    let at = at % size;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::zeroed(len);
    let first = len.min(usize::try_from(size - at).unwrap_or(usize::MAX));
    file.read_exact_at(&mut bytes[..first], at)?;
    file.read_exact_at(&mut bytes[first..], 0)?;
    Ok(bytes.freeze())
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "the seed is told")]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn spool(memory: usize, file: u64) -> Arc<Spool> {
        let folder = PathBuf::new();
        Spool::new(Bounds {
            memory,
            file,
            folder,
        })
    }

    async fn all(spool: &Spool) -> Result<Vec<u8>, FetchError> {
        let mut all = Vec::new();
        while let Some(piece) = spool.read().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    fn length(file: &File) -> u64 {
        file.metadata().expect("it is open").len()
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_in_order_whoever_is_faster() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..20 {
            let (memory, file) = (random.random_range(0..2_000), random.random_range(1..3_000));
            let spool = spool(memory, file);
            let (mut sent, mut came, mut waits) = (Vec::new(), Vec::new(), 0);
            for _ in 0..300 {
                let piece: Vec<u8> = (0..random.random_range(1..200))
                    .map(|_| random.random())
                    .collect();
                let inside = {
                    let state = spool.state();
                    state.written - state.read + piece.len() as u64
                };
                if random.random_bool(0.55) && inside <= file {
                    sent.extend_from_slice(&piece);
                    spool.write(piece.into()).await.expect("there is room");
                } else if came.len() < sent.len() {
                    came.extend(
                        spool
                            .read()
                            .await
                            .expect("there is more")
                            .expect("it is read"),
                    );
                } else {
                    waits += 1;
                }
                let state = spool.state();
                assert!(
                    state.weight <= memory,
                    "seed {seed}: more in memory than may be"
                );
                let len = state.file.as_ref().map_or(0, |file| length(file));
                assert!(len <= file, "seed {seed}: the file has grown to {len}");
            }
            spool.end(Ok(()));
            came.extend(all(&spool).await.expect("it is read"));
            assert_eq!(came, sent, "seed {seed}, {waits} times nothing to do");
        }
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_is_written() {
        let spool = spool(1_000, 1_000);
        let reading = tokio::spawn({
            let spool = Arc::clone(&spool);
            async move { all(&spool).await }
        });
        for _ in 0..5 {
            tokio::task::yield_now().await;
            spool
                .write(Bytes::from_static(b"ab"))
                .await
                .expect("there is room");
        }
        spool.end(Ok(()));
        let came = reading.await.expect("no panic").expect("it is read");
        assert_eq!(came, b"ababababab");
    }

    #[tokio::test]
    async fn beyond_its_bound_it_refuses_by_name_and_gives_what_it_has() {
        let spool = spool(PIECE_WEIGHT + 4, 8);
        let mut taken = 0;
        let refused = loop {
            match spool.write(Bytes::from_static(b"four")).await {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((taken, refused.name), (3, ErrorName::LimitExceeded));
        spool.end(Err(refused));
        for _ in 0..2 {
            assert!(spool.read().await.is_some_and(|piece| piece.is_ok()));
        }
        assert!(spool.read().await.is_some_and(|piece| piece.is_err()));
    }

    #[tokio::test]
    async fn a_folder_that_is_none_is_told_of() {
        let spool = Spool::new(Bounds {
            memory: 0,
            file: 1_000,
            folder: "/none/such".into(),
        });
        let error = spool
            .write(Bytes::from_static(b"x"))
            .await
            .expect_err("no folder");
        assert_eq!(error.name, ErrorName::ProxyInternalError);
        assert!(error.detail.contains("batch.spool-dir"), "{error}");
    }
}
