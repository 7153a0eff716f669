//! Prints the end of a run, and decides about the exit status.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use fetchway_batch::FileRunEnd;
use fetchway_report::{counted, page};

use super::args::Args;
use super::show::{tell, write_error};
use super::{files, resume};

/// Exit status of a run that failed itself.
pub(super) const FAILED: u8 = 2;
/// Exit status of a run that was interrupted, as of a shell for SIGINT.
pub(super) const INTERRUPTED: u8 = 130;
/// Shortest wait for a slow output that is reported.
const SLOW_OUTPUT: Duration = Duration::from_millis(100);

/// Prints the summary and other messages, writes the reports, and returns the exit status.
pub(super) fn conclude(args: &Args, end: FileRunEnd) -> anyhow::Result<ExitCode> {
    write_error(&end.summary.text());
    let progress = &end.progress;
    // At full speed the output always takes its share.
    if progress.untaken >= (progress.elapsed / 4).max(SLOW_OUTPUT) {
        let untaken = progress.untaken.as_secs_f64();
        tell(&format!(
            "fetches waited {untaken:.1} s because the output was too slow"
        ));
    }
    write_files(args, &end)?;
    end.dispatch_log
        .context("the dispatch log can't be written")?;
    if end.held_back > 0 {
        tell(&format!(
            "kept back for the order and not written, so they will be fetched again: {}",
            counted(end.held_back as u64, "outcome")
        ));
    }
    if let Some(failure) = end.failure {
        tell(&failure.to_string());
        tell_resume(args);
        return Ok(ExitCode::from(FAILED));
    }
    if progress.stopped {
        tell_resume(args);
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if end.failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if files::is_resumable(args) && !args.ordered {
        let command = resume::command(std::env::args_os(), "--retry-failed");
        tell(&format!("to fetch failed items again: {command}"));
    }
    Ok(ExitCode::FAILURE)
}

/// Writes the summary and the report.
fn write_files(args: &Args, end: &FileRunEnd) -> anyhow::Result<()> {
    if let Some(path) = &args.summary {
        let json = serde_json::to_string_pretty(&end.summary)? + "\n";
        let written = std::fs::write(path, json);
        written.with_context(|| format!("the summary {} can't be written", path.display()))?;
    }
    if let Some(path) = &args.report {
        let written = std::fs::write(path, page(&end.summary));
        written.with_context(|| format!("the report {} can't be written", path.display()))?;
    }
    Ok(())
}

/// Prints the command that resumes the run.
pub(super) fn tell_resume(args: &Args) {
    if files::is_resumable(args) {
        let command = resume::command(std::env::args_os(), "--resume");
        tell(&format!("to resume: {command}"));
    } else {
        tell("this run can't be resumed, because its input and output are not both files");
    }
}
