//! `compare`, and `report` of several runs: recorded results, made up here.

use std::fs;

use zillions_report::examples;
use zillions_report::record::{Measurement, TrialResult};
use zillions_report::results::Results;

use crate::support::{Ended, ZILLIONS, run};

/// Two results folders.
struct Runs {
    folder: tempfile::TempDir,
}

impl Runs {
    fn new(base: &Results, new: &Results) -> Self {
        let runs = Self { folder: tempfile::tempdir().expect("a folder") };
        for (name, results) in [("base", base), ("new", new)] {
            fs::create_dir(runs.folder.path().join(name)).expect("a folder");
            examples::write(results, &runs.folder.path().join(name)).expect("results");
        }
        runs
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn compare(&self, options: &[&str]) -> Ended {
        let (base, new) = (self.path("base"), self.path("new"));
        let mut arguments = vec!["compare", &base, &new];
        arguments.extend_from_slice(options);
        run(ZILLIONS, &arguments)
    }
}

fn changed(change: impl Fn(&mut Measurement)) -> Results {
    let mut results = examples::results();
    for trial in &mut results.trials {
        if let TrialResult::Measured(figures) = &mut trial.result {
            change(figures);
        }
    }
    results
}

pub(crate) fn equal_runs_compare_as_equal_and_exit_with_0() {
    let runs = Runs::new(&examples::results(), &examples::results());
    let ended = runs.compare(&[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("0 figures worse, 0 better, "), "{}", ended.stdout);
}

pub(crate) fn a_clear_regression_exits_with_1_in_every_format() {
    let runs = Runs::new(
        &examples::results(),
        &changed(|figures| figures.server.as_mut().unwrap().cpu_seconds *= 1.5),
    );
    let human = runs.compare(&[]);
    assert_eq!((human.code, human.stderr.as_str()), (1, ""));
    assert!(human.stdout.contains("worse") && human.stdout.contains("× 1.50"), "{}", human.stdout);

    let markdown = runs.compare(&["--format", "markdown"]);
    assert_eq!(markdown.code, 1);
    assert!(markdown.stdout.starts_with("### Clearly worse\n"), "{}", markdown.stdout);

    let json = runs.compare(&["--format", "json"]);
    assert_eq!(json.code, 1);
    let comparison: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(comparison["schema"], "zillions.compare/3");
    assert_eq!(comparison["verdict"], "regression");

    assert_eq!(runs.compare(&["--threshold", "60"]).code, 0);
}

pub(crate) fn a_noisy_run_exits_with_2_because_nothing_was_compared() {
    let noisy = changed(|figures| figures.others_cpu_share = Some(0.5));
    let ended = Runs::new(&examples::results(), &noisy).compare(&[]);
    assert_eq!(ended.code, 2, "{}", ended.stdout);
    assert!(ended.line().contains("nothing could be compared"), "{}", ended.line());
}

pub(crate) fn another_machine_is_refused_in_one_line() {
    let mut other = examples::results();
    other.run.machine.cpus = 64;
    let ended = Runs::new(&examples::results(), &other).compare(&[]);
    assert_eq!(ended.code, 64);
    assert!(ended.line().contains("2 processors → 64 processors"), "{}", ended.line());
}

pub(crate) fn another_version_a_truncated_file_and_no_results_are_one_line_and_exit_code_64() {
    let runs = Runs::new(&examples::results(), &examples::results());
    let file = runs.folder.path().join("new/run.json");
    let whole = fs::read_to_string(&file).expect("run.json");
    let line = |text: &str| {
        fs::write(&file, text).expect("run.json");
        let ended = runs.compare(&[]);
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        ended.line().to_owned()
    };
    let newer = line(&whole.replacen("zillions.results/", "zillions.results/9", 1));
    assert!(newer.contains("run.json' is in the format 'zillions.results/9"), "{newer}");
    let cut = line(&whole[..whole.len() / 3]);
    assert!(cut.contains("run.json', line ") && cut.contains("EOF while parsing"), "{cut}");

    let trial = runs.folder.path().join("base/trials/0003.json");
    fs::write(&file, &whole).expect("run.json");
    fs::write(&trial, &fs::read(&trial).expect("a trial")[..200]).expect("a trial");
    let ended = runs.compare(&[]);
    assert_eq!(ended.code, 64);
    assert!(ended.line().contains("trials/0003.json', line "), "{}", ended.line());

    fs::remove_file(&file).expect("run.json");
    let missing = run(ZILLIONS, &["compare", &runs.path("new"), &runs.path("new")]);
    assert_eq!(missing.code, 64);
    assert!(missing.line().contains("is not a results folder"), "{}", missing.line());
}

pub(crate) fn a_threshold_that_is_no_percentage_is_refused_with_an_example() {
    let runs = Runs::new(&examples::results(), &examples::results());
    for threshold in ["-1", "a lot", "NaN", "2000"] {
        let option = format!("--threshold={threshold}");
        let ended = runs.compare(&[&option]);
        assert_eq!(ended.code, 64, "{threshold}");
        assert!(ended.stderr.contains("from 0 to 1000, for example 5"), "{}", ended.stderr);
    }
}

pub(crate) fn several_runs_make_one_report_that_names_them() {
    let mut second = examples::results();
    second.run.started = "2026-11-23T12:00:00Z".to_owned();
    let runs = Runs::new(&examples::results(), &second);
    let (base, new, out) = (runs.path("base"), runs.path("new"), runs.path("both.html"));
    let ended = run(ZILLIONS, &["report", &base, &new, "--out", &out]);
    assert_eq!((ended.code, ended.stdout.trim_end()), (0, out.as_str()), "{}", ended.stderr);
    let page = fs::read_to_string(&out).expect("a report");
    assert!(page.contains(&base) && page.contains(&new), "it names both folders");
    assert!(!runs.folder.path().join("base/report.html").exists());

    let one = run(ZILLIONS, &["report", &base]);
    assert_eq!((one.code, one.stdout.trim_end()), (0, format!("{base}/report.html").as_str()));
}

pub(crate) fn runs_of_other_machines_and_one_run_twice_make_no_report() {
    let mut other = examples::results();
    other.run.machine.cpu_model = "Another processor".to_owned();
    let runs = Runs::new(&examples::results(), &other);
    let (base, new, out) = (runs.path("base"), runs.path("new"), runs.path("both.html"));
    let mixed = run(ZILLIONS, &["report", &base, &new, "--out", &out]);
    assert_eq!(mixed.code, 64);
    assert!(mixed.line().contains("was measured on another machine"), "{}", mixed.line());
    let twice = run(ZILLIONS, &["report", &base, &base, "--out", &out]);
    assert_eq!(twice.code, 64);
    assert!(twice.line().contains("is the same run as"), "{}", twice.line());
    assert!(!runs.folder.path().join("both.html").exists());

    let nowhere = run(ZILLIONS, &["report", &base, "--out", "/dev/null/report.html"]);
    assert_eq!(nowhere.code, 70);
    assert!(nowhere.line().contains("cannot write '/dev/null/report.html'"), "{}", nowhere.line());
}
