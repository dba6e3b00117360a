//! `zillions new`, from nothing to a server that passes; and what is generated
//! from the gallery.

use crate::support::{ZILLIONS, run};

pub(crate) fn a_new_entry_in_every_language_builds_and_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let impls = folder.path().join("impls").display().to_string();
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    for template in std::fs::read_dir(templates).expect("the templates") {
        let language = template.expect("a folder").file_name().into_string().expect("text");
        let name = match language.as_str() {
            // Packages of the languages' own libraries.
            "go" => "net".to_owned(),
            "rust" => "core".to_owned(),
            _ => format!("my-{language}"),
        };
        let made = run(ZILLIONS, &["new", &name, "--language", &language, "--into", &impls]);
        assert_eq!(made.code, 0, "{}", made.stderr);
    }
    let build = run(ZILLIONS, &["--impls", &impls, "build", "--format", "json"]);
    assert_eq!(build.code, 0, "{}{}", build.stdout, build.stderr);
    let build: serde_json::Value = serde_json::from_str(&build.stdout).expect("JSON");
    for entry in build["entries"].as_array().expect("entries") {
        let name = entry["name"].as_str().expect("a name");
        if entry["state"] == "skipped" {
            eprintln!("{name} is not tested here: {}", entry["reason"]);
            continue;
        }
        let check = run(ZILLIONS, &["--impls", &impls, "check", "--quick", "--strict", name]);
        assert_eq!(check.code, 0, "{name}: {}{}", check.stdout, check.stderr);
    }
}

pub(crate) fn a_name_that_cannot_be_used_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().display().to_string();
    let endless = "a".repeat(252);
    for name in ["", "Big", "a b", "../up", "-x", "x-", "9lives", &endless] {
        let ended = run(ZILLIONS, &["new", "--language", "c", "--into", &into, "--", name]);
        assert_eq!(ended.code, 64, "{name}");
        assert!(ended.line().contains("invalid name"), "{}", ended.line());
    }
    let first = run(ZILLIONS, &["new", "twice", "--language", "c", "--into", &into]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let second = run(ZILLIONS, &["new", "twice", "--language", "go", "--into", &into]);
    assert_eq!(second.code, 64);
    assert!(second.line().ends_with("exists already: choose another name"), "{}", second.line());
}

pub(crate) fn the_readmes_table_and_the_tool_chain_script_are_up_to_date() {
    let ended = run(ZILLIONS, &["gallery-docs", "--check"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}
