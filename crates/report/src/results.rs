//! A results folder: `run.json` and the files in `trials/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::record::{Role, RunRecord, SCHEMA, TrialRecord, TrialResult, YardstickRecord};

/// The file that a results folder is known by.
pub const RUN_FILE: &str = "run.json";
/// The folder of the trials' files, in the results folder.
pub const TRIALS_FOLDER: &str = "trials";
/// The report's file, in the results folder.
pub const REPORT_FILE: &str = "report.html";

/// Everything that was recorded of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// What was to be measured, where, and by what.
    pub run: RunRecord,
    /// The trials there are, in the order in which they ran; fewer than planned if the run was
    /// interrupted.
    pub trials: Vec<TrialRecord>,
}

/// Results that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file or folder cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no `run.json`.
    #[error(
        "'{}' is not a results folder: it has no {RUN_FILE} (name a folder that 'zillions bench' wrote)",
        path.display()
    )]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is not JSON, ends early, or lacks a key.
    #[error(
        "'{}', line {line}, column {column}: {what}; the file is damaged: \
         delete it if it is a trial, otherwise measure again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// A file of another version of this schema, or of something else.
    #[error(
        "'{}' is in the format '{found}', but this version of zillions reads '{SCHEMA}': \
         use the version that wrote it, or measure again",
        path.display()
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The schema it names.
        found: String,
    },
    /// A trial of something that `run.json` does not list.
    #[error("'{}' is a trial of the {kind} '{name}', which {RUN_FILE} does not list", path.display())]
    UnknownName {
        /// The file.
        path: PathBuf,
        /// Scenario, target or yardstick.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

impl Results {
    /// Reads the results in `folder`.
    ///
    /// # Errors
    ///
    /// [`ResultsError`] names the file, the place in it, and what to do.
    pub fn read(folder: &Path) -> Result<Self, ResultsError> {
        let (results, damaged) = Self::read_undamaged(folder)?;
        damaged.into_iter().next().map_or(Ok(results), Err)
    }

    /// Reads the results in `folder` without the trials whose files are damaged, and what is wrong
    /// with those: a run that is resumed measures them again.
    ///
    /// # Errors
    ///
    /// [`ResultsError`], if anything else is wrong.
    pub fn read_undamaged(folder: &Path) -> Result<(Self, Vec<ResultsError>), ResultsError> {
        let run_path = folder.join(RUN_FILE);
        if !run_path.is_file() {
            return Err(ResultsError::NoRun { path: folder.to_owned() });
        }
        let run: RunRecord = read_record(&run_path)?;
        let (mut trials, mut damaged) = (Vec::new(), Vec::new());
        for path in trial_paths(&folder.join(TRIALS_FOLDER))? {
            let read = read_record(&path).and_then(|trial: TrialRecord| {
                check_trial(&run, &trial, &path)?;
                Ok(trial)
            });
            match read {
                Ok(trial) => trials.push(trial),
                Err(error @ ResultsError::Damaged { .. }) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        trials.sort_by_key(|trial| trial.order);
        Ok((Self { run, trials }, damaged))
    }
}

fn trial_paths(folder: &Path) -> Result<Vec<PathBuf>, ResultsError> {
    let unreadable = |source| ResultsError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        // A run that was interrupted before its first trial had ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_record<T: DeserializeOwned>(path: &Path) -> Result<T, ResultsError> {
    /// What a file of any version has.
    #[derive(Deserialize)]
    struct Header {
        schema: String,
    }

    let text = fs::read_to_string(path)
        .map_err(|source| ResultsError::Read { path: path.to_owned(), source })?;
    let damaged = |error: serde_json::Error| ResultsError::Damaged {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
        what: without_place(&error),
    };
    let header: Header = serde_json::from_str(&text).map_err(damaged)?;
    if header.schema != SCHEMA {
        return Err(ResultsError::OtherSchema { path: path.to_owned(), found: header.schema });
    }
    serde_json::from_str(&text).map_err(damaged)
}

/// The error's words without "at line 1 column 2", which the caller says in its own place.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn check_trial(run: &RunRecord, trial: &TrialRecord, path: &Path) -> Result<(), ResultsError> {
    let unknown = |kind, name: &str| ResultsError::UnknownName {
        path: path.to_owned(),
        kind,
        name: name.to_owned(),
    };
    if !run.scenarios.iter().any(|scenario| scenario.name == trial.scenario) {
        return Err(unknown("scenario", &trial.scenario));
    }
    if trial.role == Role::Yardstick {
        let is_it =
            |it: &YardstickRecord| it.scenario == trial.scenario && it.kind.name() == trial.target;
        if !run.yardsticks.iter().any(is_it) {
            return Err(unknown("yardstick", &trial.target));
        }
    } else if !run.targets.iter().any(|target| target.name == trial.target) {
        return Err(unknown("target", &trial.target));
    }
    if let TrialResult::Measured(figures) = &trial.result {
        let histograms = [
            figures.latency.histogram(),
            figures.service.histogram(),
            figures.last_receiver.histogram(),
            figures.schedule_lag.histogram(),
        ];
        for histogram in histograms {
            histogram.map_err(|error| ResultsError::Damaged {
                path: path.to_owned(),
                line: 1,
                column: 1,
                what: error.to_string(),
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    /// A folder with the example run, in which `change` may spoil something.
    fn error_after(change: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        examples::write(&examples::results(), folder.path()).unwrap();
        change(folder.path());
        let error = Results::read(folder.path()).unwrap_err().to_string();
        assert!(!error.contains('\n'), "one line: {error}");
        error.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = examples::results();
        // A number that a parser which rounds in between reads as another one.
        written.trials[0].offered_rate = Some(423.209_170_871_272_7);
        examples::write(&written, folder.path()).unwrap();
        assert_eq!(Results::read(folder.path()).unwrap(), written);
    }

    #[test]
    fn an_interrupted_run_is_read_as_far_as_it_got() {
        let folder = tempfile::tempdir().unwrap();
        let written = examples::results();
        examples::write(&written, folder.path()).unwrap();
        fs::remove_dir_all(folder.path().join(TRIALS_FOLDER)).unwrap();
        let read = Results::read(folder.path()).unwrap();
        assert_eq!((read.run, read.trials), (written.run, Vec::new()));
    }

    #[test]
    fn another_folder_is_refused_with_what_to_name_instead() {
        let error = error_after(|folder| fs::remove_file(folder.join(RUN_FILE)).unwrap());
        assert_eq!(
            error,
            "'DIR' is not a results folder: it has no run.json \
             (name a folder that 'zillions bench' wrote)"
        );
    }

    #[test]
    fn a_truncated_file_is_refused_with_its_place() {
        let error = error_after(|folder| {
            let path = folder.join(RUN_FILE);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, &text[..text.len() / 2]).unwrap();
        });
        assert!(error.starts_with("'DIR/run.json', line "), "{error}");
        assert!(error.contains("EOF while parsing"), "{error}");
        assert!(error.contains("measure again"), "{error}");
    }

    #[test]
    fn a_damaged_trial_is_left_out_and_named_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = examples::results();
        examples::write(&written, folder.path()).unwrap();
        let path = trial_paths(&folder.path().join(TRIALS_FOLDER)).unwrap().remove(0);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        let (read, damaged) = Results::read_undamaged(folder.path()).unwrap();
        written.trials.remove(0);
        assert_eq!(read, written);
        assert_eq!(damaged.len(), 1);
        assert!(damaged[0].to_string().contains("0000.json', line "), "{}", damaged[0]);
    }

    #[test]
    fn another_version_is_refused_with_both_versions() {
        let error = error_after(|folder| {
            let path = folder.join(RUN_FILE);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace(SCHEMA, "zillions.results/9")).unwrap();
        });
        assert!(error.contains("'zillions.results/9'") && error.contains("'zillions.results/3'"));
    }

    #[test]
    fn a_damaged_histogram_and_an_unlisted_trial_are_refused() {
        let spoil = |from: &'static str, to: &'static str| {
            error_after(move |folder| {
                let trials = folder.join(TRIALS_FOLDER);
                let path = trial_paths(&trials).unwrap().remove(0);
                let text = fs::read_to_string(&path).unwrap();
                assert!(text.contains(from), "{text}");
                fs::write(&path, text.replace(from, to)).unwrap();
            })
        };
        assert!(spoil("\"hdr\": \"HIST", "\"hdr\": \"LIST").contains("histogram is damaged"));
        let error = spoil("\"target\": \"", "\"target\": \"un");
        assert!(error.contains("which run.json does not list"), "{error}");
    }
}
