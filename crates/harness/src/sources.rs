//! The files that an entry's `sources` name.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

/// Why a source names no files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// It is not a valid pattern.
    #[error("invalid pattern ({0})")]
    Pattern(#[from] globset::Error),
    /// A folder in which it looks cannot be read.
    #[error("'{}' cannot be read: {source}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The files that `source` names, relative to `directory` like `source` itself, in order; none if
/// there is no such file.
///
/// A source is a path, or a pattern: `*` stands for any part of a name, `**` for any folders.
///
/// # Errors
/// [`SourceError`].
pub(crate) fn expand(directory: &Path, source: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if !has_wildcard(source.as_os_str().to_string_lossy().as_ref()) {
        let is_file = directory.join(source).is_file();
        return Ok(if is_file { vec![source.to_owned()] } else { Vec::new() });
    }
    let fixed: PathBuf = source.components().take_while(|part| !is_pattern(part)).collect();
    let pattern: PathBuf = source.components().skip_while(|part| !is_pattern(part)).collect();
    let matcher = GlobBuilder::new(&pattern.to_string_lossy())
        .literal_separator(true)
        .build()?
        .compile_matcher();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = directory.join(&fixed).join(&folder);
        let unreadable = |source| SourceError::Unreadable { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let inner = folder.join(entry.file_name());
            // Links are not followed: they could lead round in a circle.
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                folders.push(inner);
            } else if kind.is_file() && matcher.is_match(&inner) {
                found.push(fixed.join(inner));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn is_pattern(part: &Component<'_>) -> bool {
    has_wildcard(&part.as_os_str().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_itself_and_a_pattern_is_every_file_that_it_matches_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["entry/server.rs", "lib/src/b.rs", "lib/src/a/c.rs", "lib/src/notes.md"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            fs::write(path, "").expect("a file");
        }
        let entry = folder.path().join("entry");
        let names = |source: &str| -> Vec<String> {
            let found = expand(&entry, Path::new(source)).expect("readable");
            found.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(names("server.rs"), ["server.rs"]);
        assert_eq!(names("gone.rs"), Vec::<String>::new());
        assert_eq!(names("*.rs"), ["server.rs"]);
        assert_eq!(names("../lib/src/*.rs"), ["../lib/src/b.rs"]);
        assert_eq!(names("../lib/src/**/*.rs"), ["../lib/src/a/c.rs", "../lib/src/b.rs"]);
        assert_eq!(names("../lib/**/*.py"), Vec::<String>::new());
        assert!(expand(&entry, Path::new("../gone/*.rs")).is_err());
        assert!(expand(&entry, Path::new("[.rs")).is_err());
    }
}
