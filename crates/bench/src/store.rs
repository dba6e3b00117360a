//! A results folder being written: every file is whole or absent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use zillions_report::record::{RunRecord, TrialRecord};
use zillions_report::results::{REPORT_FILE, RUN_FILE, TRIALS_FOLDER};

/// Results that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing is ever overwritten.
    #[error("'{}' already holds results, or those of a run that has just begun: name another folder with --out", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder cannot be written.
    #[error(
        "cannot write '{}': {source}; what was measured before is kept",
        path.display()
    )]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A results folder.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes `folder`, or takes it if it holds no results yet, and makes sure it can be written.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        if folder.join(RUN_FILE).exists() {
            return Err(StoreError::Occupied { path: folder.to_owned() });
        }
        fs::create_dir_all(folder)
            .map_err(|source| StoreError::Write { path: folder.to_owned(), source })?;
        // Of two runs that begin at once only one makes it.
        let trials = folder.join(TRIALS_FOLDER);
        match fs::create_dir(&trials) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Occupied { path: folder.to_owned() });
            }
            Err(source) => return Err(StoreError::Write { path: trials, source }),
            Ok(()) => {}
        }
        let store = Self { folder: folder.to_owned() };
        store.make_writable()?;
        Ok(store)
    }

    /// Removes the folder of a run that has not begun; what holds anything stays.
    pub fn discard_if_empty(folder: &Path) {
        // A folder that is not empty is not removed, which is what is wanted.
        let _ = fs::remove_dir(folder.join(TRIALS_FOLDER));
        let _ = fs::remove_dir(folder);
    }

    /// Makes the folders that are not there, and tries whether they can be written to.
    fn make_writable(&self) -> Result<(), StoreError> {
        let trials = self.folder.join(TRIALS_FOLDER);
        fs::create_dir_all(&trials)
            .map_err(|source| StoreError::Write { path: trials.clone(), source })?;
        let probe = trials.join(".writable");
        self.write(&probe, b"")?;
        fs::remove_file(&probe).map_err(|source| StoreError::Write { path: probe, source })
    }

    /// The folder of a run, one that [`Self::create`] made or that of an interrupted run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`] if it cannot be written to.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let store = Self { folder: folder.to_owned() };
        store.make_writable()?;
        Ok(store)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn keep_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.write_json(&self.folder.join(RUN_FILE), run)
    }

    /// Writes a trial's file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn keep_trial(&self, trial: &TrialRecord) -> Result<(), StoreError> {
        let name =
            format!("{:04}-{}-{}.json", trial.order, trial.scenario, file_name(&trial.target));
        self.write_json(&self.folder.join(TRIALS_FOLDER).join(name), trial)
    }

    /// Writes the report and gives its path.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn keep_report(folder: &Path, html: &str) -> Result<PathBuf, StoreError> {
        let path = folder.join(REPORT_FILE);
        Self::keep_report_at(&path, html)?;
        Ok(path)
    }

    /// Writes the report to a file of any name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    pub fn keep_report_at(path: &Path, html: &str) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self { folder }.write(path, html.as_bytes())
    }

    fn write_json(&self, path: &Path, record: &impl Serialize) -> Result<(), StoreError> {
        let mut json = serde_json::to_vec_pretty(record)
            .map_err(|error| StoreError::Write { path: path.to_owned(), source: error.into() })?;
        json.push(b'\n');
        self.write(path, &json)
    }

    /// Writes beside `path` and renames, so that no reader sees half a file.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let unfinished = path.with_extension("unfinished");
        let result = File::create(&unfinished)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&unfinished, path));
        result.map_err(|source| {
            // A partial file is of no use.
            let _ = fs::remove_file(&unfinished);
            StoreError::Write { path: path.to_owned(), source }
        })
    }
}

/// A target's name may be a path; the file's name may not.
fn file_name(target: &str) -> String {
    target
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_results_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RUN_FILE), "{}").unwrap();
        let error = Store::create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("already holds results"), "{error}");
    }

    #[test]
    fn of_two_runs_that_begin_at_once_one_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let begin = || Store::create(&path).is_ok();
        let began = std::thread::scope(|scope| {
            let runs = [(); 8].map(|()| scope.spawn(begin));
            runs.map(|run| run.join().unwrap())
        });
        assert_eq!(began.iter().filter(|&&began| began).count(), 1);
        Store::discard_if_empty(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_holds_anything_stays() {
        let folder = tempfile::tempdir().unwrap();
        Store::create(folder.path()).unwrap();
        fs::write(folder.path().join("trials").join("1.json"), "{}").unwrap();
        Store::discard_if_empty(folder.path());
        assert!(folder.path().join("trials").join("1.json").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_before_anything_is_measured() {
        let error = Store::create(Path::new("/dev/null/results")).unwrap_err().to_string();
        assert!(error.starts_with("cannot write '/dev/null/results': "), "{error}");
    }

    #[test]
    fn a_full_disk_leaves_no_half_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trial.json");
        // Every write to /dev/full fails as on a full disk.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("trial.unfinished")).unwrap();
        let store = Store { folder: folder.path().to_owned() };
        let error = store.write(&path, b"{}").unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        assert!(error.ends_with("what was measured before is kept"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn names_of_targets_make_names_of_files() {
        assert_eq!(file_name("./a b/server"), "__a_b_server");
        assert_eq!(file_name("std-mpsc"), "std-mpsc");
    }
}
