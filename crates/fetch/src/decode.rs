//! Undoing content codings (RFC 9110 section 8.4) piece by piece: coded bytes go in, decoded ones
//! come out, at most one piece of each held.

use bytes::{Bytes, BytesMut};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{
    BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use fetchway_policy::headers::Coding;
use fetchway_policy::{ErrorName, FetchError};

/// Decoded bytes handed on at a time.
const PIECE: usize = 16 << 10;

/// The largest zstd window, as a power of two: 8 MiB (RFC 9659). A frame that asks for more is
/// refused, not given the memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Calls in a row that get no further, beyond which a coding is broken. Zstd has such calls: it
/// takes the last byte of a frame only when all else is out.
const MAX_STUCK: u32 = 16;

/// One or two codings, the last applied first.
pub(crate) struct Decoder {
    stages: Vec<Stage>,
}

struct Stage {
    coding: Coding,
    codec: Option<Box<dyn DecodeV2 + Send>>,
    input: BytesMut,
    /// Where the codec writes to; handed on when it is well filled, else copied from.
    out: Vec<u8>,
    /// No more input will come.
    ended: bool,
    /// The coded stream has reached its own end.
    finished: bool,
    /// The last piece filled `out`, so the codec may hold more.
    full: bool,
    /// Calls in a row that neither took nor gave anything.
    stuck: u32,
}

impl Decoder {
    /// Undoes `codings`, given in the order in which they were applied; at least one.
    pub(crate) fn new(codings: &[Coding]) -> Self {
        let stages = codings.iter().rev().map(|coding| Stage {
            coding: *coding,
            codec: None,
            input: BytesMut::new(),
            out: Vec::new(),
            ended: false,
            finished: false,
            full: false,
            stuck: 0,
        });
        Self {
            stages: stages.collect(),
        }
    }

    /// Gives the next coded bytes. Call [`Self::next`] until it has nothing before the next push.
    pub(crate) fn push(&mut self, coded: &[u8]) {
        if let Some(first) = self.stages.first_mut() {
            first.input.extend_from_slice(coded);
        }
    }

    /// Says that no more will be pushed.
    pub(crate) fn end(&mut self) {
        if let Some(first) = self.stages.first_mut() {
            first.ended = true;
        }
    }

    /// Whether all has been decoded.
    pub(crate) fn is_over(&self) -> bool {
        self.stages.iter().all(Stage::is_over)
    }

    /// The next decoded piece; `None` when more input is needed, or all is out.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        pull(&mut self.stages)
    }
}

/// What the last of `stages` gives, fed by those before it with as little as it needs.
fn pull(stages: &mut [Stage]) -> Result<Option<Bytes>, FetchError> {
    let Some((last, before)) = stages.split_last_mut() else {
        return Ok(None);
    };
    loop {
        if let Some(piece) = last.next()? {
            return Ok(Some(piece));
        }
        match pull(before)? {
            Some(piece) => last.input.extend_from_slice(&piece),
            None if !last.ended && before.last().is_some_and(Stage::is_over) => last.ended = true,
            None => return Ok(None),
        }
    }
}

impl Stage {
    /// An empty body stands for itself, whatever its coding.
    fn is_over(&self) -> bool {
        self.ended && self.input.is_empty() && (self.finished || self.codec.is_none())
    }

    fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.codec.is_none() {
            // "deflate" is zlib by the RFC and raw deflate in some servers: the first two bytes tell.
            let needed = match self.coding {
                Coding::Deflate if !self.ended => 2,
                _ => 1,
            };
            if self.input.len() < needed {
                return Ok(None);
            }
            self.codec = Some(codec(self.coding, &self.input));
        }
        loop {
            if self.finished && !self.begin_again()? {
                return Ok(None);
            }
            if self.input.is_empty() && !self.full {
                return match self.ended {
                    true => Err(broken(self.coding, "it breaks off")),
                    false => Ok(None),
                };
            }
            let written = self.step()?;
            if written > 0 {
                return Ok(Some(self.piece(written)));
            }
        }
    }

    /// After the end of a coded stream: whether another member (gzip) or frame (zstd) follows.
    /// Whatever else stands there is ignored, as by others.
    fn begin_again(&mut self) -> Result<bool, FetchError> {
        let follows = match self.coding {
            Coding::Gzip => self.input.first() == Some(&0x1F),
            Coding::Zstd => !self.input.is_empty(),
            Coding::Brotli | Coding::Deflate => false,
        };
        if !follows {
            self.input.clear();
            return Ok(false);
        }
        if let Some(codec) = &mut self.codec {
            codec
                .reinit()
                .map_err(|error| broken(self.coding, &error.to_string()))?;
        }
        self.finished = false;
        Ok(true)
    }

    /// Decodes once. How many bytes were written.
    fn step(&mut self) -> Result<usize, FetchError> {
        let Some(codec) = &mut self.codec else {
            return Ok(0);
        };
        self.out.resize(PIECE, 0);
        let mut input = PartialBuffer::new(&self.input[..]);
        let mut output = WriteBuffer::new_initialized(&mut self.out);
        let done = codec.decode(&mut input, &mut output);
        let (taken, written) = (input.written_len(), output.written_len());
        self.full = written == PIECE;
        self.finished = match done {
            Ok(done) => done,
            // It was asked for what it might still hold, had nothing, and calls that an error.
            Err(_) if self.input.is_empty() => return Ok(0),
            Err(error) => return Err(broken(self.coding, &error.to_string())),
        };
        let _ = self.input.split_to(taken);
        self.stuck = if taken + written > 0 {
            0
        } else {
            self.stuck + 1
        };
        if self.stuck > MAX_STUCK {
            return Err(broken(self.coding, "it leads nowhere"));
        }
        Ok(written)
    }

    fn piece(&mut self, written: usize) -> Bytes {
        if written < PIECE / 2 {
            // A small answer must not keep a large buffer in memory.
            return Bytes::copy_from_slice(&self.out[..written]);
        }
        let mut piece = std::mem::take(&mut self.out);
        piece.truncate(written);
        piece.into()
    }
}

fn broken(coding: Coding, why: &str) -> FetchError {
    let detail = format!("The response's {coding:?} coding is broken: {why}.");
    FetchError::new(ErrorName::HttpResponseContentCoding, detail)
}

fn codec(coding: Coding, first: &[u8]) -> Box<dyn DecodeV2 + Send> {
    match coding {
        Coding::Gzip => Box::new(GzipDecoder::new()),
        Coding::Brotli => Box::new(BrotliDecoder::new()),
        Coding::Zstd => Box::new(ZstdDecoder::new_with_params(&[DParameter::window_log_max(
            ZSTD_WINDOW_LOG,
        )])),
        Coding::Deflate if is_zlib(first) => Box::new(ZlibDecoder::new()),
        Coding::Deflate => Box::new(DeflateDecoder::new()),
    }
}

/// A zlib header: method 8, a window of at most 32 KiB, and a check (RFC 1950 section 2.2).
fn is_zlib(first: &[u8]) -> bool {
    matches!(*first, [method, flags, ..]
        if method & 0x0F == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]).is_multiple_of(31))
}

#[cfg(test)]
mod tests;
