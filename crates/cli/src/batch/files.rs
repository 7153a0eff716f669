//! What is looked at of the files that a run is given, before it opens any to stay.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fetchway_batch::Source;

use super::args::Args;

/// What is told of the run, each in a file.
fn told(args: &Args) -> [(&'static str, Option<&PathBuf>); 3] {
    [
        ("summary", args.summary.as_ref()),
        ("report", args.report.as_ref()),
        ("dispatch log", args.dispatch_log.as_ref()),
    ]
}

/// What is written must be a file of its own: the summary would take the place of all outcomes.
pub(super) fn must_differ(args: &Args) -> anyhow::Result<()> {
    let output = Some(&args.output).filter(|_| !args.to_stdout());
    let input = args.input.as_ref().filter(|it| it.as_os_str() != "-");
    let named = [("input", input), ("output", output)];
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (what, path) in named.into_iter().chain(told(args)) {
        // Devices may be written to by several.
        let Some(path) = path.filter(|it| it.metadata().map_or(true, |it| it.is_file())) else {
            continue;
        };
        let place = place(path);
        if let Some((other, _)) = seen.iter().find(|it| it.1 == place) {
            let path = path.display();
            bail!("the {other} and the {what} are both {path}: name two files");
        }
        seen.push((what, place));
    }
    Ok(())
}

/// Where a file is, or will be.
fn place(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let to_be = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize()
        .ok()
        .or_else(to_be)
        .unwrap_or_else(|| path.to_owned())
}

/// So that this is known before the run and not after it. What is in the files stays until then.
pub(super) fn must_be_writable(args: &Args) -> anyhow::Result<()> {
    for (what, path) in told(args) {
        if let Some(path) = path {
            if path.as_os_str() == "-" {
                bail!("the {what} needs the name of a file, and - is none: /dev/stdout is one");
            }
            can_be_written(what, path)?;
        }
    }
    Ok(())
}

fn can_be_written(what: &str, path: &Path) -> anyhow::Result<()> {
    // Who reads a pipe would take it for ended when it is closed again.
    if path
        .metadata()
        .is_ok_and(|it| !it.is_file() && !it.is_dir())
    {
        return Ok(());
    }
    let mut how = std::fs::OpenOptions::new();
    let opened = how.append(true).create(true).open(path);
    opened.map(|_| ()).with_context(|| {
        let path = path.display();
        format!("the {what} {path} can't be written, so nothing was fetched; choose another")
    })
}

/// Whether input and output can be read again: pipes and devices can't.
pub(super) fn is_resumable(args: &Args) -> bool {
    // An input that is gone may come back.
    let is_file = |path: &Path| path.metadata().map_or(true, |it| it.is_file());
    let input = match args.source() {
        Source::File(path) => is_file(&path),
        Source::Stdin => false,
        Source::Range(..) => true,
    };
    input && !args.to_stdout() && is_file(&args.output)
}
