//! Processes that a bench starts: they end with the bench, and are measured with /proc.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Longest time until a process listens.
const START: Duration = Duration::from_secs(15);
/// Longest time from SIGTERM until a process ends; after this it is killed.
const END: Duration = Duration::from_secs(3);

/// Raises the limit of open files, because load and origins hold thousands of sockets, and lets the kernel
/// end the process if the bench dies without doing so (setpriv is part of util-linux).
const WRAPPER: &str = r#"ulimit -n "$(ulimit -Hn)"
if command -v setpriv >/dev/null; then exec setpriv --pdeathsig TERM -- "$@"; fi
exec "$@""#;

/// A started process; it is ended when this value is dropped.
pub(crate) struct Process {
    name: String,
    pid: i32,
    child: Child,
}

impl Process {
    /// Starts `program`; with `pipes`, its standard input and output are connected to the bench.
    pub(crate) fn start<S: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = S>,
        pipes: bool,
    ) -> anyhow::Result<Self> {
        let (input, output) = if pipes {
            (Stdio::piped(), Stdio::piped())
        } else {
            (Stdio::null(), Stdio::null())
        };
        let child = Command::new("sh")
            .args(["-c", WRAPPER, "sh"])
            .arg(program)
            .args(args)
            .stdin(input)
            .stdout(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(Self {
            pid: pid.with_context(|| format!("{name} ended at once"))?,
            name,
            child,
        })
    }

    /// Waits until `addr` accepts connections.
    pub(crate) async fn listening(&mut self, addr: SocketAddr) -> anyhow::Result<()> {
        let until = Instant::now() + START;
        while TcpStream::connect(addr).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended before it listened ({status}); see its output above",
                    self.name
                );
            }
            if Instant::now() > until {
                bail!("{} does not listen on {addr} within {START:?}", self.name);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Maximum resident memory so far, in bytes.
    pub(crate) fn peak_resident(&self) -> anyhow::Result<u64> {
        peak_resident(self.pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already reaped: by now the id may belong to another process.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SAFETY: kill takes two numbers and touches no memory; the child has not been reaped.
        unsafe { libc::kill(self.pid, libc::SIGTERM) };
        let until = std::time::Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < until {
            wait_a_little();
        }
        // A process that is still running is killed by the child's own drop.
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "drop cannot await, and nothing else needs to run now"
)]
fn wait_a_little() {
    std::thread::sleep(Duration::from_millis(5));
}

/// CPU time of a process, including all its threads. The clock has a resolution of 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    user: Duration,
    system: Duration,
}

/// Microseconds of CPU for each of a number of operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Each {
    /// User and system time.
    pub(crate) total: f64,
    /// User time.
    pub(crate) user: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }

    /// Sum of two processes.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) fn each(self, count: usize) -> Each {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        Each {
            total: micros(self.total()),
            user: micros(self.user),
        }
    }
}

/// User and system time of a process so far.
pub(crate) fn cpu(pid: i32) -> anyhow::Result<Cpu> {
    let stat = proc_file(pid, "stat")?;
    // Fields 14 and 15; the second field may hold blanks, but ends with the last parenthesis.
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').collect())
        .unwrap_or_default();
    // SAFETY: sysconf takes a number and touches no memory.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let time = |field: usize| {
        let ticks: u64 = fields.get(field - 3)?.parse().ok()?;
        Some(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    };
    let (Some(user), Some(system)) = (time(14), time(15)) else {
        bail!("/proc/{pid}/stat has an unknown format");
    };
    Ok(Cpu { user, system })
}

/// CPU time of all these processes together.
pub(crate) fn cpu_of_all(pids: &[i32]) -> anyhow::Result<Cpu> {
    pids.iter()
        .try_fold(Cpu::default(), |sum, pid| Ok(sum.and(cpu(*pid)?)))
}

/// User and system time of this process's children that have ended and were waited for.
pub(crate) fn cpu_of_children() -> Cpu {
    // SAFETY: the struct is plain numbers, which the call fills in; it fails only for another first
    // argument, and then leaves zeros.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |of: libc::timeval| {
        let micros = of.tv_sec * 1_000_000 + of.tv_usec;
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    Cpu {
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
    }
}

/// User and system time together.
pub(crate) fn cpu_time(pid: i32) -> anyhow::Result<Duration> {
    Ok(cpu(pid)?.total())
}

/// Resident memory of a process, in bytes, from `smaps_rollup`, which counts pages; the figure in `status`
/// may lag behind.
pub(crate) fn resident(pid: i32) -> anyhow::Result<u64> {
    let rollup = proc_file(pid, "smaps_rollup")?;
    kib_of(&rollup, "Rss:").with_context(|| format!("/proc/{pid}/smaps_rollup contains no Rss"))
}

/// Resident memory of all these processes together, in bytes.
pub(crate) fn resident_of_all(pids: &[i32]) -> anyhow::Result<u64> {
    pids.iter().map(|pid| resident(*pid)).sum()
}

/// Maximum resident memory of a process so far, in bytes.
pub(crate) fn peak_resident(pid: i32) -> anyhow::Result<u64> {
    let status = proc_file(pid, "status")?;
    kib_of(&status, "VmHWM:").context("/proc/PID/status contains no VmHWM")
}

/// Size of the whole machine's kernel slab, in bytes.
pub(crate) fn slab() -> anyhow::Result<u64> {
    let info = fs::read_to_string("/proc/meminfo").context("/proc/meminfo cannot be read")?;
    kib_of(&info, "Slab:").context("/proc/meminfo contains no Slab")
}

/// Value of the line that begins with `name`, which is in KiB, in bytes.
fn kib_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Process ids of the children of a process.
pub(crate) fn children(pid: i32) -> anyhow::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(child) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // The process may have ended since it was listed.
        let Ok(stat) = proc_file(child, "stat") else {
            continue;
        };
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1));
        if parent.and_then(|parent| parent.parse().ok()) == Some(pid) {
            found.push(child);
        }
    }
    Ok(found)
}

fn proc_file(pid: i32, name: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path)
        .with_context(|| format!("{path} cannot be read; the process may have ended"))
}

/// A loopback address on which nobody listens. Another process could use it before the started one does;
/// then the started process reports that and ends.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// A temporary folder, removed with all its contents when this value is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let name = format!(
            "fetchway-bench-{}-{:08x}",
            std::process::id(),
            rand::random::<u32>()
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("{} cannot be created", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that remains is harmless, and there is nobody to report the error to.
        let _ = fs::remove_dir_all(&self.0);
    }
}
