//! Problems with values of the configuration, and their texts.

use toml::Value;

use super::leaf::{KeyPath, Source};

/// Characters of a wrong value that are shown.
const SHOWN: usize = 60;

/// Keys of earlier versions, and the keys to use in their place.
const RENAMED: &[(&str, &str)] = &[(
    "retry-attempts",
    "use retries, the number of further tries: retry-attempts less one",
)];

/// The problems of a configuration, at least one, each as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub(super) Vec<String>);

impl ConfigError {
    /// Each problem with its source and key.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// A value that its key does not accept.
pub(super) struct Problem {
    pub(super) at: KeyPath,
    /// The setting that has no valid value because of this: the value itself, or the list that it is in.
    pub(super) broken: KeyPath,
    /// None for a problem with the key rather than with its value.
    value: Option<Value>,
    why: String,
}

impl Problem {
    pub(super) fn new(at: &KeyPath, value: Option<Value>, why: String) -> Self {
        Self {
            at: at.clone(),
            broken: at.clone(),
            value,
            why,
        }
    }

    /// Makes the whole of `list` broken if this is a problem with one of its items.
    pub(super) fn widen(&mut self, list: &KeyPath) {
        if self.broken.steps().len() == list.steps().len() + 1 {
            self.broken = list.clone();
        }
    }

    /// Returns the message: source, key, value and reason. A value that may be a credential is not shown.
    pub(super) fn explain(&self, source: &Source) -> String {
        let Self { at, why, .. } = self;
        match &self.value {
            Some(value) if !at.is_sensitive() && !may_name_a_user(value) => {
                let value = shown(value);
                // Some reasons quote the value.
                match why.contains(&format!("`{}`", value.trim_matches('"'))) {
                    true => format!("{source}: {at}: {why}"),
                    false => format!("{source}: {at} = {value}: {why}"),
                }
            }
            _ => format!("{source}: {at}: {why}"),
        }
    }
}

/// Returns true for text that may be a URL with a user's password.
fn may_name_a_user(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains('@'))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Returns the text about a key that does not exist.
pub(super) fn unknown_key(key: &str, known: &[String]) -> String {
    if let Some((_, instead)) = RENAMED.iter().find(|(old, _)| *old == key) {
        return format!("unknown key {key}; {instead}");
    }
    match closest(key, known.iter().map(String::as_str)) {
        Some(name) => format!("unknown key {key}; did you mean {name}?"),
        None => format!(
            "unknown key {key}; remove it, or use one of {}",
            known.join(", ")
        ),
    }
}

/// Returns the name that was most likely meant by `unknown`.
pub(super) fn closest<'n>(unknown: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let close = names
        .map(|name| (strsim::levenshtein(unknown, name), name))
        .min();
    let close = close.filter(|(distance, _)| *distance <= 2.max(unknown.chars().count() / 3));
    close.map(|(_, name)| name)
}
