//! Items of lines that come by themselves, in pieces of any length.

use bytes::{Bytes, BytesMut};

use super::items::trimmed;
use super::parse::{self, Place};
use crate::Item;

/// A buffer grown by a long line is kept up to this size only.
const KEPT: usize = 64 << 10;

/// Cuts pieces into lines, and makes items of them. What is held is one piece, and one line.
#[derive(Debug)]
pub struct Feed {
    piece: Bytes,
    /// The beginning of a line that came with earlier pieces.
    line: BytesMut,
    limit: usize,
    too_long: bool,
    index: u64,
    number: u64,
}

impl Feed {
    /// Lines of at most `limit` bytes; a longer one is never held, and is an item that says so.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            piece: Bytes::new(),
            line: BytesMut::new(),
            limit,
            too_long: false,
            index: 0,
            number: 0,
        }
    }

    /// Takes the next piece, once there is nothing [`next`](Self::next) any more.
    pub fn push(&mut self, piece: Bytes) {
        debug_assert!(self.piece.is_empty(), "items are left in the last piece");
        self.piece = piece;
    }

    /// The next item of what has come, blank lines left out.
    #[expect(
        clippy::should_implement_trait,
        reason = "after none there may be more, when the next piece has come"
    )]
    pub fn next(&mut self) -> Option<Item> {
        while !self.piece.is_empty() {
            let Some(end) = memchr::memchr(b'\n', &self.piece) else {
                let rest = std::mem::take(&mut self.piece);
                self.keep(&rest);
                return None;
            };
            let part = self.piece.split_to(end + 1);
            let part = &part[..end];
            let item = if self.line.is_empty() && !self.too_long && part.len() <= self.limit {
                self.item(part)
            } else {
                self.keep(part);
                self.kept()
            };
            if item.is_some() {
                return item;
            }
        }
        None
    }

    /// The item of the last line, if that had no line end. Nothing more comes.
    pub fn finish(&mut self) -> Option<Item> {
        if self.line.is_empty() && !self.too_long {
            return None;
        }
        self.kept()
    }

    fn keep(&mut self, part: &[u8]) {
        self.too_long |= self.line.len() + part.len() > self.limit;
        if self.too_long {
            self.line = BytesMut::new();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    /// The item of the line that is kept.
    fn kept(&mut self) -> Option<Item> {
        if std::mem::take(&mut self.too_long) {
            self.number += 1;
            let place = self.place();
            return Some(parse::too_long(place, self.limit));
        }
        let mut line = std::mem::take(&mut self.line);
        let item = self.item(&line);
        line.clear();
        if line.capacity() <= KEPT {
            self.line = line;
        }
        item
    }

    fn item(&mut self, line: &[u8]) -> Option<Item> {
        self.number += 1;
        let line = trimmed(line, self.number);
        if line.is_empty() {
            return None;
        }
        let place = self.place();
        Some(parse::item(place, Some(line)))
    }

    fn place(&mut self) -> Place {
        let index = self.index;
        self.index += 1;
        Place {
            index,
            line: Some(self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &[u8], piece: usize, limit: usize) -> Vec<String> {
        let mut feed = Feed::new(limit);
        let mut all = Vec::new();
        let mut add = |item: Item| {
            all.push(match item.request {
                Ok(request) => format!("{} {}", item.index, request.url),
                Err(error) => format!("{} {}", item.index, error.detail),
            });
        };
        for piece in text.chunks(piece) {
            feed.push(Bytes::copy_from_slice(piece));
            while let Some(item) = feed.next() {
                add(item);
            }
        }
        feed.finish().into_iter().for_each(&mut add);
        all
    }

    #[test]
    fn items_are_the_same_however_they_arrive() {
        let text = b"\xef\xbb\xbfhttp://a/\n\n  \r\n{\"url\":\"http://b/\"}\r\nhttp://ccccccccccccccccccccc/\nnone\nhttp://d/";
        for piece in 1..text.len() + 1 {
            let items = items(text, piece, 20);
            assert_eq!(items.len(), 5, "{items:?}");
            assert_eq!(items[..2], ["0 http://a/", "1 http://b/"]);
            assert_eq!(
                items[2],
                "2 Line 5: A line has more than the 20 bytes that one may have: shorten it."
            );
            assert!(items[3].starts_with("3 Line 6: "), "{items:?}");
            assert_eq!(items[4], "4 http://d/");
        }
    }

    #[test]
    fn a_last_line_that_is_too_long_says_so_and_an_empty_one_is_none() {
        assert_eq!(items(b"http://a/\n", 3, 20).len(), 1);
        let long = items(b"http://aaaaaaaaaaaaaaaaaaaaaa/", 3, 20);
        assert!(long[0].contains("more than the 20 bytes"), "{long:?}");
    }
}
