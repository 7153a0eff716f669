//! Collecting the sources of the configuration: file, environment, flags. `merge` puts them
//! together.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::leaf::{KeyPath, Layer, Lines, line_at};
use super::loaded::Loaded;
use super::merge::Merge;
use super::problem::ConfigError;
use super::setting::Given;

/// Environment variables that begin so are configuration.
const ENV_PREFIX: &str = "FETCHWAY_";
/// Names the file; for whoever collects the layers.
const ENV_FILE: &str = "FETCHWAY_CONFIG";

/// A value as a variable or a flag gave it.
enum Text {
    Value(Value),
    /// Text without a type. The type of its key decides how it is read.
    Untyped(String),
}

impl Text {
    fn given(&self) -> Given<'_> {
        match self {
            Self::Value(value) => Given::Value(value),
            Self::Untyped(text) => Given::Text(text),
        }
    }
}

/// A setting of a layer other than the file.
struct Single {
    layer: Layer,
    path: KeyPath,
    value: Text,
}

/// Collects sources. Whatever the order of the calls, flags win over the environment and that over
/// the file; among equals the later call wins.
#[derive(Default)]
pub struct Layers {
    file: Option<(PathBuf, Table, Lines)>,
    env: Vec<Single>,
    flags: Vec<Single>,
    problems: Vec<String>,
}

impl Layers {
    /// The built-in defaults alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the file at `path`. What is wrong with it is told by [`load`](Self::load).
    #[must_use]
    pub fn read_file(mut self, path: &Path) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => self.file(path, &text),
            Err(e) => {
                self.problems.push(format!(
                    "{}: the configuration file could not be read ({e}); correct --config or \
                     {ENV_FILE}",
                    path.display()
                ));
                self
            }
        }
    }

    /// Takes `text` as the file's, which messages call `path`.
    #[must_use]
    pub fn file(mut self, path: &Path, text: &str) -> Self {
        match toml::from_str(text) {
            Ok(table) => self.file = Some((path.to_owned(), table, Lines::of(text))),
            // The error's own Display would quote the line, which may hold a token.
            Err(e) => {
                let line = e.span().map_or(1, |span| line_at(text, &span));
                let (path, what) = (path.display(), plain(e.message()));
                self.problems
                    .push(format!("{path}:{line}: not valid TOML: {what}"));
            }
        }
        self
    }

    /// Adds environment variables; those that don't begin with `FETCHWAY_` are left alone.
    /// `FETCHWAY_RELAY__MAX_MESSAGE` stands for `relay.max-message`.
    #[must_use]
    pub fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, text) in variables {
            if name == ENV_FILE {
                continue;
            }
            let Some(key) = name.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            let key = key.to_ascii_lowercase();
            let steps: Vec<_> = key.split("__").map(|s| s.replace('_', "-")).collect();
            self.env.push(Single {
                path: KeyPath::of(steps.iter().map(String::as_str)),
                layer: Layer::Env(name),
                value: Text::Untyped(text),
            });
        }
        self
    }

    /// Adds what the flag called `flag` says: `value` for the dotted `key`.
    #[must_use]
    pub fn flag(self, flag: &str, key: &str, value: impl Into<Value>) -> Self {
        self.push_flag(flag, key, Text::Value(value.into()))
    }

    /// The same with text whose type is found out, as with an environment variable.
    #[must_use]
    pub fn flag_text(self, flag: &str, key: &str, text: impl Into<String>) -> Self {
        self.push_flag(flag, key, Text::Untyped(text.into()))
    }

    fn push_flag(mut self, flag: &str, key: &str, value: Text) -> Self {
        match parse_key(key) {
            Some(path) => self.flags.push(Single {
                layer: Layer::Flag(flag.to_owned()),
                path,
                value,
            }),
            None => self.problems.push(format!(
                "{flag}: {key} is no key; write it like relay.max-message"
            )),
        }
        self
    }

    /// Merges everything and checks it.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        // A source that could not be read might have made the whole valid.
        let all_read = self.problems.is_empty();
        let mut merge = Merge::new(self.problems);
        if let Some((path, table, lines)) = self.file {
            let layer = Layer::File(path, lines);
            merge.set(&layer, &KeyPath::default(), Given::Value(&table.into()));
        }
        for single in self.env.into_iter().chain(self.flags) {
            merge.set(&single.layer, &single.path, single.value.given());
        }
        merge.finish(all_read)
    }
}

/// Returns a parser's message in plain words.
fn plain(message: &str) -> &str {
    match message {
        "invalid literal string, expected `'`" | "invalid basic string, expected `\"`" => {
            "unclosed string"
        }
        message => message,
    }
}

/// A dotted key as TOML reads it, quoted parts included; or one of an item of a list, such as
/// `gateways[0].order`.
fn parse_key(key: &str) -> Option<KeyPath> {
    if let Some((list, index, rest)) = parse_item(key) {
        return Some(list.index(index).join(&parse_key(rest)?));
    }
    if key.contains('\n') || key.trim_start().starts_with('[') {
        return None;
    }
    let mut table: Table = toml::from_str(&format!("{key} = 0")).ok()?;
    let mut path = KeyPath::default();
    loop {
        let (key, value) = std::mem::take(&mut table).into_iter().next()?;
        path = path.key(&key);
        match value {
            Value::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

/// `list[index].rest`.
fn parse_item(key: &str) -> Option<(KeyPath, usize, &str)> {
    let (list, rest) = key.split_once('[')?;
    let (index, rest) = rest.split_once("].")?;
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_list = !list.is_empty() && list.bytes().all(bare);
    is_list.then_some((KeyPath::of([list]), index.parse().ok()?, rest))
}
