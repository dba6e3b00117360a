//! Tool chains: is it there, which version, what installs it; and builds.

mod probes;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Instant, SystemTime};

use crate::environment;
use crate::group::Group;
use crate::last_build::LastBuild;
use crate::made_anew::PutAside;
use crate::manifest::{Entry, FILE_NAME};

pub use probes::Probes;

/// Grace for a build that is stopped.
const BUILD_GRACE_SECONDS: f64 = 2.0;

/// Whether an entry's tool chain is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// Every probe succeeded; the first line that each printed.
    Present {
        /// Versions, in the order of the probes.
        versions: Vec<String>,
    },
    /// It is there, and does not work: installing it again would change nothing.
    Unusable {
        /// What is wrong, as the tool says it.
        reason: String,
        /// All that it said.
        output: String,
    },
    /// It is not there, or too old.
    Missing {
        /// What is missing.
        reason: String,
        /// The command that installs it on Debian, if the entry names packages.
        install: Option<String>,
    },
}

/// Whether an entry is built in which nothing has changed since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is, as the tools may have changed in a way that nobody sees.
    Always,
    /// It is not: its program stays, for those who are running it.
    Changed,
}

/// How a build ended.
#[derive(Debug)]
pub struct Build {
    /// From start to end, in seconds; how long it took then, if nothing has changed since.
    pub seconds: f64,
    /// Its complete output.
    pub log: PathBuf,
    /// `Ok`, or why it failed.
    pub result: Result<(), BuildError>,
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The log file cannot be written.
    #[error("cannot write the build log '{}': {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Whether another process builds it cannot be told.
    #[error("cannot take turns with other builds, in '{}': {source}", path.display())]
    Turn {
        /// The folder of the log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No shell.
    #[error("cannot run the build command: {0}")]
    Spawn(io::Error),
    /// It ended with an error.
    #[error("the build command failed ({status}): {command}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It hung.
    #[error("the build command was stopped after {seconds} s: {command}")]
    TimedOut {
        /// The command.
        command: String,
        /// How long it was given.
        seconds: f64,
    },
    /// The program of an earlier build cannot be put aside.
    #[error("cannot put the program of the last build aside: {0}")]
    PutAside(io::Error),
    /// It succeeded, and the program is still that of an earlier build.
    #[error(
        "the build command succeeded, but did not make {0}: look for a setting that sends its \
         output elsewhere, such as target-dir or target in a cargo configuration above this folder"
    )]
    Elsewhere(String),
    /// It succeeded, and still there is no program.
    #[error("the build command succeeded, but {0}")]
    NoProgram(String),
}

/// The one command that installs the tool chains of `entries` on Debian, if any
/// of them names a package.
pub fn install_command<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<String> {
    let packages: BTreeSet<&str> = entries
        .into_iter()
        .flat_map(|entry| entry.manifest.apt.iter().map(String::as_str))
        .collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    (!packages.is_empty())
        .then(|| format!("apt-get install --no-install-recommends {}", packages.join(" ")))
}

/// Builds an entry with tools of these `versions`, the output going to `log`; processes that build it
/// take turns.
pub fn build(
    entry: &Entry,
    versions: &[String],
    log: &Path,
    seconds_max: f64,
    when: When,
) -> Build {
    let ended = |(seconds, result)| Build { seconds, log: log.to_owned(), result };
    if entry.manifest.build.is_empty() {
        return ended(timed(|| program_of(entry).map(drop)));
    }
    let last = match LastBuild::take_turn(entry, versions, log) {
        Ok(last) => last,
        Err(source) => {
            let path = log.parent().unwrap_or(log).to_owned();
            return ended((0.0, Err(BuildError::Turn { path, source })));
        }
    };
    if when == When::Changed
        && let Some(seconds) = last.seconds_if_unchanged()
    {
        return ended((seconds, program_of(entry).map(drop)));
    }
    last.forget();
    let sources = last.sources();
    let (seconds, result) = timed(|| run_build(entry, log, seconds_max));
    // What was changed meanwhile was built in part.
    if result.is_ok() && sources.is_some() && sources == last.sources() {
        last.remember(seconds);
    }
    ended((seconds, result))
}

/// How long `action` takes, in seconds, and what it returns.
fn timed<T>(action: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let returned = action();
    (started.elapsed().as_secs_f64(), returned)
}

fn run_build(entry: &Entry, log: &Path, seconds_max: f64) -> Result<(), BuildError> {
    run_command(entry, log, seconds_max)?;
    let program = program_of(entry)?;
    if !is_older_than_a_source(&program, entry) {
        return Ok(());
    }
    // Either nothing had to be done, or it was done elsewhere.
    let aside = log.with_extension("before");
    let taken = PutAside::take(&program, &entry.directory, aside).map_err(BuildError::PutAside)?;
    let Some(taken) = taken else { return Ok(()) };
    run_command(entry, log, seconds_max)?;
    if !taken.was_made_anew() {
        return Err(BuildError::Elsewhere(entry.manifest.run[0].clone()));
    }
    // Some tools give it the time of the old one, and it would be asked for each time.
    let _ = File::open(&program).and_then(|file| file.set_modified(SystemTime::now()));
    Ok(())
}

fn program_of(entry: &Entry) -> Result<PathBuf, BuildError> {
    let launch = entry.launch().map_err(|error| BuildError::NoProgram(error.to_string()))?;
    Ok(launch.program)
}

/// Whether `program` may be of an earlier build. The manifest is a source, too: it has the build
/// command. A source of the same time may be newer, as times have steps.
fn is_older_than_a_source(program: &Path, entry: &Entry) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    let made = changed(program);
    let sources = entry.sources.iter().map(PathBuf::as_path).chain([Path::new(FILE_NAME)]);
    let mut sources = sources.map(|source| entry.directory.join(source));
    sources.any(|source| source != program && changed(&source) >= made)
}

/// Runs the build command once.
fn run_command(entry: &Entry, log: &Path, seconds_max: f64) -> Result<(), BuildError> {
    let command = &entry.manifest.build;
    let cannot_log = |source| BuildError::Log { path: log.to_owned(), source };
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(cannot_log)?;
    }
    let stdout = File::create(log).map_err(cannot_log)?;
    let stderr = stdout.try_clone().map_err(cannot_log)?;
    let mut shell = shell(command, &entry.directory);
    shell.stdout(stdout).stderr(stderr);
    let (group, _) = Group::spawn(shell).map_err(BuildError::Spawn)?;
    match group.wait(seconds_max) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(BuildError::Failed { command: command.clone(), status }),
        None => {
            group.end(BUILD_GRACE_SECONDS);
            Err(BuildError::TimedOut { command: command.clone(), seconds: seconds_max })
        }
    }
}

fn shell(command: &str, directory: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(directory).stdin(Stdio::null());
    environment::clean(&mut shell);
    shell
}
