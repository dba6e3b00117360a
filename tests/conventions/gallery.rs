//! Conventions of the gallery.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use regex::Regex;
use zillions_conformance::{Level, all_cases};
use zillions_harness::Gallery;
use zillions_harness::manifest::Entry;

use crate::tree::{Exceptions, File, Offenders, file, files_in, folders_in, root};

/// The program of an entry, without blank lines and comments: what can be read
/// in one sitting.
const CODE_LINES_MAX: u32 = 200;

/// Entries whose program may be longer, and why.
const LONG_PROGRAMS: &[(&str, &str)] = &[
    (
        "amy",
        "actors on sockets: two of them are readiness loops, and there is the mail between them",
    ),
    ("c-urcu", "C: two queues without a lock are written out, and what frees a client"),
    ("free-pascal", "Pascal: begin, end and declarations have lines of their own"),
    ("java-flow", "the JDK has the four interfaces, and each wants a class"),
    ("libfringe", "generators have no I/O: the program contains the event loop, too"),
    ("libmill", "C: lists, and who owns a message, are written out"),
];

/// Entries that may use `crates/`, and why.
const MAY_USE_CRATES: &[(&str, &str)] = &[(
    "shared-log",
    "the front door of crates/server; shared-log-epoll shows the same idea alone",
)];

fn entries() -> Vec<Entry> {
    let gallery = Gallery::read(&[root().join("impls")]).expect("the gallery is in order");
    assert!(!gallery.entries.is_empty(), "the gallery is empty");
    gallery.entries
}

fn files_of(entry: &Entry) -> impl Iterator<Item = &'static File> + use<> {
    files_in(&format!("impls/{}", entry.name))
}

fn parse(file: &File) -> toml::Table {
    file.text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.path))
}

#[test]
fn every_folder_says_what_it_is_to_programs_and_to_people() {
    let mut offenders = Offenders::of(
        "a folder in impls/ has an impl.toml for the tools and a README.md for the reader",
    );
    for name in folders_in("impls") {
        offenders.look();
        for needed in ["impl.toml", "README.md"] {
            let path = format!("impls/{name}/{needed}");
            if file(&path).is_none_or(|file| file.text.trim().is_empty()) {
                offenders.add(&path, 1, "is missing or empty");
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn each_style_has_one_representative_and_each_entry_says_how_many_threads_it_has() {
    let mut offenders = Offenders::of(
        "'representative = true' stands in one impl.toml of each style, and one of the tags \
         one-thread and many-threads in each",
    );
    let entries = entries();
    let manifest = |entry: &Entry| format!("impls/{}/impl.toml", entry.name);
    for entry in &entries {
        offenders.look();
        let same_style = || entries.iter().filter(|it| it.manifest.style == entry.manifest.style);
        let representatives = same_style().filter(|it| it.manifest.representative).count();
        if representatives != 1 {
            let problem = format!("'{}' has {representatives}", entry.manifest.style);
            offenders.add(&manifest(entry), 1, problem);
        }
        let threads = ["one-thread", "many-threads"];
        let has = |tag: &&str| entry.manifest.tags.iter().any(|it| it == tag);
        if threads.iter().filter(|tag| has(tag)).count() != 1 {
            offenders.add(&manifest(entry), 1, "one-thread or many-threads?");
        }
    }
    offenders.assert_none();
}

#[test]
fn builds_call_no_script_that_knows_where_it_was_made() {
    let mut offenders = Offenders::of(
        "in a copied checkout the scripts of a virtual environment belong to the original: \
         write '.venv/bin/python -m pip'",
    );
    for entry in entries() {
        offenders.look();
        let manifest = &entry.manifest;
        let words =
            manifest.build.split_whitespace().chain(manifest.run.iter().map(String::as_str));
        let scripts = words.filter_map(|word| word.strip_prefix(".venv/bin/"));
        for script in scripts.filter(|script| !script.starts_with("python")) {
            let path = format!("impls/{}/impl.toml", entry.name);
            offenders.add(&path, 1, format!("calls .venv/bin/{script}"));
        }
    }
    offenders.assert_none();
}

#[test]
fn every_program_can_be_read_in_one_sitting() {
    let mut offenders = Offenders::of(
        "the program of an entry has at most 200 lines, blank lines and comments not counted",
    );
    let mut exceptions = Exceptions::new(LONG_PROGRAMS);
    for entry in entries() {
        let path = format!("impls/{}/{}", entry.name, entry.manifest.sources[0].display());
        let source = file(&path).unwrap_or_else(|| panic!("{path} is not tracked"));
        offenders.look();
        let lines = zillions_source::lines(&source.path, &source.text);
        let lines = lines.unwrap_or_else(|| panic!("{path} is in an unknown language")).code;
        if lines > CODE_LINES_MAX && !exceptions.cover(&entry.name) {
            offenders.add(&path, 1, format!("{lines} lines of code"));
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}

#[test]
fn every_entry_can_be_read_and_copied_alone() {
    let mut offenders =
        Offenders::of("no implementation depends on crates/: each can be read and copied alone");
    let mut exceptions = Exceptions::new(MAY_USE_CRATES);
    for entry in entries() {
        offenders.look();
        let mut found = Vec::new();
        for file in files_of(&entry).filter(|file| file.name() == "Cargo.toml") {
            let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
            for path in paths_in(&toml::Value::Table(parse(file))) {
                if normal(&folder.join(&path)).starts_with("crates") {
                    found.push((&file.path, file.line_of(&path), format!("depends on '{path}'")));
                }
            }
        }
        // Whatever the language: a path to there is a way to use it.
        for file in
            files_of(&entry).filter(|file| !matches!(file.name(), "README.md" | "Cargo.toml"))
        {
            for (number, line) in file.lines().filter(|(_, line)| line.contains("../crates/")) {
                found.push((&file.path, number, line.trim().to_owned()));
            }
        }
        // Nor is it made of what another folder holds.
        let manifest = format!("impls/{}/impl.toml", entry.name);
        for source in entry.sources.iter().filter(|it| it.starts_with("..")) {
            found.push((&manifest, 1, format!("has the source '{}'", source.display())));
        }
        if !found.is_empty() && !exceptions.cover(&entry.name) {
            for (path, line, what) in found {
                offenders.add(path, line, what);
            }
        }
    }
    exceptions.report_unused(&mut offenders);
    offenders.assert_none();
}

/// Every value of a key `path`, at any depth.
fn paths_in(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| match value {
                toml::Value::String(path) if key == "path" => vec![path.clone()],
                other => paths_in(other),
            })
            .collect(),
        toml::Value::Array(values) => values.iter().flat_map(paths_in).collect(),
        _ => Vec::new(),
    }
}

/// `path` without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn an_entry_that_uses_crates_counts_them_among_its_sources() {
    let mut offenders = Offenders::of(
        "lines of code are those of all that makes a program what it is: an entry that is a door \
         to crates/ names what is behind it in 'sources'",
    );
    for (name, _) in MAY_USE_CRATES {
        let entry = Entry::read(&root().join("impls").join(name)).expect("an entry");
        let counted: BTreeSet<PathBuf> = entry
            .sources
            .iter()
            .map(|source| normal(&Path::new("impls").join(name).join(source)))
            .collect();
        for used in crates_used_by(&entry) {
            for program in files_in(&format!("{used}/src")).filter(|it| it.extension() == "rs") {
                offenders.look();
                if !counted.contains(Path::new(&program.path)) {
                    let path = format!("impls/{name}/impl.toml");
                    offenders.add(&path, 1, format!("'{}' is not a source", program.path));
                }
            }
        }
    }
    offenders.assert_none();
}

/// The folders in crates/ that an entry depends on, directly or through another.
fn crates_used_by(entry: &Entry) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let lock = file(&format!("impls/{}/Cargo.lock", entry.name)).expect("a lock file");
    for package in parse(lock)["package"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if let Some(ours) = name.strip_prefix("zillions-") {
            used.insert(format!("crates/{ours}"));
        }
    }
    used
}

#[test]
fn every_rust_entry_is_a_pinned_package_with_a_binary_called_server() {
    let mut offenders = Offenders::of(
        "a Rust entry is a package and a workspace of its own, pinned by its Cargo.lock, and its \
         binary is called server: 'cargo build --release' in its folder makes \
         target/release/server",
    );
    for entry in entries().iter().filter(|entry| entry.manifest.language == "Rust") {
        offenders.look();
        let path = format!("impls/{}/Cargo.toml", entry.name);
        let Some(manifest) = file(&path) else {
            offenders.add(&path, 1, "is missing");
            continue;
        };
        let table = parse(manifest);
        let binaries = table.get("bin").and_then(toml::Value::as_array);
        let is_server =
            |bin: &toml::Value| bin.get("name").and_then(|it| it.as_str()) == Some("server");
        if !binaries.is_some_and(|it| it.iter().any(is_server)) {
            offenders.add(&path, manifest.line_of("[[bin]]"), "no [[bin]] with name = \"server\"");
        }
        if !table.contains_key("workspace") {
            offenders.add(&path, 1, "no [workspace]: cargo looks for one in the folders above");
        }
        let lock = format!("impls/{}/Cargo.lock", entry.name);
        if file(&lock).is_none() {
            offenders.add(&lock, 1, "is missing");
        }
    }
    offenders.assert_none();
}

#[test]
fn known_failures_are_of_should_cases_that_exist() {
    let mut offenders = Offenders::of(
        "a known failure names a case of the suite, and a MUST cannot be excused: that would be \
         no server of this gallery",
    );
    for entry in entries() {
        offenders.look();
        let path = format!("impls/{}/impl.toml", entry.name);
        let manifest = file(&path).unwrap_or_else(|| panic!("{path} is not tracked"));
        for known in &entry.manifest.known_failures {
            let line = manifest.line_of(&known.case);
            match all_cases().iter().find(|case| case.id == known.case) {
                None => offenders.add(&path, line, format!("there is no case '{}'", known.case)),
                Some(case) if case.level != Level::Should => {
                    offenders.add(&path, line, format!("'{}' is not a SHOULD case", known.case));
                }
                Some(_) => {}
            }
        }
    }
    offenders.assert_none();
}

/// What runtimes cannot do.
const WHAT_BREAKS: &str = "docs/what-breaks.md";

#[test]
fn the_page_of_what_breaks_has_every_known_failure_and_cases_that_exist() {
    let mut offenders =
        Offenders::of("docs/what-breaks.md has every known failure, and names cases that exist");
    let page = file(WHAT_BREAKS).expect("there is such a page");
    for entry in entries() {
        for failure in &entry.manifest.known_failures {
            offenders.look();
            let [link, case] =
                [format!("(../impls/{})", entry.name), format!("`{}`", failure.case)];
            if !page.text.contains(&link) || !page.text.contains(&case) {
                offenders.add(WHAT_BREAKS, 1, format!("{} fails {case}", entry.name));
            }
        }
    }
    let cases: BTreeSet<&str> = all_cases().iter().map(|case| case.id).collect();
    for row in page.text.lines().filter(|line| line.starts_with("| [")) {
        offenders.look();
        let named = row.split('`').skip(1).step_by(2).filter(|text| text.contains('/'));
        if !named.clone().any(|case| cases.contains(case)) {
            offenders.add(WHAT_BREAKS, 1, format!("no such case: {row}"));
        }
    }
    offenders.assert_none();
}

/// Where documents say how many entries, languages and styles there are: `(line, claimed)`.
fn claimed_counts(text: &str) -> Vec<(usize, [usize; 3])> {
    let claim =
        Regex::new(r"(\d+)\s+implementations\s+in\s+(\d+)\s+languages\s+and\s+(\d+)\s+styles")
            .expect("a pattern");
    let found = claim.captures_iter(text).map(|found| {
        let line = 1 + text[..found.get(0).map_or(0, |all| all.start())].matches('\n').count();
        let (_, numbers) = found.extract::<3>();
        (line, numbers.map(|number| number.parse().unwrap_or_default()))
    });
    found.collect()
}

#[test]
fn the_size_of_the_gallery_is_what_documents_say() {
    let mut offenders = Offenders::of(
        "'N implementations in M languages and K styles' is true wherever it is written",
    );
    let entries = entries();
    let different = |of: fn(&Entry) -> &str| entries.iter().map(of).collect::<BTreeSet<_>>().len();
    let counts = [
        entries.len(),
        different(|entry| &entry.manifest.language),
        different(|entry| &entry.manifest.style),
    ];
    for path in ["README.md", "CHANGELOG.md"] {
        offenders.look();
        let text = file(path).map_or("", |file| &file.text);
        let claims = claimed_counts(text);
        if claims.is_empty() {
            offenders.add(path, 1, format!("does not say that there are {counts:?}"));
        }
        for (line, claimed) in claims {
            if claimed != counts {
                offenders.add(path, line, format!("{claimed:?} should be {counts:?}"));
            }
        }
    }
    offenders.assert_none();
}

#[test]
fn a_claim_is_found_across_a_line_break() {
    let text = "A\ngallery of 63 implementations in 29\nlanguages and 24 styles.";
    assert_eq!(claimed_counts(text), [(2, [63, 29, 24])]);
}
