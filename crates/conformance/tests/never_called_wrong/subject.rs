//! The servers: slow and correct.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Failed;
use serde::Deserialize;
use zillions_conformance::Target;
use zillions_faulty::Oddity;
use zillions_harness::Launch;

/// A server, and how it is started.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// One of `crates/faulty`.
    Slow(Oddity),
    /// One of `tests/outside`.
    Outside(Outside),
}

/// A row of `tests/outside/servers.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outside {
    name: String,
    /// The program and its arguments, run in that folder.
    command: Vec<String>,
    /// What makes the program of it, if anything.
    build: Option<Vec<String>>,
    /// The program that shows that its language is installed.
    requires: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Servers {
    server: Vec<Outside>,
}

impl Subject {
    pub(crate) fn all() -> Vec<Self> {
        let text = std::fs::read_to_string(folder().join("servers.toml"))
            .expect("the list of outside servers");
        let outside: Servers = toml::from_str(&text).expect("a list of servers");
        let slow = Oddity::slow().into_iter().map(Self::Slow);
        slow.chain(outside.server.into_iter().map(Self::Outside)).collect()
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Slow(oddity) => oddity.name,
            Self::Outside(outside) => &outside.name,
        }
    }

    /// The server as a target; `None` where its language is not installed.
    pub(crate) fn target(&self) -> Result<Option<Target>, Failed> {
        let launch = match self {
            Self::Slow(oddity) => {
                let mut launch = Launch::executable(std::env::current_exe()?)?;
                launch.arguments.push(crate::SERVE.into());
                launch.arguments.extend(oddity.knobs.arguments());
                launch
            }
            Self::Outside(outside) => match outside.launch()? {
                Some(launch) => launch,
                None => return Ok(None),
            },
        };
        Ok(Some(Target::launch(self.name(), launch)))
    }
}

impl Outside {
    fn launch(&self) -> Result<Option<Launch>, Failed> {
        let (program, arguments) =
            self.command.split_first().ok_or("a command without a program")?;
        if on_path(&self.requires).is_none() {
            return Ok(None);
        }
        if let Some(build) = &self.build {
            run(build)?;
        }
        let mut launch = Launch::executable(found(program)?)?;
        launch.arguments = arguments.iter().map(Into::into).collect();
        launch.directory = Some(folder());
        Ok(Some(launch))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/outside")
}

/// Where a program is: a name on the search path, or a file below the folder.
fn found(program: &str) -> Result<PathBuf, Failed> {
    if program.contains('/') {
        return Ok(folder().join(program));
    }
    on_path(program).ok_or_else(|| format!("'{program}' is not installed").into())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn run(build: &[String]) -> Result<(), Failed> {
    std::fs::create_dir_all(folder().join("../../target/outside"))?;
    let built = Command::new(&build[0])
        .args(&build[1..])
        .current_dir(folder())
        .stdin(Stdio::null())
        .output()?;
    if built.status.success() {
        return Ok(());
    }
    Err(format!("{build:?} failed:\n{}", String::from_utf8_lossy(&built.stderr)).into())
}
