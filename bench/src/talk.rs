//! A process that is told things by lines on its standard input, and answers each with a line of JSON.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use crate::process::Process;

/// It and its pipes. It ends when its input does.
pub(crate) struct Talk {
    name: &'static str,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    // Last: its input has ended by then, so that the signal finds it gone.
    process: Process,
}

impl Talk {
    /// Starts it. `name` is what errors call it.
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

    /// Tells it something, and waits for its answer. One of the form `{"error": …}` is an error.
    pub(crate) async fn ask(&mut self, line: &str) -> anyhow::Result<Value> {
        let told = self.input.write_all(format!("{line}\n").as_bytes()).await;
        told.with_context(|| format!("{} has ended; see what it wrote above", self.name))?;
        self.said().await
    }

    /// The next line that it says.
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

    /// Ends its input, and waits until it ends by itself, as it should.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            name,
            input,
            mut output,
            mut process,
        } = self;
        drop(input);
        // What it says yet must be read, or it might never get to its end.
        while output.next_line().await?.is_some() {}
        let status = process.child().wait().await?;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }

    /// Ends it by SIGKILL, at once. Gives when it is gone.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        let killed = self.process.child().kill().await;
        killed.with_context(|| format!("{} can't be killed", self.name))
    }
}
