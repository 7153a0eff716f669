//! Response bodies in files of their own, complete before the line that names them is written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::file::{folder_of, sync_folder};
use crate::error::BatchError;

/// Files of a folder: item 1234567's body is `DIR/123/1234567`, and that of its third page
/// `DIR/123/1234567.3`. Few enough for any file system.
const FOLDER: u64 = 10_000;

pub(super) struct Bodies {
    /// As it was given; it begins the names in the lines.
    root: String,
    sync: bool,
    made: Option<u64>,
    /// Folders with new entries that are not on disk yet.
    unsynced: BTreeSet<u64>,
}

impl Bodies {
    pub(super) fn new(root: &Path, sync: bool) -> Result<Self, BatchError> {
        let Some(name) = root.to_str() else {
            return Err(BatchError::new(format!(
                "the folder for bodies, {}, has a name that is not UTF-8, which JSON cannot hold: choose another",
                root.display()
            )));
        };
        fs::create_dir_all(root).map_err(|error| {
            let root = root.display();
            BatchError::new(format!(
                "the folder for bodies {root} cannot be made: {error}; choose another"
            ))
        })?;
        if sync {
            // Its own entry, in the folder that it is in.
            sync_folder(folder_of(root)).map_err(|error| failed(root, &error))?;
        }
        Ok(Self {
            root: name.to_owned(),
            sync,
            made: None,
            unsynced: BTreeSet::new(),
        })
    }

    /// Writes the body under another name, then renames it. Returns the file's name.
    pub(super) fn store(
        &mut self,
        (index, depth): (u64, u32),
        body: &[u8],
    ) -> Result<String, BatchError> {
        let number = index / FOLDER;
        let folder = self.folder(number);
        let name = match depth {
            0 => index.to_string(),
            depth => format!("{index}.{depth}"),
        };
        let path = folder.join(&name);
        let mut store = || {
            if self.made != Some(number) {
                fs::create_dir_all(&folder)?;
                self.made = Some(number);
            }
            let unfinished = folder.join(format!(".{name}.part"));
            let mut file = File::create(&unfinished)?;
            file.write_all(body)?;
            if self.sync {
                file.sync_all()?;
                self.unsynced.insert(number);
            }
            fs::rename(&unfinished, &path)
        };
        match store() {
            Ok(()) => Ok(format!("{}/{number}/{name}", self.root)),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Puts the names of all files on disk; their contents are.
    pub(super) fn sync(&mut self) -> Result<(), BatchError> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let root = PathBuf::from(&self.root);
        while let Some(number) = self.unsynced.pop_first() {
            let folder = self.folder(number);
            sync_folder(&folder).map_err(|error| failed(&folder, &error))?;
        }
        sync_folder(&root).map_err(|error| failed(&root, &error))
    }

    fn folder(&self, number: u64) -> PathBuf {
        Path::new(&self.root).join(number.to_string())
    }
}

fn failed(path: &Path, cause: &io::Error) -> BatchError {
    let path = path.display();
    BatchError::new(format!(
        "the body file {path} cannot be written: {cause}; correct that and resume"
    ))
}
