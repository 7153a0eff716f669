//! The repository's own lints, run by `cargo xtask lint`.
//!
//! `rules.rs` has the rules. `circles.rs` says what a circle of files is, and which dependencies are seen;
//! `names.rs` finds them, by the modules of `tree.rs`.

mod allowed;
mod circles;
mod docs;
mod members;
mod modules;
mod names;
mod rules;
mod sizes;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use rules::Package;

const USAGE: &str = "\
usage: cargo xtask lint [COMMAND] [--root DIR]
  without a command       check every rule; fail if a crate breaks one more often than is allowed
  circles [CRATE]... [--strict]
                          list the files of a crate that name each other's items, directly or through
                          others; --strict also counts re-exports and methods of known types
  sizes [CRATE]...        list files and functions that are too long
  docs [CRATE]...         list doc comments that open with a pronoun, and their share
  lines                   print a table of each crate's lines, without tests
  sample [COMMENTS] [PAGES] [--seed SEED]
                          print doc comments and name documentation pages, chosen at random;
                          30 and 6 by default
  shrink                  lower the allowances to what is found";

/// Arguments of the command line.
struct Arguments {
    words: Vec<String>,
    root: PathBuf,
    strict: bool,
    seed: Option<u64>,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]
fn main() -> ExitCode {
    match read(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn read(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        words: Vec::new(),
        root: ".".into(),
        strict: false,
        seed: None,
    };
    while let Some(word) = given.next() {
        match word.as_str() {
            "--root" => arguments.root = given.next().ok_or(USAGE)?.into(),
            "--strict" => arguments.strict = true,
            "--seed" => arguments.seed = Some(number(&given.next().ok_or(USAGE)?)?),
            _ if word.starts_with('-') => return Err(USAGE.to_owned()),
            _ => arguments.words.push(word),
        }
    }
    Ok(arguments)
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, String> {
    word.parse()
        .map_err(|_| format!("`{word}` is not a number\n{USAGE}"))
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let packages = || rules::packages(&arguments.root);
    match words.as_slice() {
        [] => check(arguments),
        ["circles", names @ ..] => list(&packages()?, names, |package| {
            package.circles(arguments.strict)
        }),
        ["sizes", names @ ..] => list(&packages()?, names, Package::sizes),
        ["docs", names @ ..] => list(&packages()?, names, Package::docs),
        ["lines"] => Ok(rules::table_of_lines(&packages()?)),
        ["sample"] => sample(arguments, 30, 6),
        ["sample", comments] => sample(arguments, number(comments)?, 6),
        ["sample", comments, pages] => sample(arguments, number(comments)?, number(pages)?),
        ["shrink"] => shrink(arguments),
        ["help"] => Ok(USAGE.to_owned()),
        _ => Err(USAGE.to_owned()),
    }
}

/// Lists what `describe` says of the packages named, or of all.
fn list(
    packages: &[Package],
    names: &[&str],
    describe: impl Fn(&Package) -> String,
) -> Result<String, String> {
    if let Some(name) = names
        .iter()
        .find(|name| packages.iter().all(|it| it.name != **name))
    {
        let known: Vec<&str> = packages.iter().map(|it| it.name.as_str()).collect();
        return Err(format!("no crate `{name}`; there are {}", known.join(", ")));
    }
    let chosen = packages
        .iter()
        .filter(|it| names.is_empty() || names.contains(&it.name.as_str()));
    Ok(chosen.map(describe).collect())
}

fn check(arguments: &Arguments) -> Result<String, String> {
    let packages = rules::packages(&arguments.root)?;
    let found: Vec<_> = packages.iter().flat_map(Package::breaches).collect();
    let allowed = allowed::read(&arguments.root)?;
    let differences = allowed::differences(&found, &allowed);
    if !differences.is_empty() {
        return Err(differences.join("\n"));
    }
    let still: usize = allowed.values().sum();
    Ok(match still {
        0 => "circles, sizes and doc comments: no breach".to_owned(),
        _ => format!("circles, sizes and doc comments: no breach beyond the {still} allowed"),
    })
}

fn shrink(arguments: &Arguments) -> Result<String, String> {
    let packages = rules::packages(&arguments.root)?;
    let found: Vec<_> = packages.iter().flat_map(Package::breaches).collect();
    let before = allowed::read(&arguments.root)?;
    let after = allowed::shrunk(&found, &before);
    allowed::write(&arguments.root, &after)?;
    let sum = |allowed: &allowed::Allowed| allowed.values().sum::<usize>();
    Ok(format!(
        "breaches allowed: {} before, {} now",
        sum(&before),
        sum(&after)
    ))
}

fn sample(arguments: &Arguments, comments: usize, pages: usize) -> Result<String, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = arguments
        .seed
        .unwrap_or_else(|| now.map_or(0, |now| u64::from(now.subsec_nanos())));
    let mut text = format!("seed {seed}\n");
    let packages = rules::packages(&arguments.root)?;
    let found: Vec<docs::Doc> = packages
        .iter()
        .flat_map(|it| docs::docs(&it.texts))
        .collect();
    for index in docs::choose(comments, found.len(), seed) {
        let doc = &found[index];
        let indented = doc.text.replace('\n', "\n    ");
        let _ = write!(text, "\n{}:{}\n    {indented}\n", doc.path, doc.line);
    }
    text.push('\n');
    let found = docs::pages(&arguments.root, "");
    for index in docs::choose(pages, found.len(), seed) {
        text += &format!("{}\n", found[index]);
    }
    Ok(text)
}
