//! Decoder of the server's heads. Blocks are decoded in place, and each field is passed on at once.

use super::super::field::Meaning;
use super::dynamic::Dynamic;
use super::{OVERHEAD, TABLE_SIZE, Undecodable, huffman, integer, statics};

/// Decoder state: the server's table.
#[derive(Debug)]
pub(in crate::h2) struct Decoder {
    table: Dynamic,
    wanted: &'static [&'static str],
    /// Buffer for text that cannot be used in place. It is cleared for each field.
    text: Vec<u8>,
}

/// A decoded field.
#[derive(Debug)]
pub(in crate::h2) struct Field<'a> {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "all but tests go by what it means")
    )]
    pub(in crate::h2) name: &'a [u8],
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "all but tests go by what it means")
    )]
    pub(in crate::h2) value: &'a [u8],
    pub(in crate::h2) meaning: Meaning,
    /// Length of name, value and overhead (RFC 9113 section 6.5.2).
    pub(in crate::h2) size: usize,
}

/// A literal string, either in the block, or decoded into a range of `text`.
#[derive(Clone, Copy)]
enum Text<'a> {
    Here(&'a [u8]),
    Decoded(usize, usize),
}

impl<'a> Text<'a> {
    fn of<'b>(self, text: &'b [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Text::Here(bytes) => bytes,
            Text::Decoded(from, to) => &text[from..to],
        }
    }
}

impl Decoder {
    /// Creates a decoder. `wanted` names the fields whose values are kept.
    pub(in crate::h2) fn new(wanted: &'static [&'static str]) -> Self {
        Self {
            table: Dynamic::new(),
            wanted,
            text: Vec::new(),
        }
    }

    /// Decodes a complete block, and passes each field to `each`.
    pub(in crate::h2) fn decode(
        &mut self,
        mut block: &[u8],
        mut each: impl FnMut(Field<'_>),
    ) -> Result<(), Undecodable> {
        let mut begun = false;
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer::take(&mut block, 7)?;
                    each(self.indexed(index)?);
                }
                0x40.. => self.literal(&mut block, 6, &mut each)?,
                // Size updates must precede all fields (section 4.2).
                0x20.. if begun => return Err(Undecodable("a table size within a block")),
                0x20.. => {
                    self.resize(integer::take(&mut block, 5)?)?;
                    continue;
                }
                _ => self.literal(&mut block, 4, &mut each)?,
            }
            begun = true;
        }
        Ok(())
    }

    fn resize(&mut self, max: usize) -> Result<(), Undecodable> {
        if max > TABLE_SIZE {
            return Err(Undecodable("a table larger than was allowed"));
        }
        self.table.resize(max);
        Ok(())
    }

    fn indexed(&self, index: usize) -> Result<Field<'_>, Undecodable> {
        let (name, value, meaning) = match statics::ENTRIES.get(index.wrapping_sub(1)) {
            Some((name, value)) => {
                let (name, value) = (name.as_bytes(), value.as_bytes());
                (name, value, Meaning::of(name, value, self.wanted))
            }
            None => {
                let (name, value, meaning) = self.dynamic(index)?;
                (name, value, meaning.clone())
            }
        };
        Ok(field(name, value, meaning))
    }

    fn dynamic(&self, index: usize) -> Result<(&[u8], &[u8], &Meaning), Undecodable> {
        let index = index.checked_sub(statics::ENTRIES.len() + 1);
        let entry = index.and_then(|index| self.table.get(index));
        entry.ok_or(Undecodable("an index that stands for nothing"))
    }

    /// Decodes a literal. Its index has six bits if the field enters the table, and four if not.
    fn literal(
        &mut self,
        block: &mut &[u8],
        prefix: u32,
        each: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Undecodable> {
        self.text.clear();
        let index = integer::take(block, prefix)?;
        let name = match index {
            0 => self.string(block)?,
            1..=61 => Text::Here(statics::ENTRIES[index - 1].0.as_bytes()),
            _ => self.copied_name(index)?,
        };
        let value = self.string(block)?;
        let (name, value) = (name.of(&self.text), value.of(&self.text));
        let meaning = Meaning::of(name, value, self.wanted);
        if prefix == 6 {
            self.table.insert(name, value, meaning.clone());
        }
        each(field(name, value, meaning));
        Ok(())
    }

    /// Copies a name from the table, since its entry may be evicted for the new one.
    fn copied_name(&mut self, index: usize) -> Result<Text<'static>, Undecodable> {
        let mut text = std::mem::take(&mut self.text);
        text.extend_from_slice(self.dynamic(index)?.0);
        self.text = text;
        Ok(Text::Decoded(0, self.text.len()))
    }

    fn string<'a>(&mut self, block: &mut &'a [u8]) -> Result<Text<'a>, Undecodable> {
        let coded = block.first().is_some_and(|first| first & 0x80 != 0);
        let length = integer::take(block, 7)?;
        let ends_early = Undecodable("a string is longer than its block");
        let (string, rest) = block.split_at_checked(length).ok_or(ends_early)?;
        *block = rest;
        if !coded {
            return Ok(Text::Here(string));
        }
        let from = self.text.len();
        huffman::decode(string, &mut self.text)?;
        Ok(Text::Decoded(from, self.text.len()))
    }
}

fn field<'a>(name: &'a [u8], value: &'a [u8], meaning: Meaning) -> Field<'a> {
    Field {
        name,
        value,
        meaning,
        size: name.len() + value.len() + OVERHEAD,
    }
}
