//! Circles: files that name each other's items, directly or through others.
//!
//! A file depends on another one of its crate if it names an item that the other one defines: a type,
//! trait, function, constant, static or macro, in a `use`, a path, an attribute or a macro's arguments.
//! Imports and re-exports are followed to the definition. An `impl` depends on its type. A `mod`
//! declaration, a re-export and a glob import alone are no dependency. Tests are left out.
//!
//! Associated items and methods belong to their type: `Type::name` depends on the file that defines `Type`.
//! The strict view also counts re-exports, and the file that holds an associated item where declarations
//! tell its type: `Type::name`, and calls on `self`, on its fields, on arguments, and on variables and
//! results of those. Neither view sees a method of any other receiver, nor a name that another crate's macro
//! makes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::names::{Edges, edges};
use crate::tree::Crate;

/// Files of one crate, each of which reaches all others.
pub(crate) struct Circle {
    pub(crate) files: usize,
    /// The files and the names that tie them, for people.
    pub(crate) text: String,
}

/// The circles of a crate, the largest first.
pub(crate) fn circles(tree: &Crate, strict: bool) -> Vec<Circle> {
    let edges = edges(tree, strict);
    let mut found: Vec<Circle> = components(tree.files.len(), &edges)
        .into_iter()
        .map(|files| Circle {
            files: files.len(),
            text: describe(tree, &files, &edges),
        })
        .collect();
    found.sort_by(|a, b| (b.files, &a.text).cmp(&(a.files, &b.text)));
    found
}

/// The strongly connected components of more than one node.
fn components(nodes: usize, edges: &Edges) -> Vec<BTreeSet<usize>> {
    let reached: Vec<BTreeSet<usize>> = (0..nodes).map(|from| reachable(from, edges)).collect();
    let mut found = Vec::new();
    let mut placed = BTreeSet::<usize>::new();
    for node in 0..nodes {
        if reached[node].contains(&node) && !placed.contains(&node) {
            let back = |other: &&usize| reached[**other].contains(&node);
            let circle: BTreeSet<usize> = reached[node].iter().filter(back).copied().collect();
            placed.extend(&circle);
            found.push(circle);
        }
    }
    found
}

fn reachable(from: usize, edges: &Edges) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for &(_, to) in edges.range((at, 0)..(at + 1, 0)).map(|(edge, _)| edge) {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}

fn describe(tree: &Crate, files: &BTreeSet<usize>, edges: &Edges) -> String {
    let mut text = String::new();
    let path = |file: usize| {
        let path = &tree.files[file].path;
        path.split_once("/src/")
            .map_or(path.as_str(), |(_, path)| path)
    };
    let mut sorted: Vec<usize> = files.iter().copied().collect();
    sorted.sort_by_key(|file| path(*file));
    for &from in &sorted {
        for &to in &sorted {
            if let Some(names) = edges.get(&(from, to)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let _ = writeln!(
                    text,
                    "    {} → {}: {}",
                    path(from),
                    path(to),
                    names.join(", ")
                );
            }
        }
    }
    text
}
