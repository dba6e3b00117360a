//! What a program's files show: size, dependencies, lines, hash.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zillions_harness::{Launch, locate};
use zillions_report::gallery_results::sources_hash;
use zillions_report::record::{LinesRecord, SourceRecord};
use zillions_source::{Lines, language};

/// The first bytes of a program that the kernel runs by itself, in the format of Linux.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// A file that says what a program is and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read '{}': {source}", path.display())]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// The texts of `paths`, which are relative to `folder`. Invalid UTF-8 is replaced.
///
/// # Errors
///
/// [`Unreadable`].
pub fn sources(folder: &Path, paths: &[PathBuf]) -> Result<Vec<SourceRecord>, Unreadable> {
    paths
        .iter()
        .map(|relative| {
            let path = folder.join(relative);
            let bytes =
                fs::read(&path).map_err(|source| Unreadable { path: path.clone(), source })?;
            Ok(SourceRecord {
                path: relative.display().to_string(),
                language: language(&relative.to_string_lossy()).unwrap_or_default().to_owned(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        })
        .collect()
}

/// The lines of all `sources` together; `None` if the language of one is not known. The unit tests
/// at the end of a Rust file are not counted: the program is the same without them.
#[must_use]
pub fn lines(sources: &[SourceRecord]) -> Option<LinesRecord> {
    let mut sum = LinesRecord::default();
    for source in sources {
        let program = without_unit_tests(&source.text);
        let Lines { code, comments, blanks } = zillions_source::lines(&source.path, program)?;
        sum.code += code;
        sum.comments += comments;
        sum.blanks += blanks;
    }
    (!sources.is_empty()).then_some(sum)
}

/// `text` up to the tests that Rust programs have at their end.
fn without_unit_tests(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(program, _)| program)
}

/// How many packages the lock file in `folder` pins beside the program itself, or its language's
/// own list names; `None` where there is neither.
#[must_use]
pub fn dependencies(folder: &Path) -> Option<u32> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    if let Some(text) = read("Cargo.lock") {
        return cargo_packages(&text);
    }
    if let Some(text) = read("go.mod") {
        return Some(go_modules(&text));
    }
    read("requirements.txt").map(|text| python_packages(&text))
}

/// All packages of a `Cargo.lock` but the program itself.
fn cargo_packages(text: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {}

    let lock: Lock = toml::from_str(text).ok()?;
    u32::try_from(lock.package.len().saturating_sub(1)).ok()
}

/// The modules that a `go.mod` requires, one by one or in a block.
fn go_modules(text: &str) -> u32 {
    let mut in_block = false;
    let mut modules = 0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line {
            "require (" => in_block = true,
            ")" => in_block = false,
            _ if line.starts_with("//") => {}
            _ if in_block || line.starts_with("require ") => modules += 1,
            _ => {}
        }
    }
    modules
}

/// The lines of a `requirements.txt` that name a package.
fn python_packages(text: &str) -> u32 {
    let names = |line: &&str| !line.is_empty() && !line.starts_with(['#', '-']);
    text.lines().filter(|line| !line.starts_with(' ')).map(str::trim).filter(names).count() as u32
}

/// Size in bytes of what `launch` starts, if that is the program itself: not a script, and not an
/// interpreter that is given one.
#[must_use]
pub fn binary_bytes(launch: &Launch) -> Option<u64> {
    let mut magic = [0; ELF_MAGIC.len()];
    let mut file = fs::File::open(&launch.program).ok()?;
    file.read_exact(&mut magic).ok()?;
    let is_program = magic == ELF_MAGIC && launch.arguments.is_empty();
    is_program.then(|| file.metadata().ok().map(|metadata| metadata.len())).flatten()
}

/// BLAKE3 in hexadecimal of what `launch` starts, of the files among its arguments, and of the
/// hash of `sources`: it changes when the program does.
///
/// # Errors
///
/// [`Unreadable`].
pub fn hash(launch: &Launch, sources: &[SourceRecord]) -> Result<String, Unreadable> {
    let mut hasher = blake3::Hasher::new();
    // What cannot be found is named by the error that reading it gives.
    let program = locate(&launch.program).unwrap_or_else(|| launch.program.clone());
    hash_file(&mut hasher, &program)?;
    for argument in &launch.arguments {
        hasher.update(argument.as_encoded_bytes());
        let path = launch.directory.as_deref().unwrap_or(Path::new(".")).join(argument);
        if path.is_file() {
            hash_file(&mut hasher, &path)?;
        }
    }
    hasher.update(sources_hash(sources).as_bytes());
    Ok(hasher.finalize().to_string())
}

/// BLAKE3 of one file, in hexadecimal.
///
/// # Errors
///
/// [`Unreadable`].
pub fn hash_of_file(path: &Path) -> Result<String, Unreadable> {
    let mut hasher = blake3::Hasher::new();
    hash_file(&mut hasher, path)?;
    Ok(hasher.finalize().to_string())
}

fn hash_file(hasher: &mut blake3::Hasher, path: &Path) -> Result<(), Unreadable> {
    let unreadable = |source| Unreadable { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(unreadable)?;
    hasher.update_reader(file).map_err(unreadable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_with_their_language_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.rs"), "// why\n\nfn main() {}\n").unwrap();
        let sources = sources(folder.path(), &["a.rs".into()]).unwrap();
        assert_eq!((sources[0].path.as_str(), sources[0].language.as_str()), ("a.rs", "Rust"));
        assert_eq!(lines(&sources), Some(LinesRecord { code: 1, comments: 1, blanks: 1 }));
        assert_eq!(lines(&[]), None);
    }

    #[test]
    fn unit_tests_are_no_lines_of_a_program() {
        let source = |text: &str| SourceRecord {
            path: "a.rs".to_owned(),
            language: String::new(),
            text: text.to_owned(),
        };
        let program = "fn main() {}\n";
        let tested = format!("{program}\n#[cfg(test)]\nmod tests {{\n    fn t() {{}}\n}}\n");
        assert_eq!(lines(&[source(&tested)]).unwrap().code, 1);
        assert_eq!(lines(&[source(program), source(&tested)]).unwrap().code, 2);
    }

    #[test]
    fn a_source_that_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = sources(folder.path(), &["gone.rs".into()]).unwrap_err().to_string();
        assert!(error.contains("gone.rs': No such file"), "{error}");
    }

    #[test]
    fn dependencies_are_counted_as_each_language_lists_them() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1\"\n\
                    [[package]]\nname = \"b\"\nversion = \"2\"\nsource = \"registry\"\n";
        assert_eq!(cargo_packages(lock), Some(1));
        assert_eq!(cargo_packages("no lock"), None);
        let go = "module x\n\ngo 1.19\n\nrequire (\n\ta v1\n\tb v2 // indirect\n)\nrequire c v3\n";
        assert_eq!(go_modules(go), 3);
        assert_eq!(go_modules("module x\n\ngo 1.19\n"), 0);
        let python = "# why\ncurio==1.6 \\\n    --hash=sha256:0\n\n-r other.txt\n";
        assert_eq!(python_packages(python), 1);
        assert_eq!(dependencies(tempfile::tempdir().unwrap().path()), None);
    }

    #[test]
    fn scripts_and_interpreters_are_not_binaries() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("server");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let launch = |program: &Path, arguments: &[&str]| Launch {
            arguments: arguments.iter().map(Into::into).collect(),
            directory: Some(folder.path().to_owned()),
            ..Launch::new(program)
        };
        let own = std::env::current_exe().unwrap();
        assert_eq!(binary_bytes(&launch(&script, &[])), None);
        assert_eq!(binary_bytes(&launch(&own, &["server.py"])), None);
        assert_eq!(binary_bytes(&launch(&own, &[])), Some(fs::metadata(&own).unwrap().len()));
    }

    #[test]
    fn the_hash_changes_with_the_program_its_arguments_and_its_sources() {
        let folder = tempfile::tempdir().unwrap();
        let (program, script) = (folder.path().join("run"), folder.path().join("script"));
        fs::write(&program, "1").unwrap();
        fs::write(&script, "1").unwrap();
        let launch = Launch {
            arguments: vec!["script".into()],
            directory: Some(folder.path().to_owned()),
            ..Launch::new(&program)
        };
        let mut seen = vec![hash(&launch, &[]).unwrap()];
        assert_eq!(hash(&launch, &[]).unwrap(), seen[0]);
        assert!(hash(&Launch { program: "sh".into(), ..launch.clone() }, &[]).is_ok(), "on PATH");
        fs::write(&program, "2").unwrap();
        seen.push(hash(&launch, &[]).unwrap());
        fs::write(&script, "2").unwrap();
        seen.push(hash(&launch, &[]).unwrap());
        // The same text in another file, or cut otherwise, is another program.
        for files in [&[("a", "xy")][..], &[("b", "xy")], &[("a", "x"), ("b", "y")]] {
            let source = |(path, text): &(&str, &str)| SourceRecord {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
                ..SourceRecord::default()
            };
            let sources: Vec<SourceRecord> = files.iter().map(source).collect();
            seen.push(hash(&launch, &sources).unwrap());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 6);
    }
}
