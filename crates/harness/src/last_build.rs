//! What the last build of an entry left, and whether anything has changed since.
//!
//! Many compilers make a program anew each time, in the place that it is run from. So to build an
//! entry is to take its program from those who run it meanwhile, which nobody should where nothing
//! has changed. A tool such as cargo knows whether that is so, and `cc` does not; the entry's folder
//! does, as it holds what a program is made of, and what was made.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::manifest::{Entry, FILE_NAME};

/// The turn to build an entry: other processes wait for it until this is dropped.
pub(crate) struct LastBuild<'a> {
    entry: &'a Entry,
    versions: &'a [String],
    /// How long it took, and what it left.
    record: PathBuf,
    _turn: File,
}

impl<'a> LastBuild<'a> {
    /// Waits until nobody else builds `entry`, by tools of these `versions`; files beside its `log`
    /// say so, and what was built.
    pub(crate) fn take_turn(
        entry: &'a Entry,
        versions: &'a [String],
        log: &Path,
    ) -> io::Result<Self> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder)?;
        }
        let turn = log.with_extension("lock");
        let turn = File::options().create(true).truncate(false).write(true).open(turn)?;
        turn.lock()?;
        Ok(Self { entry, versions, record: log.with_extension("built"), _turn: turn })
    }

    /// How long it took, in seconds, if nothing has changed since.
    pub(crate) fn seconds_if_unchanged(&self) -> Option<f64> {
        let record = fs::read_to_string(&self.record).ok()?;
        let (seconds, left) = record.split_once('\n')?;
        (self.left()? == left).then(|| seconds.parse().ok()).flatten()
    }

    /// There is none as long as another has not succeeded.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(&self.record);
    }

    /// Keeps what a build left that took `seconds`. If that fails, the next one is for nothing.
    pub(crate) fn remember(&self, seconds: f64) {
        if let Some(left) = self.left() {
            let _ = fs::write(&self.record, format!("{seconds}\n{left}"));
        }
    }

    /// The state of what is known to be written by hand.
    pub(crate) fn sources(&self) -> Option<Vec<String>> {
        let sources = self.entry.sources.iter().map(PathBuf::as_path);
        let paths = sources.chain([Path::new(FILE_NAME)]);
        let state_of = |path: PathBuf| Some(state(&path, &fs::metadata(&path).ok()?));
        paths.map(|path| state_of(self.entry.directory.join(path))).collect()
    }

    /// The tools, and the state of each file in the entry's folder; `None` if it cannot be told, or
    /// if that is not all that the program is made of.
    fn left(&self) -> Option<String> {
        let leads_out = |source: &PathBuf| source.components().any(|it| it == Component::ParentDir);
        if self.entry.sources.iter().any(leads_out) {
            return None;
        }
        let mut lines = states_in(&self.entry.directory).ok()?;
        lines.sort_unstable();
        Some(format!("{}\n{}", self.versions.join("\n"), lines.join("\n")))
    }
}

/// The state of each file in `folder` and the folders in it; links are not followed.
fn states_in(folder: &Path) -> io::Result<Vec<String>> {
    let (mut states, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(&folder)? {
            let found = found?;
            let (path, metadata) = (found.path(), found.metadata()?);
            if metadata.is_dir() {
                folders.push(path);
            } else {
                states.push(state(&path, &metadata));
            }
        }
    }
    Ok(states)
}

/// One line that differs after any change. Nobody can set the time of the last one, as a copy with its
/// times sets that of the content.
fn state(path: &Path, metadata: &Metadata) -> String {
    let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
    format!("{path:?} {} {seconds}.{nanoseconds:09}", metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "summary = 's'\nlanguage = 'C'\nstyle = 'CSP'\nlibrary = 'std'\n\
         url = 'u'\nsources = ['server.c']\nbuild = 'true'\nrun = ['./server']\n\
         slow_reader = 'block'\nqueue_limit = 1\n";

    /// An entry with a source, in a folder with room for a log.
    fn entry(folder: &Path) -> Entry {
        let directory = folder.join("impls").join("entry");
        fs::create_dir_all(&directory).expect("a folder");
        fs::write(directory.join("server.c"), "int main;").expect("a source");
        fs::write(directory.join(FILE_NAME), MANIFEST).expect("a manifest");
        Entry::read(&directory).expect("an entry")
    }

    #[test]
    fn any_change_in_the_folder_and_of_the_tools_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (entry, log) = (entry(folder.path()), folder.path().join("entry.log"));
        let version = |text: &str| vec![text.to_owned()];
        let (old, new) = (version("cc 12"), version("cc 13"));
        let seconds = |versions: &[String]| {
            let last = LastBuild::take_turn(&entry, versions, &log).expect("a turn");
            last.seconds_if_unchanged()
        };
        let remember = || {
            LastBuild::take_turn(&entry, &old, &log).expect("a turn").remember(1.5);
            assert_eq!(seconds(&old), Some(1.5));
        };
        assert_eq!(seconds(&old), None);
        remember();
        assert_eq!(seconds(&new), None);
        let inner = entry.directory.join("target");
        fs::create_dir(&inner).expect("a folder");
        assert_eq!(seconds(&old), Some(1.5), "an empty folder is nothing");
        fs::write(inner.join("server"), "").expect("a program");
        assert_eq!(seconds(&old), None);
        remember();
        fs::remove_file(inner.join("server")).expect("a program");
        assert_eq!(seconds(&old), None);
        remember();
        fs::write(entry.directory.join("server.c"), "int main(void);").expect("a source");
        assert_eq!(seconds(&old), None);
        remember();
        LastBuild::take_turn(&entry, &old, &log).expect("a turn").forget();
        assert_eq!(seconds(&old), None);
    }

    #[test]
    fn what_is_made_of_files_elsewhere_may_have_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut entry = entry(folder.path());
        entry.sources.push(PathBuf::from("../../crates/server/src/lib.rs"));
        let log = folder.path().join("entry.log");
        let last = LastBuild::take_turn(&entry, &[], &log).expect("a turn");
        last.remember(1.5);
        assert_eq!(last.seconds_if_unchanged(), None);
    }
}
