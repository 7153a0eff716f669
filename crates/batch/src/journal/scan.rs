//! Reads an output to find what of it is whole, and what it says.
//!
//! What stands after the last whole line was being written when the run ended: it is cut off. The loss
//! of power may also leave rubbish there. What cannot be read further up than that is damage, and is not
//! touched. The whole lines of a frame that was still open are to be written again, in one that ends.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::format::{FRAME, Format};
use crate::error::BatchError;
use crate::input::lines::{Line, Lines};
use crate::line::{Record, decode};

/// Bytes of one line of an output at most; one of a body of 32 MiB has at most 200 MB.
const MAX_LINE: usize = 1 << 30;

/// Lines of one frame at most: they are not believed until the frame is whole.
const MAX_FRAME_LINES: u64 = 1 << 20;

/// How far from its end an output may be rubbish after the loss of power.
const TAIL: u64 = 1 << 20;

/// Bytes read at a time.
const BUFFER: usize = 128 << 10;

/// An element of an output, in order.
pub(super) enum Seen<'a> {
    /// A line, without its end.
    Line(&'a [u8], Record),
    /// All lines since the last of these stand in the part that is whole.
    Whole,
    /// So many lines since then stand behind that part, in a frame that was not ended. Nothing follows.
    Open(u64),
}

/// How each line begins.
const BEGINNING: &[u8] = b"{\"index\":";
const NO_OUTCOME: &str = "a line is not an outcome";

/// Why reading ended before the end.
enum Stop {
    /// The rest was cut off while it was written.
    Torn,
    /// Something that no run wrote.
    Damage(&'static str),
    Io(io::Error),
    Given(BatchError),
}

type See<'a> = &'a mut dyn FnMut(Seen<'_>) -> Result<(), BatchError>;

/// Reads an output of `len` bytes and tells `see` what is in it. Returns the bytes that are whole;
/// what follows them may be cut off. `path` is for errors.
pub(super) fn scan(
    reader: impl Read,
    len: u64,
    format: Format,
    path: &Path,
    see: See<'_>,
) -> Result<u64, BatchError> {
    let mut reader = Counted {
        reader: BufReader::with_capacity(BUFFER, reader.take(len)),
        position: 0,
        start: Vec::new(),
    };
    let (mut whole, mut open) = (0, 0);
    let stop = match format {
        Format::Plain => plain(&mut reader, &mut whole, see),
        Format::Gzip | Format::Zstd => frames(&mut reader, format, (&mut whole, &mut open), see),
    };
    let shown = path.display();
    let ours = whole > 0 || open > 0;
    let whole = match stop {
        Ok(()) => whole,
        Err(Stop::Given(error)) => return Err(error),
        Err(Stop::Io(error)) => {
            let remedy = "correct that and resume";
            return Err(BatchError::output(path, "cannot be read", &error, remedy));
        }
        // Without a whole line it may be anyone's: nothing of it is cut unless it begins like ours.
        Err(Stop::Torn | Stop::Damage(_)) if !ours && !reader.begins_like(format) => {
            return Err(BatchError::new(format!(
                "the file {shown} is not the output of a batch: choose another name"
            )));
        }
        Err(Stop::Torn) => whole,
        Err(Stop::Damage(_)) if (ours || reader.is_blank()) && len - whole <= TAIL => whole,
        Err(Stop::Damage(what)) => {
            return Err(BatchError::new(format!(
                "the output {shown} is damaged after byte {whole}: {what}; to go on from there, cut it \
                 with: truncate -s {whole} {shown}"
            )));
        }
    };
    if open > 0 {
        see(Seen::Open(open))?;
    }
    Ok(whole)
}

/// Whether this is the beginning of a line, as far as it goes.
fn begins_like_ours(line: &[u8]) -> bool {
    BEGINNING.starts_with(&line[..line.len().min(BEGINNING.len())])
}

/// Every line is whole by itself.
fn plain<R: BufRead>(reader: &mut R, whole: &mut u64, see: See<'_>) -> Result<(), Stop> {
    let mut lines = Lines::new(reader, MAX_LINE);
    while let Some(line) = lines.next().map_err(Stop::Io)? {
        let (line, record) = known(line)?;
        see(Seen::Line(line, record)).map_err(Stop::Given)?;
        see(Seen::Whole).map_err(Stop::Given)?;
        *whole += line.len() as u64 + 1;
    }
    Ok(())
}

fn known(line: Line<'_>) -> Result<(&[u8], Record), Stop> {
    match line {
        Line::Whole(line) => match decode(line) {
            Some(record) => Ok((line, record)),
            None => Err(Stop::Damage(NO_OUTCOME)),
        },
        Line::Unended(_) => Err(Stop::Torn),
        Line::TooLong => Err(Stop::Damage("a line has more than 1 GiB")),
    }
}

/// Frame after frame; in each whole lines.
fn frames<R: BufRead>(
    reader: &mut Counted<R>,
    format: Format,
    (whole, open): (&mut u64, &mut u64),
    see: See<'_>,
) -> Result<(), Stop> {
    while !reader.fill_buf().map_err(Stop::Io)?.is_empty() {
        match format {
            Format::Plain | Format::Gzip => frame(GzDecoder::new(Sips(&mut *reader)), open, see)?,
            Format::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(Sips(&mut *reader));
                frame(decoder.map_err(Stop::Io)?.single_frame(), open, see)?;
            }
        }
        see(Seen::Whole).map_err(Stop::Given)?;
        *whole = reader.position;
    }
    Ok(())
}

fn frame(decoder: impl Read, open: &mut u64, see: See<'_>) -> Result<(), Stop> {
    let mut lines = Lines::new(BufReader::with_capacity(BUFFER, decoder), MAX_LINE);
    let (mut count, mut bytes) = (0, 0);
    *open = 0;
    loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                let begun = lines.last().unwrap_or_default();
                return Err(match undecodable(error) {
                    Stop::Torn if !begins_like_ours(begun) => Stop::Damage(NO_OUTCOME),
                    stop => stop,
                });
            }
        };
        let (line, record) = match known(line) {
            Err(Stop::Torn) => return Err(Stop::Damage("a frame ends within a line")),
            other => other?,
        };
        count += 1;
        if count > MAX_FRAME_LINES {
            return Err(Stop::Damage("a frame has more than 1048576 lines"));
        }
        // A longer one would have been ended: it is none of ours, and too much to be written again.
        if bytes < FRAME {
            *open = count;
        }
        bytes += line.len() + 1;
        see(Seen::Line(line, record)).map_err(Stop::Given)?;
    }
    *open = 0;
    Ok(())
}

/// The decoders tell their own errors and the file's by one type; only the latter have a number.
fn undecodable(error: io::Error) -> Stop {
    match error.kind() {
        _ if error.raw_os_error().is_some() => Stop::Io(error),
        io::ErrorKind::UnexpectedEof => Stop::Torn,
        _ => Stop::Damage("a frame cannot be decompressed"),
    }
}

/// Gives a decoder a little at a time: what it makes of that is lost if there is rubbish in it.
struct Sips<R>(R);

/// Bytes.
const SIP: usize = 128;

impl<R: BufRead> Read for Sips<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(SIP);
        self.0.read(&mut into[..most])
    }
}

impl<R: BufRead> BufRead for Sips<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let from = self.0.fill_buf()?;
        Ok(&from[..from.len().min(SIP)])
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

/// Counts what is taken, and keeps the first bytes.
struct Counted<R> {
    reader: R,
    position: u64,
    start: Vec<u8>,
}

/// Bytes by which an output is told from other files.
const START: usize = BEGINNING.len();

impl<R: BufRead> Counted<R> {
    /// Whether the file's first bytes are those of an output, as far as it has them.
    fn begins_like(&self, format: Format) -> bool {
        let ours: &[u8] = match format {
            Format::Plain => BEGINNING,
            Format::Gzip => &[0x1f, 0x8b, 8],
            Format::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        };
        let start = &self.start[..self.start.len().min(ours.len())];
        ours.starts_with(start) || self.is_blank()
    }

    /// Whether it begins with zeros, as the loss of power leaves a file of which nothing was
    /// written.
    fn is_blank(&self) -> bool {
        self.start.iter().all(|byte| *byte == 0)
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let from = self.reader.fill_buf()?;
        // Before anything is consumed, the buffer begins where the file does.
        if self.position == 0 && self.start.is_empty() {
            self.start.extend(from.iter().take(START));
        }
        Ok(from)
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount as u64;
        self.reader.consume(amount);
    }
}
