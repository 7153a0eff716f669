//! Lines of bounded length, one buffer for all of them.

use std::io::{self, BufRead};

/// A buffer grown by a long line is kept up to this size only.
const KEPT: usize = 64 << 10;

/// The bytes between two line ends.
#[derive(Clone, Copy)]
pub(crate) enum Line<'a> {
    /// A line, its end seen and cut off.
    Whole(&'a [u8]),
    /// The bytes after the last line end.
    Unended(&'a [u8]),
    /// More than the limit; skipped to its end.
    TooLong,
}

/// Reads lines, each at most `limit` bytes: a longer one is never held.
pub(crate) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    limit: usize,
    too_long: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self {
            reader,
            line: Vec::new(),
            limit,
            too_long: false,
        }
    }

    /// The line that came last, or `None` if it was too long.
    pub(crate) fn last(&self) -> Option<&[u8]> {
        (!self.too_long).then_some(&self.line)
    }

    /// The next line, or `None` at the end. After an error, the same again or more of it.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.line.shrink_to(KEPT);
        self.too_long = false;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                return Ok(match (self.too_long, self.line.is_empty()) {
                    (true, _) => Some(Line::TooLong),
                    (false, true) => None,
                    (false, false) => Some(Line::Unended(&self.line)),
                });
            }
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            self.too_long |= self.line.len() + part.len() > self.limit;
            if self.too_long {
                self.line.clear();
            } else {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(Some(if self.too_long {
                    Line::TooLong
                } else {
                    Line::Whole(&self.line)
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(text: &[u8], capacity: usize, limit: usize) -> Vec<String> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, text), limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole(line) => format!("{}.", String::from_utf8_lossy(line)),
                Line::Unended(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        all
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        for capacity in 1..12 {
            assert_eq!(
                read(b"ab\n\nc\r\nd", capacity, 9),
                ["ab.", ".", "c\r.", "d"]
            );
            assert_eq!(read(b"", capacity, 9), [""; 0]);
            assert_eq!(read(b"\n", capacity, 9), ["."]);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_is_read() {
        for capacity in 1..12 {
            assert_eq!(read(b"abcd\nabc\n", capacity, 3), ["too long", "abc."]);
            assert_eq!(read(b"abc\nabcd", capacity, 3), ["abc.", "too long"]);
        }
    }
}
