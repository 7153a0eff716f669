//! Figures of the system about this process. Linux only; elsewhere these metrics are absent.

use std::fs;

/// Open files, this listing's own not counted.
pub(super) fn open_files() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some((listed as u64).saturating_sub(1))
}

/// Memory in use, in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: sysconf reads a constant of the system and touches no memory of ours.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_files_and_memory() {
        assert!(open_files().is_some_and(|n| n >= 3));
        assert!(resident_bytes().is_some_and(|n| n > 100_000));
    }
}
