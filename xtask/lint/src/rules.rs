//! The rules, applied to one package at a time.

use std::fmt::Write as _;
use std::path::Path;

use crate::allowed::Breaches;
use crate::circles::{Circle, circles};
use crate::docs::{self, Doc};
use crate::sizes::{self, Lines, Long, MAX_FILE, MAX_FUNCTION};
use crate::source::{self, Texts};
use crate::tree::Crate;

/// Packages beside `crates`, of which only the doc comments are checked.
const BESIDE: [&str; 3] = ["bench", "fuzz", "xtask"];

/// Files in a circle up to which a crate may have it.
const MAX_CIRCLE: usize = 2;

/// Crates that may have no circle at all.
const WITHOUT_CIRCLES: [&str; 1] = ["gateway"];

/// The sources of one package.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) texts: Texts,
    /// The parsed sources of a crate; none for a package beside `crates`.
    tree: Option<Crate>,
}

/// Reads every package of the repository.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let mut packages = Vec::new();
    for name in source::crates(root)? {
        let texts = source::read(root, &format!("crates/{name}/src"))?;
        packages.push(Package::parse(name, texts)?);
    }
    for name in BESIDE {
        packages.push(Package {
            name: name.to_owned(),
            texts: source::read(root, name)?,
            tree: None,
        });
    }
    Ok(packages)
}

impl Package {
    /// Parses the sources of a crate.
    pub(crate) fn parse(name: String, texts: Texts) -> Result<Self, String> {
        let tree = Some(Crate::parse(&texts)?);
        Ok(Self { name, texts, tree })
    }

    /// Counts the breaches of each rule.
    pub(crate) fn breaches(&self) -> Vec<Breaches> {
        let breaches = |rule, count, places| Breaches {
            package: self.name.clone(),
            rule,
            count,
            places,
        };
        let openings = self.openings();
        let count = match docs::too_many(openings.len(), docs::docs(&self.texts).len()) {
            true => openings.len(),
            false => 0,
        };
        let mut found = vec![breaches("doc-openers", count, describe_openings(&openings))];
        if let Some(tree) = &self.tree {
            let circles = self.forbidden_circles(tree);
            let count = circles.iter().map(|circle| circle.files).sum();
            found.push(breaches(
                "files-in-circles",
                count,
                describe_circles(&circles),
            ));
            let long = sizes::long_files(tree, &self.texts);
            found.push(breaches("long-files", long.len(), describe_long(&long)));
            let long = sizes::long_functions(tree);
            found.push(breaches("long-functions", long.len(), describe_long(&long)));
        }
        found
    }

    fn forbidden_circles(&self, tree: &Crate) -> Vec<Circle> {
        let most = match WITHOUT_CIRCLES.contains(&self.name.as_str()) {
            true => 1,
            false => MAX_CIRCLE,
        };
        let mut found = circles(tree, false);
        found.retain(|circle| circle.files > most);
        found
    }

    fn openings(&self) -> Vec<Doc> {
        let mut found = docs::docs(&self.texts);
        found.retain(Doc::opens_with_pronoun);
        found
    }

    /// Describes the circles, those of two files too.
    pub(crate) fn circles(&self, strict: bool) -> String {
        let Some(tree) = &self.tree else {
            return String::new();
        };
        let found = circles(tree, strict);
        let files: usize = found.iter().map(|circle| circle.files).sum();
        format!(
            "{}: {files} files in circles\n{}",
            self.name,
            describe_circles(&found)
        )
    }

    /// Describes the files and functions that are too long.
    pub(crate) fn sizes(&self) -> String {
        let Some(tree) = &self.tree else {
            return String::new();
        };
        let (files, functions) = (
            sizes::long_files(tree, &self.texts),
            sizes::long_functions(tree),
        );
        format!(
            "{}: {} files above {MAX_FILE} lines, {} functions above {MAX_FUNCTION}\n{}{}",
            self.name,
            files.len(),
            functions.len(),
            describe_long(&files),
            describe_long(&functions)
        )
    }

    /// Describes the doc comments that open with a pronoun.
    pub(crate) fn docs(&self) -> String {
        let (openings, all) = (self.openings(), docs::docs(&self.texts).len());
        let share = 100.0 * openings.len() as f64 / all.max(1) as f64;
        format!(
            "{}: {} of {all} doc comments open with a pronoun, {share:.2} %\n{}",
            self.name,
            openings.len(),
            describe_openings(&openings)
        )
    }
}

/// A table of the lines of each crate, and of all.
pub(crate) fn table_of_lines(packages: &[Package]) -> String {
    let mut text = format!(
        "{:<14}{:>7}{:>9}{:>9}{:>10}{:>8}\n",
        "crate", "files", "lines", "code", "comments", "blank"
    );
    let mut sum = Lines::default();
    let mut row = |name: &str, lines: &Lines| {
        let Lines {
            files,
            code,
            comments,
            blank,
        } = lines;
        let total = lines.total();
        let _ = writeln!(
            text,
            "{name:<14}{files:>7}{total:>9}{code:>9}{comments:>10}{blank:>8}"
        );
    };
    for package in packages {
        if let Some(tree) = &package.tree {
            let lines = sizes::lines(tree, &package.texts);
            row(&package.name, &lines);
            sum.add(lines);
        }
    }
    row("all", &sum);
    text
}

fn describe_circles(circles: &[Circle]) -> String {
    let one = |circle: &Circle| format!("  circle of {} files\n{}", circle.files, circle.text);
    circles.iter().map(one).collect()
}

fn describe_long(found: &[Long]) -> String {
    let one = |long: &Long| format!("  {} has {} lines\n", long.place, long.lines);
    found.iter().map(one).collect()
}

fn describe_openings(openings: &[Doc]) -> String {
    let one = |doc: &Doc| {
        let first = doc.text.lines().next().unwrap_or_default();
        format!("  {}:{}: {first}\n", doc.path, doc.line)
    };
    openings.iter().map(one).collect()
}
