//! A spool: bytes that a client has sent and the batch has not taken yet. Memory comes first, then a file.
//!
//! ```text
//!   client ──▶ memory ───────────────▶ batch      while the file is empty and memory has room
//!   client ──▶ file (a ring) ────────▶ batch      from then on, until the file is empty again
//! ```
//!
//! One task writes and one reads. The file is a ring, so its size stays within its bound however long the
//! batch is. The file has no name, so nothing is left on the disk, even after a crash.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fetchway_policy::{ErrorName, FetchError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// Bytes read from the file at once.
const READ: u64 = 128 << 10;
/// Memory of a piece beside its bytes.
const PIECE_WEIGHT: usize = 128;

/// Bounds of a spool, and the folder of its file.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Maximum number of bytes in memory. More go to the file.
    pub(crate) memory: usize,
    /// Maximum number of bytes in the file. More are refused.
    pub(crate) file: u64,
    /// Folder for the file; empty for the system's folder for temporary files.
    pub(crate) folder: PathBuf,
}

/// Bytes on their way from a client to its batch.
#[derive(Debug)]
pub(crate) struct Spool {
    bounds: Bounds,
    state: Mutex<State>,
    /// Notified when a piece was written, or the end.
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<Bytes>,
    /// Bytes of `memory`, including the weight of its pieces.
    weight: usize,
    file: Option<Arc<File>>,
    /// Bytes read from the file so far.
    read: u64,
    /// Bytes written to the file so far.
    written: u64,
    /// The end of the input, or the reason why the input is incomplete.
    end: Option<Result<(), FetchError>>,
}

/// The next thing to read.
enum Next {
    Piece(Bytes),
    /// A range of the file: its start and its length.
    File(Arc<File>, u64, u64),
    End(Result<(), FetchError>),
    Nothing,
}

impl Spool {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            state: Mutex::default(),
            more: Notify::new(),
        })
    }

    /// Writes a piece. Only one task may write.
    ///
    /// # Errors
    /// `limit_exceeded` if the spool is full, `proxy_internal_error` if the file fails. After an error nothing
    /// more may be written.
    pub(crate) async fn write(&self, piece: Bytes) -> Result<(), FetchError> {
        let (file, written) = {
            let mut state = self.state.lock();
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
        blocking(move || write_ring(&to, size, written, &piece)).await?;
        let mut state = self.state.lock();
        state.file = Some(file);
        state.written += len;
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    /// Marks the end of the input.
    pub(crate) fn end(&self, end: Result<(), FetchError>) {
        self.state.lock().end = Some(end);
        self.more.notify_one();
    }

    /// Returns the next piece, or `None` at the end. Only one task may read.
    pub(crate) async fn read(&self) -> Option<Result<Bytes, FetchError>> {
        loop {
            match self.next() {
                Next::Piece(piece) => return Some(Ok(piece)),
                Next::End(Ok(())) => return None,
                Next::End(Err(error)) => return Some(Err(error)),
                Next::Nothing => self.more.notified().await,
                Next::File(file, from, len) => {
                    let size = self.bounds.file;
                    let piece = blocking(move || read_ring(&file, size, from, len)).await;
                    if piece.is_ok() {
                        self.state.lock().read += len;
                    }
                    return Some(piece);
                }
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.state.lock();
        if let Some(piece) = state.memory.pop_front() {
            state.weight -= piece.len() + PIECE_WEIGHT;
            return Next::Piece(piece);
        }
        let left = state.written - state.read;
        match (&state.file, &state.end) {
            (Some(file), _) if left > 0 => Next::File(Arc::clone(file), state.read, left.min(READ)),
            (_, Some(end)) => Next::End(end.clone()),
            (_, None) => Next::Nothing,
        }
    }

    async fn open(&self) -> Result<Arc<File>, FetchError> {
        let folder = self.bounds.folder.clone();
        blocking(move || match folder.as_os_str().is_empty() {
            true => unnamed_file(&std::env::temp_dir()),
            false => unnamed_file(&folder),
        })
        .await
        .map(Arc::new)
    }

    fn full(&self) -> FetchError {
        let total = self.bounds.memory as u64 + self.bounds.file;
        let detail = format!(
            "The items came faster than they could be fetched, and {total} bytes of them are waiting, \
             which is the maximum (batch.spool): send fewer items ahead of their outcomes, or use a \
             session. All earlier items are answered."
        );
        FetchError::new(ErrorName::LimitExceeded, detail)
    }
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FetchError> {
    let done = match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    };
    done.map_err(|error| {
        let detail = format!(
            "The file for waiting items of the batch cannot be used ({error}): check batch.spool-dir \
             of this node. All earlier items are answered."
        );
        FetchError::new(ErrorName::ProxyInternalError, detail)
    })
}

/// Creates a file without a name, which is deleted when its last handle is closed.
fn unnamed_file(folder: &Path) -> io::Result<File> {
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
fn write_ring(file: &File, size: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
    let at = at % size;
    let first = bytes
        .len()
        .min(usize::try_from(size - at).unwrap_or(usize::MAX));
    file.write_all_at(&bytes[..first], at)?;
    file.write_all_at(&bytes[first..], 0)
}

/// Reads `len` bytes of a ring of `size` bytes.
fn read_ring(file: &File, size: u64, at: u64, len: u64) -> io::Result<Bytes> {
    let at = at % size;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::zeroed(len);
    let first = len.min(usize::try_from(size - at).unwrap_or(usize::MAX));
    file.read_exact_at(&mut bytes[..first], at)?;
    file.read_exact_at(&mut bytes[first..], 0)?;
    Ok(bytes.freeze())
}

#[cfg(test)]
#[expect(
    clippy::print_stdout,
    reason = "a failed run is repeated from its seed"
)]
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
    async fn pieces_come_out_in_order_whichever_side_is_faster() {
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
                    let state = spool.state.lock();
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
                let state = spool.state.lock();
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
    async fn a_reader_waits_for_the_next_piece() {
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
    async fn a_full_spool_refuses_a_piece_and_keeps_the_earlier_ones() {
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
    async fn a_missing_folder_is_an_error_that_names_its_key() {
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
