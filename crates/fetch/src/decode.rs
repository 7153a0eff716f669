//! Undoes content codings (RFC 9110 section 8.4) piece by piece: encoded bytes go in, decoded bytes come
//! out, and at most one piece of each is held.

use bytes::{Bytes, BytesMut};
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::DParameter;
use compression_codecs::{
    BrotliDecoder, DecodeV2, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use fetchway_policy::headers::Coding;
use fetchway_policy::{ErrorName, FetchError};

/// Decoded bytes handed over at a time.
const PIECE: usize = 16 << 10;

/// Base-2 logarithm of the largest zstd window: 8 MiB (RFC 9659). A frame that asks for more is refused,
/// and gets no memory.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Number of calls in a row without progress after which a coding counts as broken. Zstd needs some: it
/// takes the last byte of a frame only when everything else is out.
const MAX_STUCK: u32 = 16;

/// One or two codings, the last applied one first.
pub(crate) struct Decoder {
    stages: Vec<Stage>,
}

struct Stage {
    coding: Coding,
    codec: Option<Box<dyn DecodeV2 + Send>>,
    input: BytesMut,
    /// Output of the codec: handed over when it is nearly full, otherwise copied from.
    out: Vec<u8>,
    /// Set when no more input will come.
    ended: bool,
    /// Set when the encoded stream has reached its own end.
    finished: bool,
    /// Set when the last piece filled `out`, so that the codec may hold more.
    full: bool,
    /// Calls in a row that neither took nor gave bytes.
    stuck: u32,
}

impl Decoder {
    /// Returns a decoder of `codings`, which are given in the order in which they were applied; at least
    /// one.
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

    /// Gives the decoder the next encoded bytes. Before the next push, call [`Self::next`] until it returns
    /// `None`.
    pub(crate) fn push(&mut self, coded: &[u8]) {
        if let Some(first) = self.stages.first_mut() {
            first.input.extend_from_slice(coded);
        }
    }

    /// Ends the input.
    pub(crate) fn end(&mut self) {
        if let Some(first) = self.stages.first_mut() {
            first.ended = true;
        }
    }

    /// Returns true if everything has been decoded.
    pub(crate) fn is_over(&self) -> bool {
        self.stages.iter().all(Stage::is_over)
    }

    /// Returns the next decoded piece; `None` if more input is needed, or everything is out.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        pull(&mut self.stages)
    }
}

/// Returns the next output of the last of `stages`. The stages before it are run only as far as needed.
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
    /// Returns true if everything of this coding is decoded. An empty body is complete, whatever its coding.
    fn is_over(&self) -> bool {
        self.ended && self.input.is_empty() && (self.finished || self.codec.is_none())
    }

    fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if self.codec.is_none() {
            // "deflate" means zlib in the RFC and raw deflate in some servers. The first two bytes tell
            // which.
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

    /// After the end of an encoded stream, returns true if another member (gzip) or frame (zstd) follows.
    /// Other bytes are ignored, as other clients do.
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

    /// Decodes once. Returns the number of bytes written.
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
            // The codec was asked for output that it might hold, had none, and reports that as an error.
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
            // A small response must not keep a large buffer in memory.
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

/// Returns true for a zlib header: method 8, a window of at most 32 KiB, and a check (RFC 1950 section
/// 2.2).
fn is_zlib(first: &[u8]) -> bool {
    matches!(*first, [method, flags, ..]
        if method & 0x0F == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]).is_multiple_of(31))
}

#[cfg(test)]
mod tests;
