//! The gallery's `impl.toml` files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::launch::{Launch, LaunchError};
use crate::sources;

/// The file in each entry's folder.
pub const FILE_NAME: &str = "impl.toml";

/// The closed list of concurrency styles; docs/styles.md explains each.
pub const STYLES: [&str; 24] = [
    "threads + channels",
    "threads + locks",
    "monitors",
    "processes",
    "readiness loop",
    "completion loop",
    "callbacks",
    "stackful coroutines",
    "futures",
    "promises",
    "reactive streams",
    "dataflow",
    "CSP",
    "synchronous events",
    "green threads",
    "green threads + STM",
    "generators",
    "effect handlers",
    "async/await",
    "structured concurrency",
    "actors",
    "ring buffer",
    "shared log",
    "pure core",
];

/// The closed list of tags; docs/impl-toml.md explains each.
pub const TAGS: [&str; 5] =
    ["one-thread", "many-threads", "garbage-collected", "original", "unmaintained"];

/// What an implementation says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One sentence: the idea.
    pub summary: String,
    /// Programming language.
    pub language: String,
    /// One of [`STYLES`].
    pub style: String,
    /// Whether it stands for its style where only one can; one entry of each style does.
    #[serde(default)]
    pub representative: bool,
    /// Of [`TAGS`].
    #[serde(default)]
    pub tags: Vec<String>,
    /// The library that gives the style, or `std`.
    pub library: String,
    /// Where to read about it.
    pub url: String,
    /// What makes it what it is: files and patterns of files, relative to the entry's folder.
    pub sources: Vec<PathBuf>,
    /// Debian packages that its tool chain needs.
    #[serde(default)]
    pub apt: Vec<String>,
    /// Probes for its tool chain.
    #[serde(default)]
    pub requires: Vec<Requirement>,
    /// Shell command that builds it, run in the entry's folder; empty if there
    /// is nothing to build.
    pub build: String,
    /// The command that serves; the address is appended.
    pub run: Vec<String>,
    /// What happens to a message for a client whose queue is full.
    pub slow_reader: SlowReader,
    /// How much is held for each client.
    pub queue_limit: QueueLimit,
    /// Cases of the suite that it is known not to pass.
    #[serde(default, rename = "known_failure")]
    pub known_failures: Vec<KnownFailure>,
}

/// A command that shows whether a tool is there.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "expected a command, or a table such as { probe = \"ghc --numeric-version\", at_least = \"9.0\" }"
)]
pub enum Requirement {
    /// It only has to succeed.
    Probe(String),
    /// It has to print a version.
    AtLeast(AtLeast),
}

/// A probe with the least version that will do.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AtLeast {
    /// The command; the first dotted number in its output counts.
    pub probe: String,
    /// The least version.
    pub at_least: String,
}

/// Policies for a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlowReader {
    /// The new message is dropped.
    DropNewest,
    /// The oldest queued message is dropped.
    DropOldest,
    /// The client is disconnected.
    Disconnect,
    /// Everybody waits.
    Block,
}

/// How much is held for each client.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(
    untagged,
    expecting = "expected a number of messages, or a text with a unit such as \"64 KiB\""
)]
pub enum QueueLimit {
    /// So many messages.
    Messages(u64),
    /// An amount with its unit, for example `64 KiB`.
    Amount(String),
}

/// A case that an implementation is known not to pass, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// Id of the case.
    pub case: String,
    /// Why.
    pub reason: String,
}

/// Why a gallery cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, an unknown or missing key, a wrong type.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Well-formed, and still wrong.
    #[error("{}:{line}: {message}", path.display())]
    Meaning {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, and what to do.
        message: String,
    },
    /// Two folders of one name.
    #[error("two entries are called '{name}': {} and {}; rename one of the folders", first.display(), second.display())]
    Twice {
        /// The name.
        name: String,
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

/// One implementation in the gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub directory: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The files that its `sources` name, relative to its folder, in their order.
    pub sources: Vec<PathBuf>,
}

/// All implementations, in order of their names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gallery {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Gallery {
    /// Reads every folder in `directories` that holds an `impl.toml`.
    ///
    /// # Errors
    /// When a folder cannot be read, one manifest is wrong, or two entries
    /// have the same name.
    pub fn read(directories: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut entries: Vec<Entry> = Vec::new();
        for directory in directories {
            let unreadable = |source| ManifestError::Unreadable { path: directory.clone(), source };
            for found in fs::read_dir(directory).map_err(unreadable)? {
                let path = found.map_err(unreadable)?.path();
                if path.join(FILE_NAME).is_file() {
                    entries.push(Entry::read(&path)?);
                }
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for pair in entries.windows(2) {
            if pair[0].name == pair[1].name {
                return Err(ManifestError::Twice {
                    name: pair[0].name.clone(),
                    first: pair[0].directory.clone(),
                    second: pair[1].directory.clone(),
                });
            }
        }
        Ok(Self { entries })
    }

    /// The entry called `name`.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl Entry {
    /// Reads the entry in folder `directory`.
    ///
    /// # Errors
    /// When its `impl.toml` is missing or wrong.
    pub fn read(directory: &Path) -> Result<Self, ManifestError> {
        let path = directory.join(FILE_NAME);
        let text = fs::read_to_string(&path)
            .map_err(|source| ManifestError::Unreadable { path: path.clone(), source })?;
        let manifest = parse(&text, &path)?;
        check_meaning(&manifest, &text, &path)?;
        let sources = find_sources(&manifest, &text, &path, directory)?;
        let directory = std::path::absolute(directory)
            .map_err(|source| ManifestError::Unreadable { path, source })?;
        let name =
            directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        Ok(Self { name, directory, manifest, sources })
    }

    /// How it is started.
    ///
    /// # Errors
    /// When its program is not there, usually because it is not built.
    pub fn launch(&self) -> Result<Launch, LaunchError> {
        let (program, arguments) = self
            .manifest
            .run
            .split_first()
            .ok_or_else(|| LaunchError::Missing { path: self.directory.clone() })?;
        let mut launch = if program.contains('/') {
            Launch::executable(self.directory.join(program))?
        } else {
            Launch::new(program)
        };
        launch.arguments = arguments.iter().map(Into::into).collect();
        launch.directory = Some(self.directory.clone());
        launch.clean_environment = true;
        Ok(launch)
    }
}

fn parse(text: &str, path: &Path) -> Result<Manifest, ManifestError> {
    toml::from_str(text).map_err(|error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        let message = error.message().replace('\n', " ");
        ManifestError::Syntax { path: path.to_owned(), line, column, message }
    })
}

/// Line and column, from 1, of byte `offset`.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The manifest at `path` is wrong at `key`.
fn wrong<T>(key: &str, text: &str, path: &Path, message: String) -> Result<T, ManifestError> {
    let line = text.lines().position(|line| line.trim_start().starts_with(key)).unwrap_or(0) + 1;
    Err(ManifestError::Meaning { path: path.to_owned(), line, message })
}

/// The files that its sources name, each once.
fn find_sources(
    manifest: &Manifest,
    text: &str,
    path: &Path,
    directory: &Path,
) -> Result<Vec<PathBuf>, ManifestError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for source in &manifest.sources {
        let shown = source.display();
        let files = match sources::expand(directory, source) {
            Ok(files) if !files.is_empty() => files,
            Ok(_) => {
                let message = format!(
                    "source '{shown}' does not exist in this folder: correct 'sources', or add \
                     the file"
                );
                return wrong("sources", text, path, message);
            }
            Err(error) => {
                return wrong("sources", text, path, format!("source '{shown}': {error}"));
            }
        };
        for file in files {
            if !found.contains(&file) {
                found.push(file);
            }
        }
    }
    Ok(found)
}

fn check_meaning(manifest: &Manifest, text: &str, path: &Path) -> Result<(), ManifestError> {
    let wrong = |key: &str, message: String| wrong(key, text, path, message);
    if !STYLES.contains(&manifest.style.as_str()) {
        let message =
            format!("unknown style '{}': use one of {}", manifest.style, STYLES.join(", "));
        return wrong("style", message);
    }
    if let Some(tag) = manifest.tags.iter().find(|tag| !TAGS.contains(&tag.as_str())) {
        return wrong("tags", format!("unknown tag '{tag}': use some of {}", TAGS.join(", ")));
    }
    if manifest.run.first().is_none_or(String::is_empty) {
        return wrong("run", "'run' names no program: write for example [\"./server\"]".to_owned());
    }
    if manifest.sources.is_empty() {
        return wrong("sources", "'sources' is empty: name the files to show".to_owned());
    }
    for requirement in &manifest.requires {
        if let Requirement::AtLeast(AtLeast { at_least, .. }) = requirement
            && at_least.split('.').any(|number| number.parse::<u64>().is_err())
        {
            let message =
                format!("at_least = \"{at_least}\" is not a version: write numbers, as in \"9.0\"");
            return wrong("requires", message);
        }
    }
    for failure in &manifest.known_failures {
        if failure.reason.trim().is_empty() {
            let message = format!("known failure '{}' has no reason: say why", failure.case);
            return wrong("case", message);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"summary = "s"
language = "Rust"
style = "threads + channels"
library = "std"
url = "https://example.org"
sources = ["server.rs"]
apt = []
requires = ["cargo --version", { probe = "ghc --numeric-version", at_least = "9.0" }]
build = ""
run = ["./server"]
slow_reader = "drop-newest"
queue_limit = 64
[[known_failure]]
case = "life/idle-cpu"
reason = "because"
"#;

    fn read(text: &str) -> Result<Entry, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let entry = folder.path().join("entry");
        fs::create_dir(&entry).expect("an entry");
        fs::write(entry.join("server.rs"), "").expect("a source");
        fs::write(entry.join(FILE_NAME), text).expect("a manifest");
        Entry::read(&entry)
            .map_err(|error| error.to_string().replace(&folder.path().display().to_string(), ""))
    }

    #[test]
    fn a_complete_manifest_is_read() {
        let entry = read(GOOD).expect("a good manifest");
        assert_eq!(entry.name, "entry");
        assert_eq!(entry.manifest.queue_limit, QueueLimit::Messages(64));
        assert_eq!(entry.manifest.requires.len(), 2);
        assert_eq!(entry.manifest.known_failures[0].case, "life/idle-cpu");
    }

    #[test]
    fn sources_are_files_and_each_is_named_once() {
        let entry = read(&GOOD.replacen("\"server.rs\"", "\"server.rs\", \"*.rs\"", 1));
        let entry = entry.expect("a good manifest");
        assert_eq!(entry.sources, [PathBuf::from("server.rs")]);
    }

    #[test]
    fn a_wrong_manifest_is_refused_with_file_and_line() {
        for (from, to, expected) in [
            ("library", "libary", "/entry/impl.toml:4:1: unknown field `libary`"),
            ("\"drop-newest\"", "\"drop\"", "/entry/impl.toml:11:15: unknown variant `drop`"),
            (
                "threads + channels",
                "magic",
                "/entry/impl.toml:3: unknown style 'magic': use one of",
            ),
            ("[]", "[]\ntags = [\"fast\"]", "/entry/impl.toml:8: unknown tag 'fast': use some of"),
            ("server.rs", "main.rs", "/entry/impl.toml:6: source 'main.rs' does not exist"),
            ("server.rs", "../*.rs", "/entry/impl.toml:6: source '../*.rs' does not exist"),
            ("server.rs", "[.rs", "/entry/impl.toml:6: source '[.rs': invalid pattern"),
            ("[\"./server\"]", "[]", "/entry/impl.toml:10: 'run' names no program"),
            (
                "\"because\"",
                "\"\"",
                "/entry/impl.toml:14: known failure 'life/idle-cpu' has no reason",
            ),
            ("\"9.0\"", "\"v9\"", "/entry/impl.toml:8: at_least = \"v9\" is not a version"),
            ("= 64", "= [64]", "/entry/impl.toml:12:15: expected a number of messages"),
            ("summary = \"s\"", "summary = \"s", "/entry/impl.toml:1:"),
        ] {
            let error = read(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn two_entries_with_one_name_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let galleries: Vec<PathBuf> = ["a", "b"].map(|name| folder.path().join(name)).to_vec();
        for gallery in &galleries {
            fs::create_dir_all(gallery.join("twin")).expect("an entry");
            fs::write(gallery.join("twin/server.rs"), "").expect("a source");
            fs::write(gallery.join("twin").join(FILE_NAME), GOOD).expect("a manifest");
        }
        let error = Gallery::read(&galleries).expect_err("a collision").to_string();
        assert!(error.starts_with("two entries are called 'twin'"), "{error}");
    }
}
