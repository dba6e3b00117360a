//! Which commit the tools are built from: results name it.

use std::path::Path;
use std::process::Command;

fn main() {
    // A new commit, and any change that makes the work tree differ from it.
    for path in [".git/HEAD", ".git/logs/HEAD", ".git/index", "src", "crates", "Cargo.lock"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let commit = commit().unwrap_or_default();
    println!("cargo::rustc-env=ZILLIONS_GIT_COMMIT={commit}");
}

/// The commit, with `-dirty` behind it if tracked files were changed; `None` outside of a clone.
fn commit() -> Option<String> {
    // Of this repository, and not of one that a packaged source lies in.
    if !Path::new(".git").exists() {
        return None;
    }
    let hash = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let dirty = if changed.is_empty() { "" } else { "-dirty" };
    Some(format!("{hash}{dirty}"))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
