//! `zillions list`, `build`, `doctor`, `completions`, `man`: on galleries made
//! for the test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Ended, ZILLIONS, ended, processes_mentioning, run};

const MANIFEST: &str = r#"
summary = "A test"
language = "Shell"
style = "CSP"
library = "none"
url = "https://example.org"
sources = ["server"]
build = "BUILD"
requires = [REQUIRES]
apt = ["no-such-package"]
run = ["./server"]
slow_reader = "drop-newest"
queue_limit = 5
"#;

struct Gallery {
    folder: tempfile::TempDir,
}

impl Gallery {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("impls")).expect("a gallery");
        Self { folder }
    }

    fn add(&self, name: &str, build: &str, requires: &str) {
        self.add_requiring(name, build, &format!("\"{requires}\""));
    }

    /// `requires` in the form of a manifest.
    fn add_requiring(&self, name: &str, build: &str, requires: &str) {
        let entry = self.folder.path().join("impls").join(name);
        fs::create_dir(&entry).expect("an entry");
        fs::write(entry.join("server"), "").expect("a source");
        let manifest = MANIFEST.replace("BUILD", build).replace("REQUIRES", requires);
        fs::write(entry.join("impl.toml"), manifest.trim_start()).expect("a manifest");
    }

    /// Changes one place of an entry's manifest.
    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.folder.path().join("impls").join(name).join("impl.toml");
        let text = fs::read_to_string(&path).expect("the manifest");
        assert_eq!(text.matches(from).count(), 1, "'{from}' stands once in the manifest");
        fs::write(&path, text.replace(from, to)).expect("a changed manifest");
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().expect("zillions runs"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let impls = self.folder.path().join("impls").display().to_string();
        let mut command = Command::new(ZILLIONS);
        command.args(["--impls", &impls]).args(arguments);
        // What is remembered here stays here.
        command.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command
    }

    /// What a command prints with `--format json`.
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ended = self.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).expect("JSON")
    }

    fn strip(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "")
    }
}

pub(crate) fn the_list_shows_what_is_missing_and_what_installs_it() {
    let gallery = Gallery::new();
    gallery.add("here", "true", "true");
    gallery.edit("here", "no-such-package", "not-needed");
    gallery.add("away", "true", "no-such-tool --version");
    gallery.add("far", "true", "no-such-tool --version");
    gallery.edit("far", "\"no-such-package\"", "\"no-such-package\", \"another\"");
    let ended = gallery.run(&["list"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for expected in [
        "missing: 'no-such-tool --version': not installed",
        "3 implementations, 1 language, 1 style; 1 can be built here, 2 cannot: away, far\n",
        "as root: apt-get install --no-install-recommends another no-such-package\n",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
    let json = gallery.json(&["list"]);
    assert_eq!(json["schema"], "zillions.list/1");
    assert_eq!(json["install"], "apt-get install --no-install-recommends another no-such-package");
    assert_eq!(json["entries"][0]["toolchain"]["state"], "missing");
    assert_eq!(json["entries"][2]["name"], "here");
    assert_eq!(json["entries"][2]["toolchain"]["state"], "present");
    let complete = gallery.json(&["list", "here"]);
    assert_eq!(complete["install"], serde_json::Value::Null);
}

pub(crate) fn entries_are_selected_by_what_they_are_and_a_filter_that_nothing_matches_is_an_error()
{
    let gallery = Gallery::new();
    for (name, style) in [("loop", "readiness loop"), ("mills", "CSP"), ("routines", "CSP")] {
        gallery.add(name, "chmod +x server", "true");
        let line = format!("style = \"{style}\"\ntags = [\"one-thread\"]");
        gallery.edit(name, "style = \"CSP\"", &line);
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let json = gallery.json(arguments);
        let entries = json["entries"].as_array().expect("entries");
        entries.iter().map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&["list", "--style", "csp"]), ["mills", "routines"]);
    assert_eq!(names(&["list", "--tag", "one-*", "!r*"]), ["loop", "mills"]);
    assert_eq!(names(&["build", "loop", "--style", "CSP"]), ["loop", "mills", "routines"]);
    for command in ["list", "build", "check", "bench"] {
        let ended = gallery.run(&[command, "--style", "CPS"]);
        assert_eq!(ended.code, 64, "{command}");
        assert!(ended.line().contains("no entry matches --style 'CPS': known are"), "{command}");
    }
    assert!(!gallery.folder.path().join("results").exists(), "no empty folder of results");
    let markdown = gallery.run(&["list", "--format", "markdown"]).stdout;
    assert!(markdown.starts_with("| style | name |"), "{markdown}");
    assert!(markdown.contains("\n| CSP | [mills](impls/mills) | Shell |"), "{markdown}");
}

pub(crate) fn versions_are_shown_and_one_that_is_too_old_is_as_good_as_none() {
    let gallery = Gallery::new();
    let probe = "{ probe = \"echo tool 1.9\", at_least = \"LEAST\" }";
    gallery.add_requiring("new", "chmod +x server", &probe.replace("LEAST", "1.9.0"));
    gallery.add_requiring("old", "true", &probe.replace("LEAST", "1.10"));
    let mute = "{ probe = \"echo none\", at_least = \"1\" }";
    gallery.add_requiring("mute", "true", mute);
    let json = gallery.json(&["list"]);
    let toolchains = json["entries"].as_array().expect("entries").iter().map(|it| &it["toolchain"]);
    let [mute, new, old] = toolchains.collect::<Vec<_>>()[..] else { panic!("three: {json}") };
    assert_eq!(new["versions"][0], "tool 1.9");
    assert_eq!(old["reason"], "'echo tool 1.9' says 1.9, and 1.10 or later is needed");
    assert_eq!(mute["reason"], "'echo none' printed no version: \"none\"");
    let built = gallery.json(&["build"]);
    assert_eq!(built["entries"][1]["versions"][0], "tool 1.9");
    let human = gallery.run(&["build"]);
    assert_eq!(human.code, 0, "{}", human.stderr);
    let expected = "skipped old: 'echo tool 1.9' says 1.9, and 1.10 or later is needed; install it: apt-get install";
    assert!(human.stdout.contains(expected), "{}", human.stdout);
}

pub(crate) fn a_build_that_fails_shows_the_end_of_its_log_and_the_others_go_on() {
    let gallery = Gallery::new();
    gallery.add("bad", "echo one; echo two >&2; false", "true");
    gallery.add("good", "chmod +x server", "true");
    gallery.add("lazy", "true", "true");
    // Its parts do not end by themselves; the odd number is this test's mark.
    let hangs = format!("sleep 600.{} & sleep 600.{}", std::process::id(), std::process::id());
    gallery.add("slow", &hangs, "true");
    gallery.add("away", "true", "no-such-tool");
    let ended = gallery.run(&["build", "--timeout", "2"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.line(), "zillions: error: 3 of 5 could not be built");
    let text = gallery.strip(&ended.stdout);
    for expected in [
        "skipped away: 'no-such-tool': not installed; install it: apt-get install",
        "failed  bad: the build command failed (exit status: 1)",
        "        | one\n        | two\n        whole log: /target/zillions/build/bad.log",
        "built   good",
        "failed  lazy: the build command succeeded, but '/impls/lazy/./server' is not executable",
        &format!(
            "failed  slow: the build command was stopped after 2 s: {hangs}; --timeout gives it longer"
        ),
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let mark = format!("sleep\0600.{}", std::process::id());
    assert_eq!(processes_mentioning(&mark), 0, "what hangs is stopped with all its parts");
}

pub(crate) fn of_a_long_log_only_the_end_is_shown_whatever_bytes_are_in_it() {
    let gallery = Gallery::new();
    gallery.add("bad", "seq 1000; printf '\\\\377end\\\\n'; exit 3", "true");
    let ended = gallery.run(&["build"]);
    assert_eq!(ended.code, 1);
    let text = gallery.strip(&ended.stdout);
    assert!(text.contains("| 1000\n        | \\xffend\n"), "{text}");
    assert!(!text.contains("| 900\n"), "{text}");
    let log = gallery.folder.path().join("target/zillions/build/bad.log");
    assert!(fs::read(log).expect("the log").starts_with(b"1\n2\n"));
}

pub(crate) fn the_time_of_the_first_build_is_kept_since_a_second_does_nothing() {
    let gallery = Gallery::new();
    gallery.add("made", "chmod +x server", "true");
    gallery.add("elsewhere", "true", "true");
    gallery.edit("elsewhere", "\"./server\"", "\"sh\", \"server\"");
    let first_seconds = |built: &serde_json::Value, name: &str| {
        let entries = built["entries"].as_array().expect("entries");
        let entry = entries.iter().find(|entry| entry["name"] == name).expect("it was built");
        (entry["first_seconds"].as_f64(), entry["seconds"].as_f64())
    };
    let built = gallery.json(&["build"]);
    let (first, now) = first_seconds(&built, "made");
    assert!(first.is_some() && first == now);
    let again = gallery.json(&["build"]);
    assert_eq!(first_seconds(&again, "made").0, first);
    assert_ne!(first_seconds(&again, "made").1, first);
    // A program that stands elsewhere tells nothing about what is built.
    let (first, now) = first_seconds(&again, "elsewhere");
    assert!(first.is_some() && first == now);
    // One that was built when nobody looked is unknown.
    fs::remove_dir_all(gallery.folder.path().join("cache")).expect("a cache");
    assert_eq!(first_seconds(&gallery.json(&["build"]), "made").0, None);
}

pub(crate) fn checks_of_one_entry_at_once_build_it_once_and_leave_each_other_its_program() {
    let gallery = Gallery::new();
    let entry = gallery.folder.path().join("impls").join("shared");
    // As a compiler does, it makes the program anew each time, and it is not there meanwhile.
    let build = "rm -f program && cp server program && chmod +x program && echo >> ../../builds";
    gallery.add("shared", build, "true");
    gallery.edit("shared", "./server", "./program");
    let script = format!("#!/bin/sh\nexec '{ZILLIONS}' faulty-server \"$@\"\n");
    fs::write(entry.join("server"), &script).expect("a source");
    let check = ["check", "shared", "--case", "start/listening-line"].as_slice();
    let checks = [(); 2].map(|()| {
        let mut check = gallery.command(check);
        check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("zillions runs")
    });
    for check in checks {
        let ended = ended(check.wait_with_output().expect("zillions ends"));
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    }
    let builds = || fs::read_to_string(gallery.folder.path().join("builds")).expect("builds").len();
    assert_eq!(builds(), 1);
    fs::write(entry.join("server"), script + "# Changed.\n").expect("a source");
    let build = ["build"].as_slice();
    for (arguments, expected) in [(check, 2), (check, 2), (build, 3), (check, 3)] {
        let ended = gallery.run(arguments);
        assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
        assert_eq!(builds(), expected, "after {arguments:?}");
    }
}

pub(crate) fn a_time_limit_that_is_none_is_refused() {
    let gallery = Gallery::new();
    gallery.add("here", "chmod +x server", "true");
    for wrong in ["0", "-1", "nan", "inf", "1e300", "soon"] {
        let ended = gallery.run(&["build", &format!("--timeout={wrong}")]);
        assert_eq!(ended.code, 64, "{wrong}: {}", ended.stderr);
        assert!(ended.stderr.contains("write a number of seconds"), "{}", ended.stderr);
    }
}

/// A copy of a real program, which a build of the test puts where it likes.
const COMPILED: &str = "cp --remove-destination /bin/true";

pub(crate) fn an_old_program_is_not_taken_for_one_that_was_built_elsewhere() {
    let gallery = Gallery::new();
    gallery.add("moves", &format!("{COMPILED} server"), "true");
    assert_eq!(gallery.run(&["build", "moves"]).code, 0);
    gallery.edit("moves", &format!("{COMPILED} server"), &format!("{COMPILED} elsewhere"));
    let ended = gallery.run(&["build", "moves"]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
    let expected =
        "failed  moves: the build command succeeded, but did not make ./server: look for";
    assert!(ended.stdout.contains(expected), "{}", ended.stdout);
    let program = gallery.folder.path().join("impls").join("moves").join("server");
    assert!(program.is_file(), "the old program is still there");
}

pub(crate) fn what_steers_a_tool_chain_elsewhere_is_kept_from_builds_and_programs() {
    let gallery = Gallery::new();
    let build = "env > built-with && chmod +x server";
    gallery.add("clean", build, "true");
    let folder = gallery.folder.path().join("impls").join("clean");
    let listening = "env > ran-with; echo listening on $1; exec sleep 600";
    fs::write(folder.join("server"), format!("#!/bin/sh\n{listening}\n")).expect("a program");
    let impls = gallery.folder.path().join("impls").display().to_string();
    let mut check = Command::new(ZILLIONS);
    check.args(["--impls", &impls, "check", "clean", "--case", "start/listening-line"]);
    for name in ["CARGO_BUILD_TARGET_DIR", "GOFLAGS", "NODE_OPTIONS", "KEPT_FOR_THE_TEST"] {
        check.env(name, "steered");
    }
    ended(check.output().expect("zillions runs"));
    for file in ["built-with", "ran-with"] {
        let found = fs::read_to_string(folder.join(file)).expect(file);
        let steered: Vec<&str> = found.lines().filter(|it| it.ends_with("=steered")).collect();
        assert_eq!(steered, ["KEPT_FOR_THE_TEST=steered"], "{file}");
    }
}

pub(crate) fn what_is_asked_for_by_name_may_not_be_skipped() {
    let gallery = Gallery::new();
    gallery.add("away", "true", "no-such-tool");
    assert_eq!(gallery.run(&["build"]).code, 0);
    assert_eq!(gallery.run(&["build", "away"]).code, 1);
    assert_eq!(gallery.run(&["build", "--no-skip"]).code, 1);
}

pub(crate) fn unknown_names_and_empty_galleries_are_usage_errors() {
    let gallery = Gallery::new();
    let empty = gallery.run(&["list"]);
    assert_eq!(empty.code, 64);
    assert_eq!(
        empty.line(),
        "zillions: error: the gallery is empty: no folder in it has an impl.toml"
    );
    gallery.add("here", "true", "true");
    let unknown = gallery.run(&["build", "there"]);
    assert_eq!(unknown.code, 64);
    assert_eq!(
        unknown.line(),
        "zillions: error: no implementation is called 'there': did you mean here? 'zillions list' shows all names"
    );
    for number in 0..50 {
        gallery.add(&format!("one-of-{number}"), "true", "true");
    }
    for command in ["bench", "check", "build", "list"] {
        let ended = gallery.run(&[command, "nosuch"]);
        assert_eq!(ended.code, 64, "{command}");
        assert_eq!(
            ended.line(),
            "zillions: error: no implementation is called 'nosuch': 'zillions list' shows all names"
        );
    }
    let nowhere = run("sh", &["-c", &format!("cd / && exec '{ZILLIONS}' list")]);
    assert_eq!(nowhere.code, 64);
    assert!(
        nowhere.line().starts_with("zillions: error: no folder 'impls' in / or above it"),
        "{}",
        nowhere.line()
    );
}

pub(crate) fn a_wrong_manifest_is_named_with_file_line_and_remedy() {
    for (from, to, expected) in [
        ("library", "libary", ":4:1: unknown field `libary`, expected one of `summary`,"),
        ("summary", "# summary", ":1:1: missing field `summary`"),
        (
            "[\"server\"]",
            "[\"main.c\"]",
            ":6: source 'main.c' does not exist in this folder: correct 'sources', or add the file",
        ),
        ("\"CSP\"", "\"magic\"", ":3: unknown style 'magic': use one of threads + channels,"),
        (
            "[\"true\"]",
            "[{ probe = \"true\", at_least = \"new\" }]",
            ":8: at_least = \"new\" is not a version: write numbers, as in \"9.0\"",
        ),
        ("\"A test\"", "\"A test", ":1:"),
    ] {
        let gallery = Gallery::new();
        gallery.add("good", "true", "true");
        gallery.add("bad", "true", "true");
        gallery.edit("bad", from, to);
        for command in ["list", "build", "check"] {
            let ended = gallery.run(&[command]);
            assert_eq!(ended.code, 64);
            let line = gallery.strip(ended.line());
            let expected = format!("zillions: error: /impls/bad/impl.toml{expected}");
            assert!(line.starts_with(&expected), "{line}");
        }
    }
}

pub(crate) fn two_entries_with_one_name_are_named_with_both_folders() {
    let (first, second) = (Gallery::new(), Gallery::new());
    first.add("twin", "true", "true");
    second.add("twin", "true", "true");
    let folders = [&first, &second].map(|it| it.folder.path().join("impls").display().to_string());
    let ended = run(ZILLIONS, &["--impls", &folders[0], "--impls", &folders[1], "list"]);
    assert_eq!(ended.code, 64);
    assert_eq!(
        ended.line(),
        format!(
            "zillions: error: two entries are called 'twin': {}/twin and {}/twin; rename one of the folders",
            folders[0], folders[1]
        )
    );
}

pub(crate) fn the_script_that_installs_tool_chains_follows_the_manifests() {
    let gallery = Gallery::new();
    gallery.add("here", "true", "true");
    let root = gallery.folder.path();
    fs::create_dir(root.join("scripts")).expect("a folder");
    let readme = "# Test\n<!-- gallery:begin -->\n<!-- gallery:end -->\n";
    fs::write(root.join("README.md"), readme).expect("a readme");
    assert_eq!(gallery.run(&["gallery-docs"]).code, 0);
    assert_eq!(gallery.run(&["gallery-docs", "--check"]).code, 0);
    gallery.edit("here", "no-such-package", "another");
    let stale = gallery.run(&["gallery-docs", "--check"]);
    assert_eq!(stale.code, 1);
    assert!(
        stale.line().ends_with("/scripts/toolchains is out of date: run 'zillions gallery-docs'")
    );
    assert_eq!(gallery.run(&["gallery-docs"]).code, 0);
    let script = fs::read_to_string(root.join("scripts/toolchains")).expect("a script");
    assert!(script.contains("apt-get install"), "{script}");
    assert!(script.ends_with("    another\n"), "{script}");
    let syntax = run("sh", &["-n", &root.join("scripts/toolchains").display().to_string()]);
    assert_eq!(syntax.code, 0, "{}", syntax.stderr);
}

pub(crate) fn the_gallery_is_shown_by_style_and_by_entry_where_a_page_has_a_place() {
    let gallery = Gallery::new();
    gallery.add("here", "true", "true");
    let root = gallery.folder.path();
    fs::create_dir(root.join("scripts")).expect("a folder");
    let place = |name: &str| format!("<!-- {name}:begin -->\n<!-- {name}:end -->\n");
    let (readme, page) = (root.join("README.md"), root.join("impls/README.md"));
    fs::write(&readme, place("styles")).expect("a readme");
    let without = gallery.run(&["gallery-docs"]);
    assert_eq!(without.code, 64);
    assert!(without.line().contains("README.md' has no place for the table"), "{}", without.line());
    fs::write(&page, place("gallery")).expect("a page");
    assert_eq!(gallery.run(&["gallery-docs"]).code, 0);
    let text = |path| fs::read_to_string(path).expect("a page");
    assert!(text(&readme).contains("](docs/styles.md#"), "{}", text(&readme));
    assert!(text(&readme).contains("[here](impls/here)"), "{}", text(&readme));
    assert!(text(&page).contains("[here](here)"), "{}", text(&page));
}

pub(crate) fn a_listing_ends_quietly_when_its_reader_goes_away() {
    let gallery = Gallery::new();
    gallery.add("here", "true", "true");
    let impls = gallery.folder.path().join("impls").display().to_string();
    let command = format!("{{ '{ZILLIONS}' --impls '{impls}' list; echo $? >&2; }} | true");
    let ended = run("sh", &["-c", &command]);
    assert_eq!(ended.line(), "0");
}

pub(crate) fn a_tool_chain_that_does_not_work_is_not_skipped() {
    let gallery = Gallery::new();
    let tool = gallery.folder.path().join("tool");
    let script = "#!/bin/sh\necho 'error: no default is set'\necho 'help: set one'\nexit 1\n";
    fs::write(&tool, script).expect("a tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("chmod");
    gallery.add("broken", "true", &format!("{} --version", tool.display()));
    for command in ["check", "build"] {
        let ended = gallery.run(&[command]);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("its tool chain is unusable"), "{said}");
        assert!(said.contains("failed: error: no default is set"), "{said}");
    }
    let json = gallery.json(&["list"]);
    assert_eq!(json["entries"][0]["toolchain"]["state"], "unusable");
    let ended = gallery.run(&["doctor"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("unusable for broken"), "{}", ended.stdout);
}

pub(crate) fn the_doctor_knows_this_machine() {
    let gallery = Gallery::new();
    gallery.add("away", "true", "no-such-tool");
    let ended = gallery.run(&["doctor", "--format", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert!(json["machine"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0));
    let findings = json["findings"].as_array().expect("findings");
    let instructions = findings.iter().find(|it| it["subject"] == "instructions").expect("one");
    assert_eq!(instructions["remedy"].is_null(), instructions["level"] == "good", "{instructions}");
    let toolchains =
        findings.iter().find(|it| it["subject"] == "tool chains").expect("tool chains");
    assert_eq!(toolchains["found"], "missing for away");
}

pub(crate) fn completions_and_manual_pages_cover_every_binary() {
    for binary in ["zillions", "stresstest", "commandline-client"] {
        for shell in ["bash", "zsh", "fish"] {
            let ended = run(ZILLIONS, &["completions", shell, "--binary", binary]);
            assert_eq!(ended.code, 0, "{}", ended.stderr);
            assert!(ended.stdout.contains(binary), "{shell} completions of {binary}");
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man1");
    let ended = run(ZILLIONS, &["man", &pages.display().to_string()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for page in
        ["zillions.1", "zillions-chat.1", "zillions-list.1", "stresstest.1", "commandline-client.1"]
    {
        assert!(Path::new(&pages).join(page).is_file(), "{page}");
    }
}
