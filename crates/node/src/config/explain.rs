//! Explanations of values that a key does not accept.

use serde::Deserialize;
use toml::Value;

use super::Config;
use super::leaf::{KeyPath, Step, leaves};

/// Characters of a wrong value that are shown.
const SHOWN: usize = 60;

/// One value that the configuration refuses.
pub(super) struct Refused {
    /// The setting that it stands in: the value itself, or the list that it is in.
    pub(super) leaf: KeyPath,
    /// Where exactly.
    pub(super) at: KeyPath,
    value: Value,
    /// serde's own words, or ours if the value has the right type.
    message: String,
}

impl Refused {
    /// Whether the value is of another type than its key's.
    pub(super) fn is_of_other_type(&self) -> bool {
        self.message.starts_with("invalid type")
    }

    /// The key, what it should be, and its value, unless that may be a credential.
    pub(super) fn explain(&self) -> String {
        let Self { at, message, .. } = self;
        if message.starts_with("unknown field") {
            return format!("{at}: {}", explain_unknown(message));
        }
        let why = plain(message);
        if at.is_sensitive() || may_name_a_user(&self.value) {
            return format!("{at}: {why}");
        }
        let value = shown(&self.value);
        // Some of our own words quote it already.
        match why.contains(&format!("`{}`", value.trim_matches('"'))) {
            true => format!("{at}: {why}"),
            false => format!("{at} = {value}: {why}"),
        }
    }
}

/// Returns the refused values within `value` at `path`.
pub(super) fn refusals(path: &KeyPath, value: &Value) -> Vec<Refused> {
    let mut single = Vec::new();
    leaves(path, value, true, &mut single);
    let mut refused = Vec::new();
    for (leaf, value) in single {
        let Some(message) = refusal(&leaf, &value) else {
            continue;
        };
        let before = refused.len();
        if let Value::Array(items) = &value
            && refusal(&leaf, &Value::Array(Vec::new())).is_none()
        {
            for (index, item) in items.iter().enumerate() {
                let at = leaf.index(index);
                refused.extend(refusal(&at, item).map(|message| Refused {
                    leaf: leaf.clone(),
                    at,
                    value: item.clone(),
                    message,
                }));
            }
        }
        if refused.len() == before {
            refused.push(Refused {
                at: leaf.clone(),
                leaf,
                value,
                message,
            });
        }
    }
    refused
}

/// Tried alone, so that nothing else can be the reason.
fn refusal(at: &KeyPath, value: &Value) -> Option<String> {
    let tried = Config::deserialize(at.nest(value.clone()));
    tried
        .err()
        .map(|error| error.message().trim_end().to_owned())
}

/// `value` without what was refused of it; nothing if that is all of it.
pub(super) fn sound_part(path: &KeyPath, mut value: Value, refused: &[Refused]) -> Option<Value> {
    for leaf in refused.iter().map(|refused| &refused.leaf) {
        let (last, way) = leaf.steps().get(path.steps().len()..)?.split_last()?;
        let parent = way.iter().try_fold(&mut value, |value, step| match step {
            Step::Key(key) => value.get_mut(key.as_str()),
            Step::Index(index) => value.get_mut(*index),
        });
        match (parent, last) {
            (Some(Value::Table(table)), Step::Key(key)) => {
                table.remove(key);
            }
            _ => return None,
        }
    }
    Some(value)
}

/// Whether it may be a URL with a user's password in it.
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

/// serde says "invalid type: integer `30`, expected …". Its quote of the value, which may be secret,
/// ends where what is expected begins: at the last of these words.
fn plain(message: &str) -> String {
    let quotes = ["invalid ", "unknown variant"];
    let mut why = match message.rfind(", expected ") {
        Some(at) if quotes.iter().any(|begin| message.starts_with(begin)) => &message[at + 2..],
        None if message.starts_with("invalid ") => "this has the wrong form",
        _ => message,
    }
    .to_owned();
    for (technical, plain) in [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected a boolean", "expected true or false"),
        ("expected a string", "expected text"),
        ("expected path string", "expected the path of a file"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
    ] {
        why = why.replace(technical, plain);
    }
    match why.strip_prefix("expected struct ") {
        Some(_) => "expected a table".to_owned(),
        None => why,
    }
}

/// serde's message names the key and all that might stand in its place, each between backticks.
fn explain_unknown(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<_> = names.collect();
    match closest(unknown, known.iter().copied()) {
        Some(name) => format!("there is no key {unknown}; did you mean {name}?"),
        None => format!(
            "there is no key {unknown}; remove it, or use one of {}",
            known.join(", ")
        ),
    }
}

/// Which of the names `unknown` may have been meant to be.
pub(super) fn closest<'n>(unknown: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let close = names.map(|name| (distance(unknown, name), name)).min();
    let close = close.filter(|(distance, _)| *distance <= 2.max(unknown.chars().count() / 3));
    close.map(|(_, name)| name)
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
