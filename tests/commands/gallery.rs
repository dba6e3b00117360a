//! `zillions list`, `build`, `doctor`, `completions`, `man`: on galleries made
//! for the test.

use std::fs;
use std::path::Path;

use crate::support::{Ended, ZILLIONS, run};

const MANIFEST: &str = r#"summary = "A test"
language = "Shell"
style = "CSP"
library = "none"
url = "https://example.org"
sources = ["server"]
build = "BUILD"
requires = ["REQUIRES"]
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
        let entry = self.folder.path().join("impls").join(name);
        fs::create_dir(&entry).expect("an entry");
        fs::write(entry.join("server"), "").expect("a source");
        let manifest = MANIFEST.replace("BUILD", build).replace("REQUIRES", requires);
        fs::write(entry.join("impl.toml"), manifest).expect("a manifest");
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let impls = self.folder.path().join("impls").display().to_string();
        run(ZILLIONS, &[&["--impls", &impls], arguments].concat())
    }

    fn strip(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "")
    }
}

#[test]
fn the_list_shows_what_is_missing_and_what_installs_it() {
    let gallery = Gallery::new();
    gallery.add("here", "true", "true");
    gallery.add("away", "true", "no-such-tool --version");
    let ended = gallery.run(&["list"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("2 implementations, 1 can be built here, 1 cannot"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("away: apt-get install --no-install-recommends no-such-package"));
    let json = gallery.run(&["list", "--format", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["schema"], "zillions.list/1");
    assert_eq!(json["entries"][0]["toolchain"]["state"], "missing");
    assert_eq!(json["entries"][1]["name"], "here");
}

#[test]
fn a_build_that_fails_shows_the_end_of_its_log_and_the_others_go_on() {
    let gallery = Gallery::new();
    gallery.add("bad", "echo one; echo two >&2; false", "true");
    gallery.add("good", "chmod +x server", "true");
    gallery.add("lazy", "true", "true");
    gallery.add("slow", "sleep 600", "true");
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
        "failed  slow: the build command was stopped after 2 s",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn what_is_asked_for_by_name_may_not_be_skipped() {
    let gallery = Gallery::new();
    gallery.add("away", "true", "no-such-tool");
    assert_eq!(gallery.run(&["build"]).code, 0);
    assert_eq!(gallery.run(&["build", "away"]).code, 1);
    assert_eq!(gallery.run(&["build", "--no-skip"]).code, 1);
}

#[test]
fn unknown_names_and_empty_galleries_are_usage_errors() {
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
        "zillions: error: no implementation is called 'there': known are here; a path to an executable needs a slash"
    );
    let nowhere = run("sh", &["-c", &format!("cd / && exec '{ZILLIONS}' list")]);
    assert_eq!(nowhere.code, 64);
    assert!(
        nowhere.line().starts_with("zillions: error: no folder 'impls' in / or above it"),
        "{}",
        nowhere.line()
    );
}

#[test]
fn a_wrong_manifest_is_named_with_file_and_line() {
    let gallery = Gallery::new();
    gallery.add("bad", "true", "true");
    let path = gallery.folder.path().join("impls/bad/impl.toml");
    let text = fs::read_to_string(&path).expect("the manifest").replace("library", "libary");
    fs::write(&path, text).expect("a wrong manifest");
    let ended = gallery.run(&["list"]);
    assert_eq!(ended.code, 64);
    let line = gallery.strip(ended.line());
    assert!(
        line.starts_with("zillions: error: /impls/bad/impl.toml:4:1: unknown field `libary`"),
        "{line}"
    );
}

#[test]
fn a_listing_ends_quietly_when_its_reader_goes_away() {
    let gallery = Gallery::new();
    gallery.add("here", "true", "true");
    let impls = gallery.folder.path().join("impls").display().to_string();
    let command = format!("{{ '{ZILLIONS}' --impls '{impls}' list; echo $? >&2; }} | true");
    let ended = run("sh", &["-c", &command]);
    assert_eq!(ended.line(), "0");
}

#[test]
fn the_doctor_knows_this_machine() {
    let gallery = Gallery::new();
    gallery.add("away", "true", "no-such-tool");
    let ended = gallery.run(&["doctor", "--format", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert!(json["machine"]["cpus"].as_u64().is_some_and(|cpus| cpus > 0));
    let findings = json["findings"].as_array().expect("findings");
    let toolchains =
        findings.iter().find(|it| it["subject"] == "tool chains").expect("tool chains");
    assert_eq!(toolchains["found"], "missing for away");
}

#[test]
fn completions_and_manual_pages_cover_every_binary() {
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
    for page in ["zillions.1", "zillions-list.1", "stresstest.1", "commandline-client.1"] {
        assert!(Path::new(&pages).join(page).is_file(), "{page}");
    }
}
