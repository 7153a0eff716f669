//! Allowances: how often each crate may still break a rule, while older code is being mended.
//!
//! `xtask/lint/allowed` has one file for each crate with a line `RULE COUNT` for each rule. A count may only
//! shrink: fewer breaches than allowed fail too, until `cargo xtask lint shrink` has lowered the count.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const FOLDER: &str = "xtask/lint/allowed";

/// Breaches of one rule in one crate.
pub(crate) struct Breaches {
    pub(crate) package: String,
    pub(crate) rule: &'static str,
    pub(crate) count: usize,
    /// The places, one a line.
    pub(crate) places: String,
}

/// Counts by package and rule.
pub(crate) type Allowed = BTreeMap<(String, String), usize>;

/// Reads the allowances; none if there is no such folder.
pub(crate) fn read(root: &Path) -> Result<Allowed, String> {
    let mut allowed = Allowed::new();
    for entry in fs::read_dir(root.join(FOLDER))
        .into_iter()
        .flatten()
        .flatten()
    {
        let package = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        for line in text.lines() {
            let parsed = line
                .split_once(' ')
                .and_then(|(rule, count)| Some((rule.to_owned(), count.parse().ok()?)));
            let (rule, count) = parsed
                .ok_or_else(|| format!("{}: `{line}` is not `RULE COUNT`", path.display()))?;
            allowed.insert((package.clone(), rule), count);
        }
    }
    Ok(allowed)
}

/// Compares what was found with what is allowed; returns a sentence for each difference.
pub(crate) fn differences(found: &[Breaches], allowed: &Allowed) -> Vec<String> {
    let mut unused = allowed.clone();
    let mut differences = Vec::new();
    for breaches in found {
        let Breaches {
            package,
            rule,
            count,
            places,
        } = breaches;
        let may = unused
            .remove(&(package.clone(), (*rule).to_owned()))
            .unwrap_or(0);
        if *count > may {
            differences.push(format!(
                "{package}: {rule}: found {count}, allowed {may}\n{places}"
            ));
        } else if *count < may {
            differences.push(lower(package, rule, *count, may));
        }
    }
    for ((package, rule), may) in unused {
        differences.push(lower(&package, &rule, 0, may));
    }
    differences
}

fn lower(package: &str, rule: &str, count: usize, may: usize) -> String {
    format!(
        "{package}: {rule}: found {count}, allowed {may}: run `cargo xtask lint shrink` and commit {FOLDER}"
    )
}

/// Lowers each allowance to what was found; returns the new ones.
pub(crate) fn shrunk(found: &[Breaches], allowed: &Allowed) -> Allowed {
    let count = |package: &str, rule: &str| {
        let same = |it: &&Breaches| it.package == package && it.rule == rule;
        found.iter().find(same).map_or(0, |breaches| breaches.count)
    };
    allowed
        .iter()
        .map(|((package, rule), may)| {
            (
                (package.clone(), rule.clone()),
                count(package, rule).min(*may),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Writes the allowances; a package without any has no file.
pub(crate) fn write(root: &Path, allowed: &Allowed) -> Result<(), String> {
    let folder = root.join(FOLDER);
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", folder.display());
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        fs::remove_file(entry.path()).map_err(failed)?;
    }
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for ((package, rule), count) in allowed {
        *files.entry(package).or_default() += &format!("{rule} {count}\n");
    }
    for (package, text) in files {
        fs::write(folder.join(package), text).map_err(failed)?;
    }
    Ok(())
}
