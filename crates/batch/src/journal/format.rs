//! How an output is compressed: as frames that are whole by themselves, each of whole lines, so that
//! what was written before a crash can be read without what was not.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

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

/// Makes frames, one at a time.
pub(super) enum Framer {
    Plain,
    Gzip(Vec<u8>),
    Zstd {
        compressor: Box<zstd::bulk::Compressor<'static>>,
        frame: Vec<u8>,
    },
}

impl Framer {
    pub(super) fn new(format: Format) -> io::Result<Self> {
        Ok(match format {
            Format::Plain => Self::Plain,
            Format::Gzip => Self::Gzip(Vec::new()),
            Format::Zstd => {
                let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                compressor.include_checksum(true)?;
                Self::Zstd {
                    compressor: Box::new(compressor),
                    frame: Vec::new(),
                }
            }
        })
    }

    /// Whether many lines make a smaller frame than one by one.
    pub(super) fn gains_by_waiting(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// One frame of these lines.
    pub(super) fn frame<'a>(&'a mut self, lines: &'a [u8]) -> io::Result<&'a [u8]> {
        match self {
            Self::Plain => Ok(lines),
            Self::Gzip(frame) => {
                frame.clear();
                let mut encoder = GzEncoder::new(frame, Compression::fast());
                encoder.write_all(lines)?;
                Ok(encoder.finish()?)
            }
            Self::Zstd { compressor, frame } => {
                frame.clear();
                frame.reserve(zstd::zstd_safe::compress_bound(lines.len()));
                compressor.compress_to_buffer(lines, frame)?;
                Ok(frame)
            }
        }
    }
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
