//! Tool chains: is it there, which version, what installs it; and builds.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use zillions_escape::visible_lines;

use crate::environment;
use crate::group::Group;
use crate::machine_fault::MachineFault;
use crate::made_anew::PutAside;
use crate::manifest::{Entry, FILE_NAME, Requirement};

/// A probe that takes longer is taken for a failure.
const PROBE_SECONDS_MAX: f64 = 30.0;
/// How much of a probe's output is looked at.
const PROBE_OUTPUT_BYTES_MAX: u64 = 64 * 1024;
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

/// How a build ended.
#[derive(Debug)]
pub struct Build {
    /// From start to end, in seconds.
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

/// Runs an entry's probes.
pub fn probe(entry: &Entry) -> Toolchain {
    let mut versions = Vec::new();
    for requirement in &entry.manifest.requires {
        match probe_one(requirement, &entry.directory) {
            Ok(version) => versions.push(version),
            Err(ProbeError::Missing(reason)) => {
                return Toolchain::Missing { reason, install: install_command([entry]) };
            }
            Err(ProbeError::Unusable { reason, output }) => {
                return Toolchain::Unusable { reason, output };
            }
        }
    }
    Toolchain::Present { versions }
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

/// Runs an entry's build command, its output going to `log`.
pub fn build(entry: &Entry, log: &Path, seconds_max: f64) -> Build {
    let started = Instant::now();
    let result = run_build(entry, log, seconds_max);
    Build { seconds: started.elapsed().as_secs_f64(), log: log.to_owned(), result }
}

fn run_build(entry: &Entry, log: &Path, seconds_max: f64) -> Result<(), BuildError> {
    if entry.manifest.build.is_empty() {
        return program_of(entry).map(drop);
    }
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

/// Why a probe failed.
#[derive(Debug, PartialEq, Eq)]
enum ProbeError {
    Missing(String),
    Unusable { reason: String, output: String },
}

fn probe_one(requirement: &Requirement, directory: &Path) -> Result<String, ProbeError> {
    let (command, at_least) = match requirement {
        Requirement::Probe(command) => (command, None),
        Requirement::AtLeast(wanted) => (&wanted.probe, Some(&wanted.at_least)),
    };
    let output = output_of(command, directory)?;
    let first_line = output.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
    let Some(at_least) = at_least else { return Ok(first_line.to_owned()) };
    let found = first_version(&output).ok_or_else(|| {
        ProbeError::Missing(format!("'{command}' printed no version: {first_line:?}"))
    })?;
    if parse_version(found) < parse_version(at_least) {
        let reason = format!("'{command}' says {found}, and {at_least} or later is needed");
        return Err(ProbeError::Missing(reason));
    }
    Ok(first_line.to_owned())
}

fn output_of(command: &str, directory: &Path) -> Result<String, ProbeError> {
    let unusable = |reason: String| ProbeError::Unusable { reason, output: String::new() };
    let failed = |error: io::Error| {
        unusable(format!("'{command}' cannot be run: {}", MachineFault::explain(&error)))
    };
    let mut shell = shell(&format!("{{ {command}\n}} 2>&1"), directory);
    shell.stdout(Stdio::piped()).stderr(Stdio::null());
    let (group, mut child) = Group::spawn(shell).map_err(failed)?;
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.take(PROBE_OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
            let _ = sender.send(visible_lines(&bytes));
        });
    }
    let Some(status) = group.wait(PROBE_SECONDS_MAX) else {
        return Err(unusable(format!("'{command}' did not end within {PROBE_SECONDS_MAX} s")));
    };
    group.end(0.0);
    let output = receiver.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    if status.success() {
        return Ok(output);
    }
    Err(probe_error(command, status, output))
}

fn probe_error(command: &str, status: ExitStatus, output: String) -> ProbeError {
    let reason = match (status.code(), telling_line(&output)) {
        (Some(127), _) => return ProbeError::Missing(format!("'{command}': not installed")),
        (_, None) => format!("'{command}' failed ({status})"),
        (_, Some(line)) => format!("'{command}' failed: {line}"),
    };
    // A library or a property that is asked for in another way may well be absent.
    if asks_for_version(command) {
        ProbeError::Unusable { reason, output }
    } else {
        ProbeError::Missing(reason)
    }
}

/// Whether a probe only makes a program tell its version: one that is there can do that.
fn asks_for_version(command: &str) -> bool {
    const QUESTIONS: [&str; 5] = ["--version", "-version", "version", "--numeric-version", "-V"];
    let words: Vec<&str> = command.split_whitespace().collect();
    matches!(words.as_slice(), [_, question] if QUESTIONS.contains(question))
}

/// The line of what a tool said that tells why it failed: the first that speaks of an error, or
/// else the last; the first line of a backtrace and the help below it do not tell.
fn telling_line(output: &str) -> Option<&str> {
    const TELLING: [&str; 5] = ["error:", "error ", "fatal", "cannot ", "could not "];
    let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = lines.clone().find(|line| {
        let line = line.to_lowercase();
        TELLING.iter().any(|word| line.contains(word))
    });
    telling.or_else(|| lines.next_back())
}

fn shell(command: &str, directory: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).current_dir(directory).stdin(Stdio::null());
    environment::clean(&mut shell);
    shell
}

/// The first run of digits and dots that has a dot in it, or else the first number.
fn first_version(text: &str) -> Option<&str> {
    let mut numbers = text
        .split(|character: char| !(character.is_ascii_digit() || character == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| !word.is_empty());
    let first = numbers.clone().next();
    numbers.find(|word| word.contains('.')).or(first)
}

fn parse_version(text: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        text.split('.').map(|number| number.parse().unwrap_or(u64::MAX)).collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn versions_are_found_and_compared_as_numbers() {
        assert_eq!(first_version("go version go1.26.8 linux/amd64"), Some("1.26.8"));
        assert_eq!(first_version("Python 3.11.2"), Some("3.11.2"));
        assert_eq!(first_version("release 9"), Some("9"));
        assert_eq!(first_version("none"), None);
        assert!(parse_version("1.9") < parse_version("1.10"));
        assert!(parse_version("9") == parse_version("9.0"));
    }

    #[test]
    fn a_probe_tells_success_failure_and_absence_apart() {
        let here = Path::new("/");
        assert_eq!(output_of("echo 1.2", here).expect("echo works"), "1.2\n");
        assert_eq!(
            output_of("zillions-no-such-tool --version", here).unwrap_err(),
            missing("'zillions-no-such-tool --version': not installed")
        );
        assert_eq!(
            output_of("echo broken; false", here).unwrap_err(),
            missing("'echo broken; false' failed: broken")
        );
    }

    fn missing(reason: &str) -> ProbeError {
        ProbeError::Missing(reason.to_owned())
    }

    #[test]
    fn a_tool_that_is_there_and_does_not_work_is_not_missing() {
        let failed = ExitStatus::from_raw(1 << 8);
        let output = "error: could not choose a version of cargo to run\nhelp: run rustup\n\n\
            Stack backtrace:\n   0: main\n";
        assert_eq!(
            probe_error("cargo --version", failed, output.to_owned()),
            ProbeError::Unusable {
                reason:
                    "'cargo --version' failed: error: could not choose a version of cargo to run"
                        .to_owned(),
                output: output.to_owned(),
            }
        );
        let output = "Traceback (most recent call last):\n  File \"<string>\", line 1\n\
            ModuleNotFoundError: No module named 'ensurepip'\n";
        assert_eq!(
            probe_error("python3 -c 'import ensurepip'", failed, output.to_owned()),
            missing(
                "'python3 -c 'import ensurepip'' failed: ModuleNotFoundError: No module named \
                 'ensurepip'"
            )
        );
        let killed = ExitStatus::from_raw(9);
        assert!(matches!(
            probe_error("go version", killed, String::new()),
            ProbeError::Unusable { .. }
        ));
    }

    #[test]
    fn a_version_that_is_too_old_is_named() {
        let wanted =
            crate::manifest::AtLeast { probe: "echo tool 1.4".into(), at_least: "1.10".into() };
        let error = probe_one(&Requirement::AtLeast(wanted), Path::new("/")).unwrap_err();
        assert_eq!(error, missing("'echo tool 1.4' says 1.4, and 1.10 or later is needed"));
    }
}
