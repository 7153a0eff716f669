//! A file that must survive a crash, and that only one run may write.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::BatchError;

/// Locks a file that was opened by this path, for as long as it is open.
///
/// # Errors
/// If another run has locked the file, or has put another file in its place since it was opened: that run has
/// locked its own file, and this run would write into a file without a name.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), BatchError> {
    let failed = |error| BatchError::output(path, "cannot be locked", &error, "choose another");
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(BatchError::new(format!(
                "the output {} is being written by another run: wait for it or stop it",
                path.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if is_at(file, path).map_err(failed)? {
        return Ok(());
    }
    Err(BatchError::new(format!(
        "the output {} was replaced by another run just now: try again when that run has ended",
        path.display()
    )))
}

/// Returns the folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Writes the entries of a folder to disk.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Returns true if the path still leads to the file.
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
