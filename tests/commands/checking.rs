//! `zillions check` and `zillions verify`: verdicts, exit codes, wrong input.

use std::fs;

use crate::support::{Ended, Script, ZILLIONS, processes_mentioning, run};

fn check(script: &Script, options: &[&str]) -> Ended {
    let name = script.name();
    let ended = run(ZILLIONS, &[&["check", &name], options].concat());
    assert_eq!(processes_mentioning(&name), 0, "nothing is left running");
    ended
}

pub(crate) fn a_correct_server_passes() {
    let script = Script::server("");
    let ended = check(&script, &["--quick", "--strict"]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(": pass ("), "{}", ended.stdout);
}

pub(crate) fn json_has_the_published_form() {
    let script = Script::server("");
    let ended = check(&script, &["--quick", "--case", "frame/*", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["schema"], "zillions.check/2");
    let target = &report["targets"][0];
    assert_eq!(target["verdict"], "pass");
    assert_eq!(target["name"], script.name());
    for case in target["cases"].as_array().expect("cases") {
        assert!(case["id"].as_str().is_some_and(|id| id.starts_with("frame/")));
        assert!(case["clause"].as_str().is_some_and(|clause| clause.starts_with("FRAME-")));
        assert_eq!(case["verdict"], "pass");
    }
}

pub(crate) fn a_broken_clause_is_quoted_and_exits_with_1() {
    let script = Script::server("--fault zero-skipped");
    let ended = check(&script, &["--case", "FRAME-3"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(
        ended.stdout.contains(
            "FRAME-3: An empty message (the single byte `00`) is a message like any other."
        ),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("zillions check "), "how to run it again: {}", ended.stdout);
}

pub(crate) fn a_should_that_is_not_met_fails_only_when_strict() {
    let script = Script::server("--fault ipv4-only");
    let options = ["--case", "START-8"];
    assert_eq!(check(&script, &options).code, 0);
    assert_eq!(check(&script, &[&options[..], &["--strict"]].concat()).code, 1);
}

pub(crate) fn with_fail_fast_the_first_failure_ends_the_run() {
    let (faulty, correct) = (Script::server("--fault zero-skipped"), Script::server(""));
    let (first, then) = (faulty.name(), correct.name());
    let options = ["--case", "FRAME-[123]", "--fail-fast", "--jobs", "1", "--format", "json"];
    let ended = run(ZILLIONS, &[&["check", &first, &then], &options[..]].concat());
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let targets = report["targets"].as_array().expect("targets");
    assert_eq!(targets.len(), 1, "the second one is not checked");
    let cases = targets[0]["cases"].as_array().expect("cases");
    let ended_so = |verdict| cases.iter().filter(|case| case["verdict"] == verdict).count();
    assert_eq!(ended_so("fail"), 1, "{cases:?}");
    assert!(ended_so("skip") > 0, "{cases:?}");
    let told = format!("not checked {then}: one has failed before (--fail-fast)\n");
    assert!(ended.stderr.ends_with(&told), "{}", ended.stderr);

    let ended = run(ZILLIONS, &[&["check", &then, &first], &options[..]].concat());
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((ended.code, report["targets"].as_array().map(Vec::len)), (1, Some(2)));
    assert_eq!(report["targets"][0]["verdict"], "pass");
}

pub(crate) fn of_several_targets_a_log_says_which_is_checked_and_what_is_left() {
    let scripts = [Script::server(""), Script::server("")];
    let [first, then] = scripts.each_ref().map(Script::name);
    let ended = run(ZILLIONS, &["check", &first, &then, "--case", "FRAME-3"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let [begins, ends, begins_too, ends_too] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(begins, format!("checking {first} (1 of 2)"));
    assert!(ends.starts_with(&format!("{first}: pass in ")), "{ends}");
    assert!(ends.ends_with(&format!(" s; 1 left: {then}")), "{ends}");
    assert_eq!(begins_too, format!("checking {then} (2 of 2)"));
    assert!(ends_too.ends_with(" s; none left"), "{ends_too}");
}

pub(crate) fn a_known_failure_does_not_count_and_one_that_passes_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("expect.toml");
    let list = run(ZILLIONS, &["check", "--list", "--case", "FRAME-3", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).expect("JSON");
    let text: String = list["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .map(|case| format!("[[known_failure]]\ncase = {}\nreason = 'a test'\n", case["id"]))
        .collect();
    fs::write(&path, text).expect("expectations");
    let expect = path.display().to_string();
    let options = ["--case", "FRAME-3", "--expect", &expect];
    let faulty = check(&Script::server("--fault zero-skipped"), &options);
    assert_eq!(faulty.code, 0, "{}", faulty.stdout);
    let correct = check(&Script::server(""), &options);
    assert_eq!(correct.code, 70, "{}", correct.stdout);
    assert!(correct.stdout.contains("remove the entry"), "{}", correct.stdout);
}

pub(crate) fn a_server_that_does_not_start_fails_and_is_quoted() {
    let script = Script::new("echo 'out of luck' >&2; exit 9");
    let ended = check(&script, &["--quick"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stdout.contains("out of luck"), "{}", ended.stdout);
}

pub(crate) fn wrong_input_is_a_usage_error_with_one_line() {
    let script = Script::server("");
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("expect.toml");
    fs::write(&broken, "known_failure = 3\n").expect("a file");
    let broken = broken.display().to_string();
    for (arguments, expected) in [
        (&["check", "./no/such/server"][..], "no executable at './no/such/server'"),
        (&["check", "no-such-entry"], "no implementation is called 'no-such-entry'"),
        (&["check", &script.name(), "--case", "no/such"], "no/such"),
        (
            &["check", &script.name(), "--expect", "./none.toml"],
            "cannot read the expectations './none.toml'",
        ),
        (&["check", &script.name(), "--expect", &broken], "invalid expectations file"),
        (&["check", "--connect", "nowhere"], "invalid address 'nowhere'"),
        (&["verify", "./none.history"], "cannot read the history './none.history'"),
        (&["verify", "./Cargo.toml"], "cannot load './Cargo.toml': not a history (byte 0)"),
    ] {
        let ended = run(ZILLIONS, arguments);
        assert_eq!(ended.code, 64, "{arguments:?}: {}", ended.stderr);
        assert!(ended.line().contains(expected), "{arguments:?}: {}", ended.line());
    }
}

pub(crate) fn a_running_server_that_does_not_run_is_told_in_one_line() {
    let script = Script::server("");
    let address = script.address();
    let ended = run(ZILLIONS, &["check", "--connect", &address]);
    assert_eq!((ended.code, &*ended.stdout), (70, ""), "{}", ended.stderr);
    let expected = format!(
        "zillions: error: no server can be reached at {address}: connection refused; start it first"
    );
    assert_eq!(ended.line(), expected);
}

pub(crate) fn labelled_histories_are_judged_as_labelled() {
    let folder = format!("{}/crates/ordering/tests/histories", env!("CARGO_MANIFEST_DIR"));
    let mut judged = 0;
    for kind in fs::read_dir(&folder).expect("labelled histories") {
        let kind = kind.expect("a folder").path();
        let expected = i32::from(!kind.ends_with("good"));
        for file in fs::read_dir(&kind).expect("histories") {
            let file = file.expect("a history").path().display().to_string();
            let ended = run(ZILLIONS, &["verify", &file]);
            assert_eq!(ended.code, expected, "{file}: {}{}", ended.stdout, ended.stderr);
            judged += 1;
        }
    }
    assert!(judged >= 25, "{judged} histories");
}
