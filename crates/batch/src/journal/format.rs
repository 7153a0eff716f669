//! How an output is compressed: as frames that are whole by themselves, each of whole lines.
//!
//! Each write ends at a block's end, so that all that was written can be read, be its frame whole or
//! not: a crash loses nothing of a frame that was still open.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, ErrorCode, InBuffer, OutBuffer, get_error_name};

/// Bytes of lines after which a frame is closed, or, without compression, written.
pub(super) const FRAME: usize = 256 << 10;

/// zstd's fastest level that is none of the negative ones.
const ZSTD_LEVEL: i32 = 1;

/// How an output is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all.
    Plain,
    /// gzip members, RFC 1952.
    Gzip,
    /// zstd frames with a checksum, RFC 8878.
    Zstd,
}

impl Format {
    /// By the end of its name: `.gz`, `.zst`, or any other.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let ends = |with: &str| {
            path.extension()
                .is_some_and(|it| it.eq_ignore_ascii_case(with))
        };
        if ends("gz") {
            Self::Gzip
        } else if ends("zst") {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

/// Compresses lines into frames. What was added can be read back before its frame has ended.
pub(super) struct Framer {
    coder: Coder,
    /// Bytes of lines in the frame that has not ended.
    open: usize,
    coded: Vec<u8>,
}

enum Coder {
    Plain,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(CCtx<'static>),
}

impl Framer {
    pub(super) fn new(format: Format) -> io::Result<Self> {
        let coder = match format {
            Format::Plain => Coder::Plain,
            Format::Gzip => Coder::Gzip(Box::new(gzip())),
            Format::Zstd => {
                let mut context = CCtx::create();
                for parameter in [
                    CParameter::CompressionLevel(ZSTD_LEVEL),
                    CParameter::ChecksumFlag(true),
                ] {
                    context.set_parameter(parameter).map_err(named)?;
                }
                Coder::Zstd(context)
            }
        };
        Ok(Self {
            coder,
            open: 0,
            coded: Vec::new(),
        })
    }

    /// Adds lines to the frame, and ends it if it is large enough, or `last`. Gives what is to be
    /// written for them.
    pub(super) fn add<'a>(&'a mut self, lines: &'a [u8], last: bool) -> io::Result<&'a [u8]> {
        self.open += lines.len();
        let ends = last || self.open >= FRAME;
        let into = &mut self.coded;
        into.clear();
        // A single line may have been huge.
        into.shrink_to(8 * FRAME);
        match &mut self.coder {
            Coder::Plain => return Ok(lines),
            _ if self.open == 0 => {}
            Coder::Gzip(encoder) => {
                encoder.write_all(lines)?;
                if ends {
                    encoder.try_finish()?;
                } else {
                    encoder.flush()?;
                }
                std::mem::swap(encoder.get_mut(), into);
                if ends {
                    **encoder = gzip();
                }
            }
            Coder::Zstd(context) => {
                let how = match ends {
                    true => ZSTD_EndDirective::ZSTD_e_end,
                    false => ZSTD_EndDirective::ZSTD_e_flush,
                };
                let mut lines = InBuffer::around(lines);
                loop {
                    into.reserve(CCtx::out_size());
                    let at = into.len();
                    let mut out = OutBuffer::around_pos(into, at);
                    let left = context.compress_stream2(&mut out, &mut lines, how);
                    if left.map_err(named)? == 0 {
                        break;
                    }
                }
            }
        }
        if ends {
            self.open = 0;
        }
        Ok(into)
    }
}

fn gzip() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::fast())
}

fn named(code: ErrorCode) -> io::Error {
    io::Error::other(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for (name, format) in [
            ("a.jsonl", Format::Plain),
            ("a.jsonl.gz", Format::Gzip),
            ("a.ZST", Format::Zstd),
            ("zst", Format::Plain),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
