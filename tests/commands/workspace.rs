//! A folder with a small scenario, in which runs of `bench` leave their results.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use zillions_bench::{Access, Gate, Options, Scenario, Target, WireFormat};
use zillions_harness::Launch;
use zillions_report::record::{TargetRecord, ToolRecord, TrialResult};
use zillions_report::results::Results;

use crate::support::{Ended, Script, ZILLIONS, ended, interruptible};

/// A trial of well under a second.
pub(crate) const SMALL: &str = r#"
question = "Does it work?"
rank_by = "latency"
default = false
clients = 4
senders = 2
load = "fixed-rate"
messages_per_second = 500
body_bytes = [20, 64]
warm_up_seconds = 0.05
measure_seconds = 0.2
late_after_ms = 100
repeats = 1
"#;

/// A folder with the small scenario in it; results go beside it.
pub(crate) struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("small.toml"), SMALL).expect("a scenario");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn results(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(crate) fn bench(&self, server: &Script, options: &[&str]) -> Ended {
        let (name, scenario, out) = (server.name(), self.path("small.toml"), self.path("out"));
        let mut arguments = vec!["bench", &name, "--scenario", &scenario, "--out", &out];
        arguments.extend_from_slice(options);
        self.run(&arguments)
    }

    /// Runs `zillions`, with a cache of its own.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command().args(arguments).output().expect("the command runs"))
    }

    /// `zillions`, with a cache of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = interruptible(ZILLIONS);
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command
    }

    /// Writes a scenario and gives its path.
    pub(crate) fn scenario(&self, name: &str, text: &str) -> String {
        fs::write(self.folder.path().join(name), text).expect("a scenario");
        self.path(name)
    }

    /// One trial without a check before it.
    pub(crate) fn trial(&self, server: &Script, scenario: &str) -> TrialResult {
        let launch = Launch::executable(&server.path).expect("an executable");
        let record = TargetRecord {
            name: "server".to_owned(),
            command: launch.command(),
            ..TargetRecord::default()
        };
        let options = Options {
            budget: None,
            scenarios: vec![
                Scenario::parse("small", "small.toml", scenario).unwrap().record(false),
            ],
            seed: 1,
            pin: true,
            load_threads: 1,
            folder: self.results(),
            command_line: Vec::new(),
            tool: ToolRecord::default(),
            idle: None,
            yardsticks: None,
            remote: None,
            resume: None,
        };
        let access = Some(Access::Launch(launch));
        let targets = vec![Target { record, access, wire: WireFormat::Zillions }];
        let results = zillions_bench::run(targets, &options, |_| Gate::default(), |_| {}).unwrap();
        assert_eq!(Results::read(&self.results()).unwrap(), results, "the files say the same");
        results.trials.into_iter().next().expect("one trial").result
    }
}
