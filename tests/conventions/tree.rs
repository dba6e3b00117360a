//! The repository's own files, and how offenders among them are reported.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use ignore::WalkBuilder;

/// One text file of the repository.
pub(crate) struct File {
    /// Relative to the repository, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The part of the name after the last dot, or nothing.
    pub(crate) fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|it| it.to_str()).unwrap_or("")
    }

    /// The name without its folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The lines, with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The number of the first line that holds `what`, or 1.
    pub(crate) fn line_of(&self, what: &str) -> usize {
        self.lines().find(|(_, line)| line.contains(what)).map_or(1, |(number, _)| number)
    }
}

/// What the repository holds, in order of the paths.
struct Tree {
    files: Vec<File>,
    not_text: Vec<String>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file that git tracks or would track.
///
/// That is, everything that no `.gitignore` excludes: so a new file is held to
/// the rules before it is committed, and an unpacked archive is tested alike.
pub(crate) fn files() -> &'static [File] {
    &TREE.files
}

/// The files below `folder`.
pub(crate) fn files_in(folder: &str) -> impl Iterator<Item = &'static File> + use<> {
    let prefix = format!("{folder}/");
    files().iter().filter(move |file| file.path.starts_with(&prefix))
}

/// The file at `path`.
pub(crate) fn file(path: &str) -> Option<&'static File> {
    files().iter().find(|file| file.path == path)
}

/// Paths of files that are not UTF-8.
pub(crate) fn not_text() -> &'static [String] {
    &TREE.not_text
}

/// Names of the folders in `folder`, each once.
pub(crate) fn folders_in(folder: &str) -> Vec<&'static str> {
    let below = folder.len() + 1;
    let mut names: Vec<&str> = files_in(folder)
        .filter_map(|file| file.path[below..].split_once('/').map(|(name, _)| name))
        .collect();
    names.dedup();
    names
}

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let mut tree = Tree { files: Vec::new(), not_text: Vec::new() };
    for path in paths() {
        let relative = path.strip_prefix(root()).expect("below the root");
        let name = relative.to_str().expect("a path in UTF-8").to_owned();
        // An editor may have removed the file since the listing.
        let Ok(bytes) = fs::read(&path) else { continue };
        match String::from_utf8(bytes) {
            Ok(text) => tree.files.push(File { path: name, text }),
            Err(_) => tree.not_text.push(name),
        }
    }
    tree
});

/// The files, in order: git is asked where there is a repository.
fn paths() -> Vec<PathBuf> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()
        .filter(|output| root().join(".git").exists() && output.status.success());
    if let Some(output) = listing {
        let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        let mut paths: Vec<PathBuf> =
            names.map(|name| root().join(OsStr::from_bytes(name))).collect();
        paths.sort();
        paths.dedup();
        paths.retain(|path| path.symlink_metadata().is_ok_and(|it| it.is_file()));
        return paths;
    }
    let walk = WalkBuilder::new(root())
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_path(Path::cmp)
        .build();
    walk.map(|entry| entry.expect("the repository can be read"))
        .filter(|entry| entry.file_type().is_some_and(|it| it.is_file()))
        .map(ignore::DirEntry::into_path)
        .collect()
}

/// What breaks one rule.
pub(crate) struct Offenders {
    rule: &'static str,
    looked_at: usize,
    found: Vec<String>,
}

impl Offenders {
    /// Nobody yet. `rule` says what holds and why, for those who break it.
    pub(crate) fn of(rule: &'static str) -> Self {
        Self { rule, looked_at: 0, found: Vec::new() }
    }

    /// Counts one thing that the rule was applied to.
    pub(crate) fn look(&mut self) {
        self.looked_at += 1;
    }

    pub(crate) fn add(&mut self, path: &str, line: usize, what: impl std::fmt::Display) {
        self.found.push(format!("{path}:{line}: {what}"));
    }

    /// Fails with all offenders; and if the rule was applied to nothing, for
    /// then it is the rule that looks in the wrong place.
    pub(crate) fn assert_none(self) {
        assert!(self.looked_at > 0, "nothing was found to apply this rule to: {}", self.rule);
        assert!(self.found.is_empty(), "{}\n{}", self.rule, self.found.join("\n"));
    }
}

/// Exceptions to a rule: what is excepted, and the reason.
pub(crate) struct Exceptions {
    list: &'static [(&'static str, &'static str)],
    used: Vec<bool>,
}

impl Exceptions {
    pub(crate) fn new(list: &'static [(&'static str, &'static str)]) -> Self {
        Self { list, used: vec![false; list.len()] }
    }

    /// Whether `what` is excepted.
    pub(crate) fn cover(&mut self, what: &str) -> bool {
        let index = self.list.iter().position(|(name, _)| *name == what);
        if let Some(index) = index {
            self.used[index] = true;
        }
        index.is_some()
    }

    /// Adds those that covered nothing.
    pub(crate) fn report_unused(self, offenders: &mut Offenders) {
        for ((name, reason), used) in self.list.iter().zip(self.used) {
            if !used {
                offenders.add(name, 0, format!("the exception is not needed any more ({reason})"));
            }
        }
    }
}
