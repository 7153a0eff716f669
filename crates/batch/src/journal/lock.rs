//! Keeps other runs off an output.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::JournalError;

/// Locks a file that was opened by this path, for as long as it is open.
///
/// # Errors
/// If another run has it locked, or has put another file in its place since it was opened: that run has
/// locked its own, and this one would write where nobody looks.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    let failed = |error| JournalError::at(path, "cannot be locked", error, "choose another");
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(JournalError::new(format!(
                "The output {} is being written by another run: wait for it or stop it.",
                path.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if is_at(file, path).map_err(failed)? {
        return Ok(());
    }
    Err(JournalError::new(format!(
        "The output {} was replaced by another run just now: try again when that is over.",
        path.display()
    )))
}

/// Whether the path still leads to the file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let own = file.metadata()?;
    Ok((own.dev(), own.ino()) == (there.dev(), there.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_another_has_replaced_is_not_locked() {
        let name = format!("fetchway-lock-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (path, beside) = (folder.join("out"), folder.join("out.retry"));
        fs::write(&path, "").unwrap();
        fs::write(&beside, "").unwrap();
        let old = File::open(&path).unwrap();
        fs::rename(&beside, &path).unwrap();
        let says = lock(&old, &path).unwrap_err().to_string();
        assert!(says.contains("was replaced"), "{says}");
        let new = File::open(&path).unwrap();
        lock(&new, &path).unwrap();
        assert!(lock(&File::open(&path).unwrap(), &path).is_err());
        fs::remove_file(&path).unwrap();
        assert!(lock(&old, &path).is_err());
        fs::remove_dir(&folder).unwrap();
    }
}
