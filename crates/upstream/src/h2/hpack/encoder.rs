//! Encoder of our heads. Fields that repeat on a connection get a place in the table, first come, first
//! served.
//!
//! The first few values of each name enter the table. A field that is the same in every request, or has
//! one of few values, then takes one byte. For a field that always changes, the name takes two bytes,
//! and the value is sent as it is. No entry is ever evicted.

use super::{OVERHEAD, TABLE_SIZE, integer, statics};

/// Maximum number of values of one name in the table. Other values are sent as they are.
const VALUES: usize = 4;

/// Maximum length in bytes of a value in the table, so that one value cannot fill it.
const MAX_VALUE: usize = 128;

/// Maximum number of names. Fields with other names are sent as they are.
const NAMES: usize = 32;

/// Credentials never enter a table, because the length of a block would reveal information about them
/// (section 7.1.3).
const NEVER: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// First bits, and prefix length, of a field in a table, of one that enters it, of one that does not,
/// of one that never may, and of a size update.
const INDEXED: (u8, u32) = (0x80, 7);
const ENTERED: (u8, u32) = (0x40, 6);
const PLAIN: (u8, u32) = (0x00, 4);
const SECRET: (u8, u32) = (0x10, 4);
const SIZE: (u8, u32) = (0x20, 5);

/// Encoder state: our table.
#[derive(Debug)]
pub(in crate::h2) struct Encoder {
    names: Vec<Name>,
    /// Number of values entered, which is also the number of the last one: they are numbered from 1.
    entered: usize,
    size: usize,
    max: usize,
    /// True if the next block must begin with a size update.
    announce: bool,
    /// Position of the name that is expected next, because requests have their fields in the same
    /// order.
    next: usize,
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    /// Index of the name in the static table, or 0.
    fixed: usize,
    values: Vec<(Box<[u8]>, usize)>,
}

impl Encoder {
    pub(in crate::h2) fn new() -> Self {
        Self {
            names: Vec::new(),
            entered: 0,
            size: 0,
            max: TABLE_SIZE,
            announce: false,
            next: 0,
        }
    }

    /// Limits the server's table to `max` bytes from now on.
    pub(in crate::h2) fn resize(&mut self, max: u32) {
        let max = TABLE_SIZE.min(usize::try_from(max).unwrap_or(TABLE_SIZE));
        if max == self.max {
            return;
        }
        // The table is emptied. This is rare: usual servers do it at most once on a connection.
        self.names.clear();
        (self.entered, self.size, self.max) = (0, 0, max);
        self.announce = true;
    }

    /// Begins a block: appends `method`, the scheme `http`, `authority` and `path`.
    pub(in crate::h2) fn begin(
        &mut self,
        out: &mut Vec<u8>,
        (method, authority, path): (&str, &str, &str),
    ) {
        if std::mem::take(&mut self.announce) {
            put(out, SIZE, 0);
            put(out, SIZE, self.max);
        }
        self.next = 0;
        match method {
            "GET" => put(out, INDEXED, statics::METHOD_GET),
            "POST" => put(out, INDEXED, statics::METHOD_POST),
            _ => self.field(out, ":method", method.as_bytes()),
        }
        put(out, INDEXED, statics::SCHEME_HTTP);
        self.field(out, ":authority", authority.as_bytes());
        if path == "/" {
            put(out, INDEXED, statics::PATH);
        } else {
            // The path names the client, so it is rarely the same twice.
            put(out, PLAIN, statics::PATH);
            put_string(out, path.as_bytes());
        }
    }

    /// Appends a field.
    pub(in crate::h2) fn field(&mut self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        let Some(at) = self.position(name) else {
            put_name(out, PLAIN, 0, name);
            return put_string(out, value);
        };
        let entered = self.entered;
        let known = &mut self.names[at];
        let same = known.values.iter().find(|(same, _)| **same == *value);
        if let Some((_, number)) = same {
            return put(out, INDEXED, index(entered, *number));
        }
        let last = known.values.last();
        let named = match known.fixed {
            0 => last.map_or(0, |(_, number)| index(entered, *number)),
            fixed => fixed,
        };
        let size = name.len() + value.len() + OVERHEAD;
        let how = if NEVER.contains(&name) {
            SECRET
        } else if known.values.len() < VALUES
            && value.len() <= MAX_VALUE
            && self.size + size <= self.max
        {
            self.size += size;
            self.entered += 1;
            known.values.push((value.into(), self.entered));
            ENTERED
        } else {
            PLAIN
        };
        put_name(out, how, named, name);
        put_string(out, value);
    }

    /// Returns the position of `name` among the known names, and adds it if there is room.
    fn position(&mut self, name: &str) -> Option<usize> {
        let likely = self.names.get(self.next);
        let at = if likely.is_some_and(|known| *known.name == *name) {
            self.next
        } else if let Some(at) = self.names.iter().position(|known| *known.name == *name) {
            at
        } else if self.names.len() < NAMES {
            self.names.push(Name {
                name: name.into(),
                fixed: statics::index(name).unwrap_or(0),
                values: Vec::new(),
            });
            self.names.len() - 1
        } else {
            return None;
        };
        self.next = at + 1;
        Some(at)
    }
}

/// Returns the index of the value with this number, once `entered` values have been entered. The last
/// value has the first index after the static table.
fn index(entered: usize, number: usize) -> usize {
    statics::ENTRIES.len() + 1 + entered - number
}

fn put(out: &mut Vec<u8>, (first, prefix): (u8, u32), value: usize) {
    integer::put(out, first, prefix, value);
}

/// Appends a name: `named` is its index, or 0.
fn put_name(out: &mut Vec<u8>, how: (u8, u32), named: usize, name: &str) {
    put(out, how, named);
    if named == 0 {
        put_string(out, name.as_bytes());
    }
}

fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    integer::put(out, 0, 7, string.len());
    out.extend_from_slice(string);
}
