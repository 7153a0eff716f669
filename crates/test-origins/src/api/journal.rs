//! The account on disk, so that it survives the API's end, also by SIGKILL: a line for each request,
//! written before the request is answered.
//!
//! ```text
//! POST 1755 3 5f0c0e8a-0001-4abc-a123-00000000002a
//! method, epoch (- if none), sequence (- if none), client
//! ```
//!
//! Nothing is synced: what a write has handed to the kernel outlives the process, which is enough here,
//! and does not outlive the machine.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use super::account::{Notice, Verb};

/// A file that each request is appended to.
pub(super) struct Journal {
    file: File,
    line: Vec<u8>,
    /// A write failed: what comes after it would stand behind half a line.
    broken: bool,
}

impl Journal {
    /// Opens the file, or makes it, and hands each request that stands in it to `enter`, in order. A
    /// last line without an end is cut off: the API was killed while it wrote it, before it answered.
    pub(super) fn open(path: &Path, mut enter: impl FnMut(&Notice<'_>)) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for (at, line) in text[..whole].lines().enumerate() {
            let notice = parse(line).ok_or_else(|| {
                let why = format!("line {} is not a request's: {line}", at + 1);
                io::Error::new(io::ErrorKind::InvalidData, why)
            })?;
            enter(&notice);
        }
        file.set_len(whole as u64)?;
        Ok(Self {
            file,
            line: Vec::new(),
            broken: false,
        })
    }

    /// Appends a request. After one error all others fail too.
    pub(super) fn append(&mut self, notice: &Notice<'_>) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier line could not be written"));
        }
        self.line.clear();
        put(notice, &mut self.line);
        let written = self.file.write_all(&self.line);
        self.broken = written.is_err();
        written
    }
}

fn put(notice: &Notice<'_>, line: &mut Vec<u8>) {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let (epoch, sequence) = (number(notice.epoch), number(notice.sequence));
    // Writing to a Vec does not fail.
    let _ = writeln!(
        line,
        "{} {epoch} {sequence} {}",
        method(notice.verb),
        notice.id
    );
}

/// The id is the rest of the line: it comes from a request's target, which has no blank and no end of
/// line in it.
fn parse(line: &str) -> Option<Notice<'_>> {
    let mut words = line.splitn(4, ' ');
    let named = words.next()?;
    let verbs = [Verb::Connect, Verb::Message, Verb::Delete];
    let verb = verbs.into_iter().find(|verb| method(*verb) == named)?;
    let mut number = || match words.next()? {
        "-" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    Some(Notice {
        verb,
        epoch: number()?,
        sequence: number()?,
        id: words.next()?,
    })
}

const fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Connect => "GET",
        Verb::Message => "POST",
        Verb::Delete => "DELETE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICES: [Notice<'static>; 3] = [
        Notice {
            verb: Verb::Connect,
            id: "a%2Fb",
            epoch: Some(7),
            sequence: Some(0),
        },
        Notice {
            verb: Verb::Message,
            id: "c",
            epoch: None,
            sequence: None,
        },
        Notice {
            verb: Verb::Delete,
            id: "a%2Fb",
            epoch: Some(7),
            sequence: Some(u64::MAX),
        },
    ];

    fn file() -> std::path::PathBuf {
        let name = format!("fetchway-journal-{}", std::process::id());
        std::env::temp_dir().join(name)
    }

    #[test]
    fn what_was_appended_is_read_again_wherever_it_was_cut() {
        let path = file();
        let mut journal = Journal::open(&path, |_| panic!("it is new")).expect("a file");
        for notice in &NOTICES {
            journal.append(notice).expect("written");
        }
        let whole = std::fs::read(&path).expect("a file");
        for cut in (0..=whole.len()).rev() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let mut read = Vec::new();
            Journal::open(&path, |notice| put(notice, &mut read)).expect("a journal");
            let ends = whole[..cut].iter().rposition(|byte| *byte == b'\n');
            assert_eq!(read, whole[..ends.map_or(0, |end| end + 1)], "cut at {cut}");
            assert_eq!(std::fs::read(&path).expect("a file"), read);
        }
        std::fs::write(&path, "POST 1 a\n").expect("written");
        let error = Journal::open(&path, |_| {}).err().expect("no journal");
        assert!(error.to_string().contains("line 1"), "{error}");
        std::fs::remove_file(&path).expect("it is there");
    }
}
