//! Proof that a program is of this build: it is put aside, and another build must make it again.
//!
//! That is asked only of one that is older than its sources, so that a build with nothing to do
//! takes no program from those who run it at the same time.
//!
//! A setting that nobody thought of (a target folder in a configuration file above the checkout)
//! lets a build succeed elsewhere and leave an old program where the entry says it is. That
//! would be checked and measured in place of the new one.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The first bytes of a compiled program on Linux. Scripts and links are parts of the entry, or of
/// an environment that is repaired in place.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// A program of an earlier build, put aside.
pub(crate) struct PutAside {
    program: PathBuf,
    aside: PathBuf,
}

impl PutAside {
    /// Puts the compiled `program` of the entry in `directory` aside, as the file `aside`; `None` if
    /// there is none, or if a link leads to it, as to a runtime that was installed.
    pub(crate) fn take(
        program: &Path,
        directory: &Path,
        aside: PathBuf,
    ) -> io::Result<Option<Self>> {
        let is_link =
            |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_symlink());
        let mut parts = program.ancestors().take_while(|it| *it != directory);
        if !program.is_file() || parts.any(is_link) || !is_compiled(program)? {
            return Ok(None);
        }
        fs::rename(program, &aside)?;
        Ok(Some(Self { program: program.to_owned(), aside }))
    }

    /// Whether the build has made the program again.
    pub(crate) fn was_made_anew(&self) -> bool {
        self.program.is_file()
    }
}

impl Drop for PutAside {
    /// What a build did not make is as it was.
    fn drop(&mut self) {
        // A file that cannot be put back is reported when it is started.
        let _ = if self.was_made_anew() {
            fs::remove_file(&self.aside)
        } else {
            fs::rename(&self.aside, &self.program)
        };
    }
}

fn is_compiled(program: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    fs::File::open(program)?.take(ELF_MAGIC.len() as u64).read_to_end(&mut magic)?;
    Ok(magic == ELF_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_program_is_put_back_and_a_new_one_replaces_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("server");
        fs::write(&program, b"\x7fELF old").expect("a program");
        let aside = folder.path().join("server.before");
        let take = || PutAside::take(&program, folder.path(), aside.clone()).expect("a rename");
        let taken = take().expect("a compiled program");
        assert!(!program.exists() && !taken.was_made_anew());
        drop(taken);
        assert_eq!(fs::read(&program).expect("the old program"), b"\x7fELF old");

        let taken = take().expect("a compiled program");
        fs::write(&program, b"\x7fELF new").expect("a program");
        assert!(taken.was_made_anew());
        drop(taken);
        assert_eq!(fs::read(&program).expect("the new program"), b"\x7fELF new");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn scripts_and_links_stay_where_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("server");
        fs::write(&script, "#!/bin/sh\n").expect("a script");
        let aside = folder.path().join("server.before");
        let take =
            |path: &Path| PutAside::take(path, folder.path(), aside.clone()).expect("a look");
        assert!(take(&script).is_none());
        let link = folder.path().join("python");
        std::os::unix::fs::symlink("/bin/sh", &link).expect("a link");
        assert!(take(&link).is_none());
        assert!(take(&folder.path().join("absent")).is_none());
        // As a runtime that the build installs, and links to.
        let installed = folder.path().join("installed");
        fs::create_dir(&installed).expect("a folder");
        fs::write(installed.join("java"), b"\x7fELF").expect("a program");
        std::os::unix::fs::symlink(&installed, folder.path().join("jre")).expect("a link");
        assert!(take(&folder.path().join("jre").join("java")).is_none());
    }
}
