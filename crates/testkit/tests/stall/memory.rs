//! What this process holds, as the kernel counts it.

pub(crate) const MIB: u64 = 1 << 20;

/// Resident memory at some moment.
pub(crate) struct Memory(u64);

impl Memory {
    pub(crate) fn now() -> Self {
        Self(resident())
    }

    /// Fails if more than `bound` bytes have come on top since.
    #[track_caller]
    pub(crate) fn within(&self, bound: u64) {
        let more = resident().saturating_sub(self.0);
        assert!(
            more <= bound,
            "{} MiB more than at first; the bound is {} MiB",
            more / MIB,
            bound / MIB
        );
    }
}

/// Bytes of resident memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}
