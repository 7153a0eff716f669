//! One `fetchway batch`, started as a user would start it, and its time, CPU and memory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::process::{Cpu, Folder, cpu_of_children, peak_resident};

/// Interval at which the memory is read. The kernel keeps the maximum, so only growth after the last reading
/// is missed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running batch; killed when dropped.
pub(crate) struct Batch {
    child: Child,
    began: Instant,
    epoch: u64,
    cpu_before: Cpu,
    said: PathBuf,
}

/// Resources that a finished batch has used.
pub(crate) struct Took {
    /// Time from just before the start until the end.
    pub(crate) wall: Duration,
    /// Time of the start, in microseconds since the Unix epoch.
    pub(crate) epoch: u64,
    pub(crate) cpu: Cpu,
    /// Maximum resident memory, in bytes.
    pub(crate) peak: u64,
    pub(crate) status: ExitStatus,
    /// Text written to standard error.
    pub(crate) said: String,
}

impl Batch {
    /// Starts a batch with these arguments, and allows loopback addresses.
    pub(crate) fn start<S: AsRef<OsStr>>(
        fetchway: &Path,
        folder: &Folder,
        args: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Self> {
        let said = folder.path().join("batch.log");
        let log = File::create(&said)
            .context("the file for the batch's standard error cannot be created")?;
        let mut command = Command::new(fetchway);
        command.arg("batch").args(args);
        // Through relays, the relays' own address policies apply.
        if !command.as_std().get_args().any(|arg| arg == "--via") {
            command.args(["--allow-net", "127.0.0.0/8"]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let cpu_before = cpu_of_children();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let epoch = u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or_default();
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", fetchway.display()))?;
        Ok(Self {
            child,
            began,
            epoch,
            cpu_before,
            said,
        })
    }

    /// Waits until the batch ends. The CPU time is correct only if no other child process ends meanwhile.
    pub(crate) async fn ended(mut self) -> anyhow::Result<Took> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.context("the batch had already ended")?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut peak = 0;
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status?,
                // A process that is just ending has no memory any more.
                _ = looks.tick() => peak = peak.max(peak_resident(pid).unwrap_or(0)),
            }
        };
        Ok(Took {
            wall: self.began.elapsed(),
            epoch: self.epoch,
            cpu: cpu_of_children().since(self.cpu_before),
            peak,
            status,
            said: fs::read_to_string(&self.said).unwrap_or_default(),
        })
    }

    /// Waits for `other`; fails if the batch ends before.
    pub(crate) async fn until<T>(
        &mut self,
        other: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            done = other => done,
            status = self.child.wait() => {
                let said = fs::read_to_string(&self.said).unwrap_or_default();
                bail!("fetchway batch ended too soon, with {}; it wrote:\n{}", status?, said.trim_end())
            }
        }
    }

    /// Kills the batch with SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        // A process that has already ended cannot be killed; the caller notices that.
        let _ = self.child.start_kill();
        self.child.wait().await?;
        Ok(())
    }
}

impl Took {
    /// Fails unless every item succeeded.
    pub(crate) fn succeeded(self) -> anyhow::Result<Self> {
        ensure!(
            self.status.success(),
            "fetchway batch ended with {}; it wrote:\n{}",
            self.status,
            self.said.trim_end()
        );
        Ok(self)
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak as f64 / f64::from(1 << 20)
    }
}
