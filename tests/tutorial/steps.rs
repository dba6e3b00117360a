//! The programs of the tutorial, in a folder of their own as a reader has them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::chapter::{Language, folder};

/// Copies of all steps, compiled when they are needed.
pub(crate) struct Steps {
    folder: TempDir,
    compiled: Vec<OnceLock<()>>,
}

/// What a command ended with.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Steps {
    /// Copies the sources of `count` steps, numbered from 1.
    pub(crate) fn prepare(count: usize) -> Self {
        // Outside of the clone, so that no gallery is found above it.
        let copies = tempfile::tempdir().expect("a folder");
        for step in 1..=count {
            for source in [Language::Rust.source(step), Language::Python.source(step)] {
                let from = folder().join(&source);
                if from.exists() {
                    fs::copy(from, copies.path().join(&source)).expect("a copy");
                }
            }
        }
        Self { folder: copies, compiled: vec![OnceLock::new(); count + 1] }
    }

    /// The last step that there is in a language.
    pub(crate) fn last(&self, language: Language) -> usize {
        let is_there = |step: &usize| language.text(*step).is_some();
        (1..self.compiled.len()).take_while(is_there).last().expect("a first step")
    }

    /// Runs a command line of `zillions` in the folder; `None`, with the reason told, where a
    /// program that it names cannot run here.
    pub(crate) fn run(
        &self,
        command: &str,
        programs: impl IntoIterator<Item = (Language, usize)>,
    ) -> Option<Ended> {
        for (language, step) in programs {
            match language {
                Language::Rust => self.compile(step),
                Language::Python if !has_python() => return None,
                Language::Python => {}
            }
        }
        let arguments = command.strip_prefix("zillions ").expect("a command of zillions");
        let output = Command::new(env!("CARGO_BIN_EXE_zillions"))
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("zillions runs");
        Some(Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn compile(&self, step: usize) {
        let compiled = self.compiled.get(step).expect("a step of the tutorial");
        compiled.get_or_init(|| compile(self.folder.path(), &Language::Rust.source(step)));
    }
}

/// As the chapters say, and without a warning.
fn compile(folder: &Path, source: &str) {
    let output = Command::new("rustc")
        .args(["--edition", "2024", "-D", "warnings", source])
        .current_dir(folder)
        .output()
        .expect("rustc is on PATH");
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether Python's steps can run here. Where CI is true they must.
fn has_python() -> bool {
    let version = Command::new("python3").arg("--version").output();
    let is_there = version.is_ok_and(|it| it.status.success());
    if !is_there {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI without python3");
        eprintln!("skipped: python3 is not on PATH; install it to run these steps");
    }
    is_there
}
