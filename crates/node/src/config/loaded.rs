//! A configuration, and the source of each of its values.

use std::collections::BTreeMap;

use toml::Value;

use super::leaf::{KeyPath, Layer, Source};
use super::{Config, gateways};

/// A configuration, and the source of each of its values.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    pub(super) sources: BTreeMap<KeyPath, Source>,
}

impl Loaded {
    /// Returns the source of the value at `path`; for a table, of the first value in it that is not a default.
    #[must_use]
    pub fn source(&self, path: &KeyPath) -> &Source {
        self.sources
            .range(path..)
            .next()
            .filter(|(known, _)| known.starts_with(path))
            .map_or(&Source::Default, |(_, source)| source)
    }

    /// Records that `value` at `path` comes from `layer`. A list replaces a list of another layer.
    pub(super) fn record(&mut self, layer: &Layer, path: &KeyPath, value: &Value) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (key, value) in table {
                    self.record(layer, &path.key(key), value);
                }
            }
            Value::Array(items) => {
                self.sources.retain(|known, _| !known.starts_with(path));
                let tables = items.iter().filter(|item| item.is_table()).enumerate();
                for (index, item) in tables {
                    let path = path.index(index);
                    self.sources.insert(path.clone(), layer.source(&path));
                    self.record(layer, &path, item);
                }
                self.sources.insert(path.clone(), layer.source(path));
            }
            _ => {
                self.sources.insert(path.clone(), layer.source(path));
            }
        }
    }
}

impl From<Config> for Loaded {
    /// Takes a configuration made by a program: its values count as defaults.
    fn from(mut config: Config) -> Self {
        let known = config.lanes.clone();
        gateways::add_lanes(&mut config, |lane, _| known.contains_key(lane));
        Self {
            config,
            sources: BTreeMap::new(),
        }
    }
}
