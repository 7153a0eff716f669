//! Collecting the sources of the configuration: file, environment, flags. `merge` puts them
//! together.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::leaf::{KeyPath, Layer, Lines, Step, leaves, line_at};
use super::merge::{Merge, Merged};
use super::{Config, Loaded, check, gateways};

/// Environment variables that begin so are configuration.
const ENV_PREFIX: &str = "FETCHWAY_";
/// Names the file; for whoever collects the layers.
const ENV_FILE: &str = "FETCHWAY_CONFIG";

/// The problems of a configuration, at least one, each as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// Each problem with its source and key.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// A value as a source gave it.
enum Given {
    Value(Value),
    /// Text without a type: taken as the first of a string, a TOML value and a list with commas that
    /// its key accepts.
    Text(String),
}

impl Given {
    fn readings(self) -> Vec<Value> {
        let text = match self {
            Self::Value(value) => return vec![value],
            Self::Text(text) => text,
        };
        let mut readings = vec![Value::String(text.clone())];
        // A value of several lines would be read as further keys.
        if !text.contains('\n')
            && let Ok(mut table) = toml::from_str::<Table>(&format!("value = {text}"))
            && let Some(value) = table.remove("value")
        {
            readings.push(value);
        }
        let items = text.split(',').map(str::trim).filter(|i| !i.is_empty());
        readings.push(Value::Array(
            items.map(|item| Value::String(item.to_owned())).collect(),
        ));
        readings
    }
}

struct Setting {
    layer: Layer,
    path: KeyPath,
    given: Given,
}

/// Collects sources. Whatever the order of the calls, flags win over the environment and that over
/// the file; among equals the later call wins.
#[derive(Default)]
pub struct Layers {
    file: Option<(PathBuf, Table, Lines)>,
    env: Vec<Setting>,
    flags: Vec<Setting>,
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
                let (path, what) = (path.display(), e.message());
                self.problems
                    .push(format!("{path}:{line}: this is no TOML ({what})"));
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
            self.env.push(Setting {
                path: KeyPath::of(steps.iter().map(String::as_str)),
                layer: Layer::Env(name),
                given: Given::Text(text),
            });
        }
        self
    }

    /// Adds what the flag called `flag` says: `value` for the dotted `key`.
    #[must_use]
    pub fn flag(self, flag: &str, key: &str, value: impl Into<Value>) -> Self {
        self.push_flag(flag, key, Given::Value(value.into()))
    }

    /// The same with text whose type is found out, as with an environment variable.
    #[must_use]
    pub fn flag_text(self, flag: &str, key: &str, text: impl Into<String>) -> Self {
        self.push_flag(flag, key, Given::Text(text.into()))
    }

    fn push_flag(mut self, flag: &str, key: &str, given: Given) -> Self {
        match parse_key(key) {
            Some(path) => self.flags.push(Setting {
                layer: Layer::Flag(flag.to_owned()),
                path,
                given,
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
        // What a source that could not be read would have said, nobody knows.
        let all_read = self.problems.is_empty();
        let mut merge = Merge::new(self.problems);
        if let Some((path, table, lines)) = self.file {
            let mut settings = Vec::new();
            let root = KeyPath::default();
            leaves(&root, &Value::Table(table), false, &mut settings);
            let layer = Layer::File(path, lines);
            // A file without any key is one empty table.
            for (path, value) in settings.into_iter().filter(|(path, _)| *path != root) {
                merge.set(&layer, &path, vec![value]);
            }
        }
        for setting in self.env.into_iter().chain(self.flags) {
            merge.set(&setting.layer, &setting.path, setting.given.readings());
        }
        let Merged {
            loaded,
            mut problems,
            broken,
        } = merge.finish();
        if let (Some(loaded), true) = (&loaded, all_read) {
            problems.extend(check::problems(loaded, &broken));
        }
        match loaded {
            Some(loaded) if problems.is_empty() => Ok(loaded),
            _ => Err(ConfigError(problems)),
        }
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
    let table: Table = toml::from_str(&format!("{key} = 0")).ok()?;
    let mut found = Vec::new();
    leaves(&KeyPath::default(), &Value::Table(table), false, &mut found);
    match found.as_slice() {
        [(path, _)] if path.steps().iter().all(|s| matches!(s, Step::Key(_))) => Some(path.clone()),
        _ => None,
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

impl From<Config> for Loaded {
    /// A configuration made by a program: its values count as defaults.
    fn from(mut config: Config) -> Self {
        gateways::add_missing_lanes(&mut config);
        Self::new(config)
    }
}
