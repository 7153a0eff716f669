//! Merging layers into one configuration. A later layer overrides an earlier one value by value, and every
//! problem is reported with its source and key.

use super::leaf::{KeyPath, Layer};
use super::loaded::Loaded;
use super::problem::{ConfigError, Problem};
use super::setting::{Given, Reader, Setting};
use super::{check, gateways};

pub(super) struct Merge {
    loaded: Loaded,
    problems: Vec<String>,
    broken: Vec<KeyPath>,
}

impl Merge {
    pub(super) fn new(problems: Vec<String>) -> Self {
        Self {
            loaded: Loaded::default(),
            problems,
            broken: Vec::new(),
        }
    }

    /// Sets what `layer` gives for `path`.
    pub(super) fn set(&mut self, layer: &Layer, path: &KeyPath, given: Given<'_>) {
        let mut problems: Vec<Problem> = Vec::new();
        let mut reader = Reader {
            at: KeyPath::default(),
            problems: &mut problems,
        };
        self.loaded.config.set(path.steps(), given, &mut reader);
        self.loaded.record(layer, path, &given.value());
        for problem in problems {
            let source = layer.source(&problem.at);
            self.problems.push(problem.explain(&source));
            self.broken.push(problem.broken);
        }
    }

    /// Returns the configuration, or all problems. Its values are checked if `all_read`.
    pub(super) fn finish(mut self, all_read: bool) -> Result<Loaded, ConfigError> {
        let Loaded { config, sources } = &mut self.loaded;
        gateways::add_lanes(config, |lane, key| {
            sources.contains_key(&KeyPath::of(["lanes", lane, key]))
        });
        if all_read {
            let problems = check::problems(&self.loaded, &self.broken);
            self.problems.extend(problems);
        }
        match self.problems.is_empty() {
            true => Ok(self.loaded),
            false => Err(ConfigError(self.problems)),
        }
    }
}
