//! Names for single values of the configuration: where a value stands, and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use toml::Value;
use toml::de::{DeTable, DeValue};

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Where a value stands: `relay.max-message`, `tokens[0].name`, `origins."*.example.com".rate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<Step>);

impl KeyPath {
    pub(crate) fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(keys.into_iter().map(|k| Step::Key(k.to_owned())).collect())
    }

    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// `inner`, within what stands here.
    pub(super) fn join(&self, inner: &Self) -> Self {
        Self([self.0.as_slice(), &inner.0].concat())
    }

    pub(super) fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(super) fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// Whether a wrong value here might be a credential, which no message may quote.
    pub(super) fn is_sensitive(&self) -> bool {
        let is = |step: &Step, name: &str| matches!(step, Step::Key(k) if k == name);
        match self.0.as_slice() {
            [first, ..] if is(first, "tokens") => true,
            // A gateway as a whole, written as something else than a table.
            [first] | [first, Step::Index(_)] if is(first, "gateways") => true,
            steps => (steps.iter()).any(|step| is(step, "token") || is(step, "push-token")),
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{}", Key(key))?,
                Step::Key(key) => write!(f, ".{}", Key(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// One key as TOML writes it: bare if it can be, else in quotes.
pub(super) struct Key<'a>(pub(super) &'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !self.0.is_empty() && self.0.bytes().all(bare) {
            f.write_str(self.0)
        } else {
            write!(f, "{}", Value::String(self.0.to_owned()))
        }
    }
}

/// Where a value came from. A later one in this order wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// A line of the configuration file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Env(String),
    /// A flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The layer of the configuration that a setting and the values in it come from.
pub(super) enum Layer {
    File(PathBuf, Lines),
    Env(String),
    Flag(String),
}

impl Layer {
    pub(super) fn source(&self, at: &KeyPath) -> Source {
        match self {
            Self::File(path, lines) => Source::File {
                path: path.clone(),
                line: lines.line(at),
            },
            Self::Env(name) => Source::Env(name.clone()),
            Self::Flag(name) => Source::Flag(name.clone()),
        }
    }
}

/// The line of every key of a TOML text.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<KeyPath, usize>);

impl Lines {
    /// Empty if `text` is no TOML.
    pub(super) fn of(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            lines.walk(text, &KeyPath::default(), table.get_ref());
        }
        lines
    }

    fn walk(&mut self, text: &str, at: &KeyPath, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = at.key(key.get_ref());
            self.0.insert(path.clone(), line_at(text, &key.span()));
            match value.get_ref() {
                DeValue::Table(table) => self.walk(text, &path, table),
                DeValue::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let path = path.index(index);
                        self.0.insert(path.clone(), line_at(text, &item.span()));
                        if let DeValue::Table(table) = item.get_ref() {
                            self.walk(text, &path, table);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The line of `path`; 1 if it isn't there.
    pub(super) fn line(&self, path: &KeyPath) -> usize {
        self.0.get(path).copied().unwrap_or(1)
    }
}

/// The line that a span of `text` begins on, counted from 1.
pub(super) fn line_at(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().iter().take(span.start);
    1 + before.filter(|b| **b == b'\n').count()
}
