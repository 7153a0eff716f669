//! A child process that reads commands from standard input, one a line, and answers each with a line of JSON.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::process::Process;

/// The process and its pipes. The process ends when its input is closed.
pub(crate) struct Talk {
    name: &'static str,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    // Dropped last: by then its input is closed, so the process has usually ended before the signal.
    process: Process,
}

impl Talk {
    /// Starts the process. `name` stands for it in error messages.
    pub(crate) fn start<S: AsRef<OsStr>>(
        name: &'static str,
        program: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Self> {
        let mut process = Process::start(program, args, true)?;
        let pipes = (process.child().stdin.take(), process.child().stdout.take());
        let (Some(input), Some(output)) = pipes else {
            anyhow::bail!("{name} has no pipes");
        };
        Ok(Self {
            name,
            input,
            output: BufReader::new(output).lines(),
            process,
        })
    }

    /// Sends a command and waits for the answer. An answer of the form `{"error": …}` is returned as an error.
    pub(crate) async fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        let told = self.input.write_all(format!("{line}\n").as_bytes()).await;
        told.with_context(|| format!("{} has ended; see what it wrote above", self.name))?;
        self.said().await
    }

    /// Waits for the next line of output.
    pub(crate) async fn said(&mut self) -> anyhow::Result<Value> {
        let name = self.name;
        let line = self.output.next_line().await?;
        let line = line.with_context(|| format!("{name} has ended; see what it wrote above"))?;
        let said: Value =
            serde_json::from_str(&line).with_context(|| format!("{name} wrote {line}"))?;
        match said["error"].as_str() {
            Some(error) => anyhow::bail!("{name}: {error}"),
            None => Ok(said),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Closes the input and waits until the process ends; a failure status is an error.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            name,
            input,
            mut output,
            mut process,
        } = self;
        drop(input);
        // The output must be read to its end: a full pipe would block the process.
        while output.next_line().await?.is_some() {}
        let status = process.child().wait().await?;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }

    /// Kills the process with SIGKILL, and returns once it has ended.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        let killed = self.process.child().kill().await;
        killed.with_context(|| format!("{} cannot be killed", self.name))
    }
}
