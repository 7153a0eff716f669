//! Doc comments: finding them, counting those that open without a subject, and taking a sample.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::source::Texts;

/// First words that stand for something named elsewhere.
const OPENERS: [&str; 10] = [
    "it", "its", "they", "them", "those", "that", "what", "who", "whom", "whoever",
];

/// Parts of a thousand of doc comments from which on such openings are too many.
const LIMIT_PER_MILLE: usize = 5;

/// A doc comment: one block of `///` or `//!` lines, or one `#[doc = "…"]`.
pub(crate) struct Doc {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Doc {
    /// Returns true if the first word is a pronoun.
    pub(crate) fn opens_with_pronoun(&self) -> bool {
        let words = self
            .text
            .trim_start_matches(|sign: char| !sign.is_alphanumeric());
        let first = words.split(|sign: char| !sign.is_alphanumeric()).next();
        first.is_some_and(|word| OPENERS.contains(&word.to_lowercase().as_str()))
    }
}

/// Returns true if so many of the doc comments open with a pronoun that the lint fails.
pub(crate) fn too_many(openings: usize, docs: usize) -> bool {
    openings > 0 && openings * 1000 >= docs * LIMIT_PER_MILLE
}

/// The doc comments of the files, tests included, in order.
pub(crate) fn docs(texts: &Texts) -> Vec<Doc> {
    let mut found: Vec<Doc> = Vec::new();
    for (path, text) in texts {
        let mut before = None;
        for (index, line) in text.lines().enumerate() {
            let current = marked(line.trim());
            if let Some((mark, text)) = current {
                match found.last_mut() {
                    Some(last) if before == Some(mark) && mark != "#" => {
                        last.text.push('\n');
                        last.text.push_str(text);
                    }
                    _ => found.push(Doc {
                        path: path.clone(),
                        line: index + 1,
                        text: text.to_owned(),
                    }),
                }
            }
            before = current.map(|(mark, _)| mark);
        }
    }
    found
}

/// Splits a line of a doc comment into its mark and its text.
fn marked(line: &str) -> Option<(&'static str, &str)> {
    if line.starts_with("////") {
        return None;
    }
    for mark in ["///", "//!"] {
        if let Some(text) = line.strip_prefix(mark) {
            return Some((mark, text.trim()));
        }
    }
    let attribute = ["#[doc = \"", "#![doc = \""];
    let text = attribute.iter().find_map(|start| line.strip_prefix(start));
    text.map(|text| ("#", text.trim_end_matches("\"]")))
}

/// Paths of the documentation's pages: every `.md` file but the changelog.
pub(crate) fn pages(root: &Path, folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = match folder {
            "" => name.clone(),
            _ => format!("{folder}/{name}"),
        };
        if entry.path().is_dir() {
            let skipped = ["target", "node_modules"].contains(&name.as_str());
            if !skipped && !name.starts_with('.') {
                found.append(&mut pages(root, &path));
            }
        } else if name.ends_with(".md") && name != "CHANGELOG.md" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Chooses up to `count` of the indexes below `of`; the same seed chooses the same ones.
pub(crate) fn choose(count: usize, of: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut chosen = BTreeSet::new();
    while chosen.len() < count.min(of) {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        chosen.insert((mixed % of as u64) as usize);
    }
    chosen.into_iter().collect()
}
