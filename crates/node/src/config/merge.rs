//! Merging settings into one table, each value tried on its own first: whatever is wrong with it is
//! told with its source and key, and all that is wrong is told at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::layers::Origin;
use super::leaf::{KeyPath, Source, Step, leaves};

/// A configuration, and where each of its values came from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    sources: BTreeMap<KeyPath, Source>,
}

impl Loaded {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            sources: BTreeMap::new(),
        }
    }

    /// Where the value at `path` came from; for a table, the first value in it that is not built in.
    #[must_use]
    pub fn source(&self, path: &KeyPath) -> &Source {
        self.sources
            .range(path..)
            .next()
            .filter(|(known, _)| known.starts_with(path))
            .map_or(&Source::Default, |(_, source)| source)
    }
}

pub(super) struct Merge {
    table: Table,
    sources: BTreeMap<KeyPath, Source>,
    problems: Vec<String>,
}

impl Merge {
    pub(super) fn new(mut problems: Vec<String>) -> Self {
        let table = Table::try_from(Config::default()).unwrap_or_else(|e| {
            problems.push(format!("the defaults could not be written down: {e}"));
            Table::new()
        });
        Self {
            table,
            sources: BTreeMap::new(),
            problems,
        }
    }

    /// Sets `path` to the first of `readings` that it accepts, or tells why it accepts none.
    pub(super) fn set(&mut self, origin: &Origin, path: &KeyPath, readings: Vec<Value>) {
        let mut first = None;
        for value in readings {
            let refused = refusals(path, &value);
            if refused.is_empty() {
                return self.store(origin, path, &value);
            }
            first.get_or_insert(refused);
        }
        for (at, why) in first.unwrap_or_default() {
            let source = origin.source(&at);
            self.problems.push(format!("{source}: {at}: {why}"));
        }
    }

    fn store(&mut self, origin: &Origin, path: &KeyPath, value: &Value) {
        let mut found = Vec::new();
        leaves(path, value, false, &mut found);
        for (at, value) in found {
            self.sources.retain(|known, _| !known.starts_with(&at));
            let mut single = Vec::new();
            leaves(&at, &value, true, &mut single);
            for (at, _) in single {
                let source = origin.source(&at);
                self.sources.insert(at, source);
            }
            insert(&mut self.table, at.steps(), value);
        }
    }

    /// The configuration, if its values could be read, and all problems.
    pub(super) fn finish(mut self) -> (Option<Loaded>, Vec<String>) {
        let loaded = match Config::deserialize(Value::Table(self.table)) {
            Ok(config) => Some(Loaded {
                config,
                sources: self.sources,
            }),
            // Each value was accepted by itself, so this is not expected of any input.
            Err(e) => {
                self.problems.push(format!(
                    "the configuration contradicts itself: {}",
                    e.message()
                ));
                None
            }
        };
        (loaded, self.problems)
    }
}

fn insert(table: &mut Table, steps: &[Step], value: Value) {
    let Some((Step::Key(key), rest)) = steps.split_first() else {
        return;
    };
    if rest.is_empty() {
        let empty = value.as_table().is_some_and(Table::is_empty);
        // An empty table brings a lane or origin about, but takes nothing from one that is there.
        if !(empty && table.get(key).is_some_and(Value::is_table)) {
            table.insert(key.clone(), value);
        }
        return;
    }
    let entry = table
        .entry(key.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(inner) = entry {
        insert(inner, rest, value);
    }
}

/// What the configuration has against `value` at `path`: each refused value within it, and why.
fn refusals(path: &KeyPath, value: &Value) -> Vec<(KeyPath, String)> {
    let mut single = Vec::new();
    leaves(path, value, true, &mut single);
    single
        .into_iter()
        .filter_map(|(at, value)| {
            let tried = Config::deserialize(at.nest(value));
            let error = tried.err()?;
            let why = explain(&at, error.message());
            Some((at, why))
        })
        .collect()
}

fn explain(at: &KeyPath, message: &str) -> String {
    if message.starts_with("unknown field") {
        return explain_unknown(message);
    }
    if at.is_sensitive() && message.starts_with("invalid") {
        return "this has the wrong form (not shown, as it may hold a credential)".to_owned();
    }
    let mut message = message.trim_end().to_owned();
    for (technical, plain) in [
        ("expected usize", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
    ] {
        message = message.replace(technical, plain);
    }
    message
}

/// serde's message names the key and all that might stand in its place, each between backticks.
fn explain_unknown(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<_> = names.collect();
    let close = known
        .iter()
        .map(|name| (distance(unknown, name), *name))
        .min()
        .filter(|(distance, _)| *distance <= 2.max(unknown.chars().count() / 3));
    match close {
        Some((_, name)) => format!("there is no key {unknown}; did you mean {name}?"),
        None => format!(
            "there is no key {unknown}; remove it, or use one of {}",
            known.join(", ")
        ),
    }
}

/// Edits (insert, remove, replace a character) between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
