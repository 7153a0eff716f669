//! CPU time and memory of a process, from /proc.

use std::fmt;

use crate::process::{Cpu, cpu, peak_resident, resident, slab};

/// An optional process to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge(Option<i32>);

/// A period in which the process is measured.
pub(crate) struct Step {
    pid: Option<i32>,
    begun: Cpu,
}

/// Memory of the process and of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Resident memory of the process, in bytes.
    pub(crate) resident: u64,
    /// Maximum resident memory so far, in bytes.
    pub(crate) peak: u64,
    /// Size of the kernel's slab, in bytes. It belongs to the whole machine, so it includes both ends of each
    /// connection.
    pub(crate) slab: u64,
}

impl Gauge {
    pub(crate) fn new(pid: Option<i32>) -> anyhow::Result<Self> {
        if let Some(pid) = pid {
            resident(pid)?;
        }
        Ok(Self(pid))
    }

    /// Current memory; `None` without a process.
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
    /// Describes the CPU time of the period, in total and for each of `count` operations, and the memory. Empty
    /// without a process.
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
