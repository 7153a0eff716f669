//! What a process has used, and what is in use, from /proc.

use std::fmt;

use crate::process::{Cpu, cpu, peak_resident, resident, slab};

/// A process to measure, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge(Option<i32>);

/// A stretch of time in which it is measured.
pub(crate) struct Step {
    pid: Option<i32>,
    begun: Cpu,
}

/// Memory in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of the process that are resident.
    pub(crate) resident: u64,
    /// The most that ever were.
    pub(crate) peak: u64,
    /// Bytes of the kernel's slab: of the whole machine, so both ends of each connection are in it.
    pub(crate) slab: u64,
}

impl Gauge {
    pub(crate) fn new(pid: Option<i32>) -> anyhow::Result<Self> {
        if let Some(pid) = pid {
            resident(pid)?;
        }
        Ok(Self(pid))
    }

    /// Its memory now, if there is one.
    pub(crate) fn sizes(self) -> anyhow::Result<Option<Sizes>> {
        self.0.map(Sizes::of).transpose()
    }

    pub(crate) fn step(self) -> anyhow::Result<Step> {
        Ok(Step {
            pid: self.0,
            begun: self.0.map(cpu).transpose()?.unwrap_or_default(),
        })
    }
}

impl Sizes {
    pub(crate) fn of(pid: i32) -> anyhow::Result<Self> {
        Ok(Self {
            resident: resident(pid)?,
            peak: peak_resident(pid)?,
            slab: slab()?,
        })
    }
}

impl Step {
    /// What was used since, for each of `count` things if there were any; empty without a process.
    pub(crate) fn end(&self, count: usize) -> anyhow::Result<String> {
        let Some(pid) = self.pid else {
            return Ok(String::new());
        };
        let used = cpu(pid)?.since(self.begun);
        let mut line = format!("; CPU {:.2} s", used.total().as_secs_f64());
        if count > 0 {
            let each = used.each(count);
            line += &format!(", {:.1} µs each ({:.1} user)", each.total, each.user);
        }
        Ok(format!("{line}; {}", Sizes::of(pid)?))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "resident {:.1} MiB (at most {:.1}), slab of the machine {:.1} MiB",
            mib(self.resident),
            mib(self.peak),
            mib(self.slab)
        )
    }
}
