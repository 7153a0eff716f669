//! The repository's own lints, run by `cargo xtask lint`.
//!
//! Read `circles.rs` first: what a circle of files is, and which dependencies are seen.

mod circles;
mod names;
mod source;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tree::Crate;

const USAGE: &str = "\
usage: cargo xtask lint COMMAND [--root DIR]
  circles [CRATE]... [--strict]
                list the files of a crate that name each other's items, directly or through others";

/// Arguments of the command line.
struct Arguments {
    words: Vec<String>,
    root: PathBuf,
    strict: bool,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]
fn main() -> ExitCode {
    match read(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        words: Vec::new(),
        root: Path::new(".").to_owned(),
        strict: false,
    };
    while let Some(word) = given.next() {
        match word.as_str() {
            "--root" => arguments.root = given.next().ok_or(USAGE)?.into(),
            "--strict" => arguments.strict = true,
            _ if word.starts_with('-') => return Err(USAGE.to_owned()),
            _ => arguments.words.push(word),
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["circles", names @ ..] => list_circles(arguments, names),
        _ => Err(USAGE.to_owned()),
    }
}

fn list_circles(arguments: &Arguments, only: &[&str]) -> Result<String, String> {
    let mut text = String::new();
    for name in source::crates(&arguments.root)? {
        if only.is_empty() || only.contains(&name.as_str()) {
            let texts = source::read(&arguments.root, &format!("crates/{name}/src"))?;
            for circle in circles::circles(&Crate::parse(&texts)?, arguments.strict) {
                text += &format!("{name}: {} files\n{}", circle.files, circle.text);
            }
        }
    }
    Ok(text)
}
