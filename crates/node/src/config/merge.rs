//! Merging settings into one table, each value tried on its own first: whatever is wrong with it is
//! told with its source and key, and all that is wrong is told at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::explain::{Refused, refusals, sound_part};
use super::leaf::{KeyPath, Layer, Source, Step, leaves};
use super::{Config, gateways};

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

/// The result of merging.
pub(super) struct Merged {
    /// The values, those that are wrong left out.
    pub(super) loaded: Option<Loaded>,
    pub(super) problems: Vec<String>,
    /// Where those left out stand.
    pub(super) broken: Vec<KeyPath>,
}

pub(super) struct Merge {
    table: Table,
    sources: BTreeMap<KeyPath, Source>,
    problems: Vec<String>,
    broken: Vec<KeyPath>,
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
            broken: Vec::new(),
        }
    }

    /// Sets `path` to the first of `readings` that it accepts, or tells why it accepts none, and sets
    /// the rest of it.
    pub(super) fn set(&mut self, layer: &Layer, path: &KeyPath, readings: Vec<Value>) {
        if let Some(why) = out_of_reach(&self.table, path) {
            self.problems
                .push(format!("{}: {path}: {why}", layer.source(path)));
            return;
        }
        let mut refused = Vec::new();
        for value in readings {
            let problems = refusals(path, &value);
            if problems.is_empty() {
                return self.store(layer, path, &value);
            }
            refused.push((value, problems));
        }
        // The reading of the right type shows best what is wrong, else the first.
        let best = refused
            .iter()
            .position(|(_, problems)| !problems.iter().any(Refused::is_of_other_type));
        let Some((value, problems)) = refused.into_iter().nth(best.unwrap_or(0)) else {
            return;
        };
        for problem in &problems {
            let source = layer.source(&problem.at);
            self.problems
                .push(format!("{source}: {}", problem.explain()));
        }
        if let Some(sound) = sound_part(path, value, &problems) {
            self.store(layer, path, &sound);
        }
        let leaves = problems.into_iter().map(|problem| problem.leaf);
        self.broken.extend(leaves);
    }

    fn store(&mut self, layer: &Layer, path: &KeyPath, value: &Value) {
        let mut found = Vec::new();
        leaves(path, value, false, &mut found);
        for (at, value) in found {
            self.sources.retain(|known, _| !known.starts_with(&at));
            let mut single = Vec::new();
            leaves(&at, &value, true, &mut single);
            for (at, _) in single {
                let source = layer.source(&at);
                self.sources.insert(at, source);
            }
            insert(&mut self.table, at.steps(), value);
        }
    }

    /// The configuration, if its values could be read, and all problems.
    pub(super) fn finish(mut self) -> Merged {
        if let Err(e) = gateways::add_lanes(&mut self.table) {
            self.problems.push(format!(
                "the lanes of gateways could not be written down: {e}"
            ));
        }
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
        Merged {
            loaded,
            problems: self.problems,
            broken: self.broken,
        }
    }
}

/// Why there is nothing at `path` that could be set: it leads into a list beyond its next item.
fn out_of_reach(table: &Table, path: &KeyPath) -> Option<String> {
    let [Step::Key(list), Step::Index(index), ..] = path.steps() else {
        return None;
    };
    let length = table
        .get(list)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let next = KeyPath::of([list.as_str()]).index(length);
    (*index > length).then(|| format!("the list is not that long; its next item is {next}"))
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
    let (empty, rest) = match rest {
        [Step::Index(index), rest @ ..] => (Value::Array(Vec::new()), (Some(*index), rest)),
        rest => (Value::Table(Table::new()), (None, rest)),
    };
    match (table.entry(key.clone()).or_insert(empty), rest) {
        (Value::Table(inner), (None, rest)) => insert(inner, rest, value),
        (Value::Array(items), (Some(index), rest)) => {
            if index == items.len() {
                items.push(Value::Table(Table::new()));
            }
            if let Some(Value::Table(item)) = items.get_mut(index) {
                insert(item, rest, value);
            }
        }
        // Each path was accepted by itself, so what stands there has its form.
        _ => {}
    }
}
