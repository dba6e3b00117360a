//! Probes: what a tool says of itself, asked once.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use zillions_escape::visible_lines;

use super::{Toolchain, install_command, shell};
use crate::group::Group;
use crate::machine_fault::MachineFault;
use crate::manifest::{Entry, Requirement};

/// A probe that takes longer is taken for a failure.
const PROBE_SECONDS_MAX: f64 = 30.0;
/// How much of a probe's output is looked at.
const PROBE_OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// Files by which a folder chooses another version of a tool than the rest of the machine has.
const VERSION_FILES: [&str; 7] = [
    "rust-toolchain",
    "rust-toolchain.toml",
    ".tool-versions",
    "mise.toml",
    ".python-version",
    ".ruby-version",
    ".node-version",
];

type Output = Result<String, ProbeError>;
/// A command, with the folder if that matters.
type Question = (String, Option<PathBuf>);

/// Runs entries' probes, each command once: most of a gallery's entries share a few tools, and
/// some of these take a second to say their version. An entry whose folder has a file that chooses
/// a tool's version is asked by itself.
///
/// It is for one command of a user: what is installed later is not noticed.
#[derive(Debug, Default)]
pub struct Probes {
    /// The first one to ask runs the command, others wait for what it says.
    outputs: Mutex<HashMap<Question, Arc<OnceLock<Output>>>>,
}

impl Probes {
    /// Runs the probes of `entry`, as far as nobody has run them.
    pub fn run(&self, entry: &Entry) -> Toolchain {
        let mut versions = Vec::new();
        for requirement in &entry.manifest.requires {
            match self.version(requirement, &entry.directory) {
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

    /// The line with the version that is required, if it is there.
    fn version(&self, requirement: &Requirement, directory: &Path) -> Output {
        let (command, at_least) = match requirement {
            Requirement::Probe(command) => (command, None),
            Requirement::AtLeast(wanted) => (&wanted.probe, Some(&wanted.at_least)),
        };
        let output = self.output(command, directory)?;
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

    fn output(&self, command: &str, directory: &Path) -> Output {
        let chooses = VERSION_FILES.iter().any(|name| directory.join(name).exists());
        let key = (command.to_owned(), chooses.then(|| directory.to_owned()));
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let output = Arc::clone(outputs.entry(key).or_default());
        drop(outputs);
        output.get_or_init(|| output_of(command, directory)).clone()
    }
}

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ProbeError {
    Missing(String),
    Unusable { reason: String, output: String },
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
    use std::fs;
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
        let error =
            Probes::default().version(&Requirement::AtLeast(wanted), Path::new("/")).unwrap_err();
        assert_eq!(error, missing("'echo tool 1.4' says 1.4, and 1.10 or later is needed"));
    }

    #[test]
    fn a_command_runs_once_but_again_where_a_folder_chooses_its_version() {
        let [plain, other, choosing] = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        fs::write(choosing.path().join(".tool-versions"), "tool 2").expect("a file");
        let count = plain.path().join("count");
        let command = format!("echo 1.0; echo >> {}", count.display());
        let probes = Probes::default();
        for folder in [&plain, &other, &choosing, &plain, &choosing] {
            assert_eq!(probes.output(&command, folder.path()).expect("it works"), "1.0\n");
        }
        assert_eq!(fs::read_to_string(count).expect("it ran").len(), 2);
    }
}
