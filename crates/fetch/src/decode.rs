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

/// One or two codings, the last applied first.
pub(crate) struct Decoder {
    stages: Vec<Stage>,
}

struct Stage {
    coding: Coding,
    codec: Option<Box<dyn DecodeV2 + Send>>,
    input: BytesMut,
    /// No more input will come.
    ended: bool,
    /// The coded stream has reached its own end.
    finished: bool,
    /// Whether anything was ever put in: an empty body stands for itself.
    begun: bool,
}

impl Decoder {
    /// Undoes `codings`, given in the order in which they were applied.
    pub(crate) fn new(codings: &[Coding]) -> Self {
        let stages = codings.iter().rev().map(|coding| Stage {
            coding: *coding,
            codec: None,
            input: BytesMut::new(),
            ended: false,
            finished: false,
            begun: false,
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
        self.stages
            .iter()
            .all(|stage| stage.ended && stage.input.is_empty())
    }

    /// The next decoded piece; `None` when more input is needed, or all is out.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        let last = self.stages.len() - 1;
        loop {
            let mut moved = false;
            for at in 0..=last {
                if at < last && !self.stages[at + 1].input.is_empty() {
                    continue;
                }
                let piece = self.stages[at].next()?;
                let over = self.stages[at].is_over();
                if at == last {
                    if piece.is_some() {
                        return Ok(piece);
                    }
                } else {
                    let after = &mut self.stages[at + 1];
                    moved |= piece.is_some() || over && !after.ended;
                    after
                        .input
                        .extend_from_slice(piece.as_deref().unwrap_or_default());
                    after.ended = over;
                }
            }
            if !moved {
                return Ok(None);
            }
        }
    }
}

impl Stage {
    fn is_over(&self) -> bool {
        self.ended && self.input.is_empty() && (self.finished || !self.begun)
    }

    fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if !self.begun && self.codec.is_none() {
            // "deflate" is zlib by the RFC and raw deflate in some servers: the first two bytes tell.
            let needed = if self.coding == Coding::Deflate { 2 } else { 1 };
            if self.input.len() < needed && !(self.ended && !self.input.is_empty()) {
                return Ok(None);
            }
            self.codec = Some(codec(self.coding, &self.input));
            self.begun = true;
        }
        let Some(codec) = &mut self.codec else {
            return Ok(None);
        };
        let mut out = vec![0; PIECE];
        loop {
            if self.finished {
                // A further member or frame may follow; anything else there is ignored, as by others.
                let again =
                    matches!(self.coding, Coding::Gzip | Coding::Zstd) && !self.input.is_empty();
                if !again {
                    self.input.clear();
                    return Ok(None);
                }
                if self.coding == Coding::Gzip && self.input[0] != 0x1F {
                    self.input.clear();
                    return Ok(None);
                }
                codec
                    .reinit()
                    .map_err(|error| broken(self.coding, &error.to_string()))?;
                self.finished = false;
            }
            let mut input = PartialBuffer::new(&self.input[..]);
            let mut output = WriteBuffer::new_initialized(&mut out);
            let done = codec
                .decode(&mut input, &mut output)
                .map_err(|error| broken(self.coding, &error.to_string()))?;
            let (taken, written) = (input.written_len(), output.written_len());
            let _ = self.input.split_to(taken);
            self.finished = done;
            if written > 0 {
                out.truncate(written);
                return Ok(Some(out.into()));
            }
            if done {
                continue;
            }
            if taken > 0 && !self.input.is_empty() {
                continue;
            }
            if self.ended {
                return Err(broken(self.coding, "it breaks off"));
            }
            return Ok(None);
        }
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
