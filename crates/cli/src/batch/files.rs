//! Checks of the files of a run, before any of them is changed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fetchway_batch::Source;

use super::args::Args;

/// The files that report on the run.
fn reports(args: &Args) -> [(&'static str, Option<&PathBuf>); 3] {
    [
        ("summary", args.summary.as_ref()),
        ("report", args.report.as_ref()),
        ("dispatch log", args.dispatch_log.as_ref()),
    ]
}

/// Checks that no two of the files are the same. Otherwise the summary could overwrite all outcomes.
pub(super) fn must_differ(args: &Args) -> anyhow::Result<()> {
    let output = Some(&args.output).filter(|_| !args.to_stdout());
    let input = args.input.as_ref().filter(|it| it.as_os_str() != "-");
    let named = [("input", input), ("output", output)];
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (what, path) in named.into_iter().chain(reports(args)) {
        // Several outputs may go to one device.
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

/// Returns the absolute path of a file that may not exist yet.
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

/// Checks before the run that the reports can be written. The old contents of the files stay until the end.
pub(super) fn must_be_writable(args: &Args) -> anyhow::Result<()> {
    for (what, path) in reports(args) {
        if let Some(path) = path {
            if path.as_os_str() == "-" {
                bail!("the {what} can't be written to -: name a file, such as /dev/stdout");
            }
            can_be_written(what, path)?;
        }
    }
    Ok(())
}

fn can_be_written(what: &str, path: &Path) -> anyhow::Result<()> {
    // The reader of a pipe would see an end when the pipe is closed again.
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
        format!("the {what} {path} can't be written, so nothing was fetched; choose another file")
    })
}

/// Returns true if input and output can be read again, which pipes and devices cannot.
pub(super) fn is_resumable(args: &Args) -> bool {
    // An input that is missing now may be there for the next run.
    let is_file = |path: &Path| path.metadata().map_or(true, |it| it.is_file());
    let input = match args.source() {
        Source::File(path) => is_file(&path),
        Source::Stdin => false,
        Source::Range(..) => true,
    };
    input && !args.to_stdout() && is_file(&args.output)
}
