//! The build script of a patched registry crate: fetches the crate as published,
//! and applies our patches to a copy of its source.
//!
//! A gallery entry that needs a crate too old for today's compiler has a small
//! package of the same name and version beside its program. That package names
//! this file as its build script, and holds
//!
//! - `Cargo.toml`, with the published crate as a dependency that is never built
//!   (`[target.'cfg(any())'.dependencies]`), so that `Cargo.lock` pins its checksum,
//! - `*.patch`, unified diffs with paths relative to the published crate,
//! - `lib.rs`, which includes the patched crate root from `OUT_DIR`.
//!
//! Cargo does the rest as for any build script: it runs again when a file of
//! that package changes, and every build directory has its own copy.
//! The alternatives are weighed in `docs/design/0004-patched-registry-crates.md`.

// The crates are of the 2015 edition, their packages therefore too, and so this file.
extern crate diffy;
extern crate serde_json;

use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() {
    if let Err(reason) = build() {
        // Cargo prints each of these lines as an error and stops the build.
        for line in reason.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let name = env_var("CARGO_PKG_NAME")?;
    // The package's version is the published one with our mark: 1.2.3+patched.
    let version = env_var("CARGO_PKG_VERSION")?;
    let version = version.split('+').next().unwrap_or_default();
    let package = PathBuf::from(env_var("CARGO_MANIFEST_DIR")?);
    let copy = PathBuf::from(env_var("OUT_DIR")?).join("crate");

    // A directory: Cargo looks at every file in it, new ones too.
    println!("cargo::rerun-if-changed=.");
    let published = find_published(&package, &name, version)?;
    if copy.exists() {
        fs::remove_dir_all(&copy).map_err(|e| cannot("remove", &copy, &e))?;
    }
    copy_tree(&published.directory, &copy)?;
    for patch in patches(&package)? {
        apply(&patch, &copy, &format!("{name} {version}"))?;
    }
    comment_out_inner_attributes(&copy.join(&published.root))
}

/// A registry crate as Cargo unpacked it.
struct Published {
    directory: PathBuf,
    /// The library's first file, relative to `directory`.
    root: PathBuf,
}

/// Asks Cargo where the published crate lies; Cargo downloads it when it is not there
/// yet, and checks it against the checksum in `Cargo.lock`.
fn find_published(package: &Path, name: &str, version: &str) -> Result<Published, String> {
    let output = Command::new(env_var("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .output()
        .map_err(|e| format!("cannot run `cargo metadata`: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cannot fetch {name} {version} from the registry:\n{}", said.trim()));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("cannot read what `cargo metadata` wrote: {e}"))?;
    // Of the two packages of this name, the one from the registry has a source.
    let found = metadata["packages"].as_array().into_iter().flatten().find(|package| {
        package["name"] == name && package["version"] == version && package["source"].is_string()
    });
    found
        .and_then(|found| {
            let directory = Path::new(found["manifest_path"].as_str()?).parent()?;
            let library = found["targets"].as_array()?.iter().find(|t| t["kind"][0] == "lib")?;
            let root = Path::new(library["src_path"].as_str()?).strip_prefix(directory).ok()?;
            Some(Published { directory: directory.into(), root: root.into() })
        })
        .ok_or_else(|| {
            format!(
                "{name} {version} from the registry is not a dependency: {} must have \
                 `{name} = \"={version}\"` under [target.'cfg(any())'.dependencies]",
                package.join("Cargo.toml").display()
            )
        })
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|e| cannot("create", to, &e))?;
    for entry in fs::read_dir(from).map_err(|e| cannot("read", from, &e))? {
        let entry = entry.map_err(|e| cannot("read", from, &e))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            // Not `fs::copy`: a registry may be read-only, the copy must not be.
            let content = fs::read(&source).map_err(|e| cannot("read", &source, &e))?;
            fs::write(&target, content).map_err(|e| cannot("write", &target, &e))?;
        }
    }
    Ok(())
}

/// The package's `*.patch` files in the order of their names.
fn patches(package: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(package).map_err(|e| cannot("read", package, &e))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(format!("{} holds no *.patch file", package.display()));
    }
    Ok(found)
}

/// Applies one patch file to the copy. A hunk that finds its lines nowhere is an error.
fn apply(patch: &Path, copy: &Path, published: &str) -> Result<(), String> {
    let text = fs::read_to_string(patch).map_err(|e| cannot("read", patch, &e))?;
    let failed =
        |what: String| format!("{} does not apply to {published}: {what}", patch.display());
    let mut files = 0;
    for file in PatchSet::parse(&text, ParseOptions::unidiff()) {
        let file = file.map_err(|e| failed(e.to_string()))?;
        let FileOperation::Modify { modified, .. } = file.operation().strip_prefix(1) else {
            return Err(failed("a patch may change files, not create, move or delete them".into()));
        };
        let target = copy.join(&*modified);
        let hunks =
            file.patch().as_text().ok_or_else(|| failed(format!("{modified} is binary")))?;
        let old = fs::read_to_string(&target).map_err(|e| failed(format!("{modified}: {e}")))?;
        let new = diffy::apply(&old, hunks).map_err(|e| failed(format!("{modified}: {e}")))?;
        fs::write(&target, new).map_err(|e| cannot("write", &target, &e))?;
        files += 1;
    }
    if files == 0 {
        return Err(failed("it holds no hunk".into()));
    }
    Ok(())
}

/// `include!` takes no inner attributes and no inner documentation, which a crate
/// root has at its top: they become comments. The package's `lib.rs` says again
/// what matters of them.
fn comment_out_inner_attributes(root: &Path) -> Result<(), String> {
    let text = fs::read_to_string(root).map_err(|e| cannot("read", root, &e))?;
    let commented: String = text
        .split_inclusive('\n')
        .map(|line| match line {
            _ if line.starts_with("//!") || line.starts_with("#![") => format!("// {line}"),
            _ => line.to_owned(),
        })
        .collect();
    fs::write(root, commented).map_err(|e| cannot("write", root, &e))
}

fn env_var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}
