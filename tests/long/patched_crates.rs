//! The build script of the patched registry crates, tried on a copy of `impls/gjio`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fresh copy of the entry in a repository of its own, whose path holds a space.
/// There is one at a time, so that what does not change is compiled once.
struct Copy {
    entry: PathBuf,
    target: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

fn repository_root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

static TURN: Mutex<()> = Mutex::new(());

impl Copy {
    fn new() -> Copy {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let original = repository_root();
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("patched crates");
        let repository = root.join("repository");
        if repository.exists() {
            fs::remove_dir_all(&repository).unwrap();
        }
        copy_tree(&original.join("impls/gjio"), &repository.join("impls/gjio"));
        fs::create_dir(repository.join("scripts")).unwrap();
        let script = "scripts/patched-crate.rs";
        fs::copy(original.join(script), repository.join(script)).unwrap();
        Copy { entry: repository.join("impls/gjio"), target: root.join("target"), _turn: turn }
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([command, "--locked"]).current_dir(&self.entry);
        cargo.env("CARGO_TARGET_DIR", &self.target).env_remove("RUSTC_WRAPPER");
        cargo
    }

    /// Replaces one place of the patch.
    fn edit_patch(&self, from: &str, to: &str) {
        let patch = self.entry.join("patched/gjio.patch");
        let text = fs::read_to_string(&patch).unwrap();
        assert_eq!(text.matches(from).count(), 1, "'{from}' stands once in the patch");
        fs::write(patch, text.replace(from, to)).unwrap();
    }
}

#[test]
fn a_fresh_copy_builds_and_the_next_build_compiles_nothing() {
    let copy = Copy::new();
    let first = copy.cargo("build").output().unwrap();
    assert!(first.status.success(), "{}", said(&first));
    assert!(said(&first).contains("Compiling gjio v0.1.3+patched"), "{}", said(&first));
    assert!(copy.target.join("debug/server").exists());

    let second = copy.cargo("build").output().unwrap();
    assert!(second.status.success(), "{}", said(&second));
    assert!(!said(&second).contains("Compiling"), "{}", said(&second));
}

#[test]
fn an_edited_patch_is_applied_by_the_next_build() {
    let copy = Copy::new();
    let first = copy.cargo("check").output().unwrap();
    assert!(first.status.success(), "{}", said(&first));

    copy.edit_patch("TcpNoDelay, &true);", "TcpNoDelay, &true); compile_error!(\"edited\");");
    let second = copy.cargo("check").output().unwrap();
    assert!(!second.status.success());
    assert!(said(&second).contains("error: edited"), "{}", said(&second));
}

#[test]
fn a_patch_that_no_longer_applies_is_named_with_crate_file_and_hunk() {
    let copy = Copy::new();
    copy.edit_patch("-        for event in &self.events {", "-        for event in self.events {");
    let output = copy.cargo("check").output().unwrap();
    assert!(!output.status.success());
    let said = said(&output);
    let line = said.lines().find(|line| line.starts_with("error: ")).unwrap_or(&said);
    for expected in ["gjio.patch", "gjio 0.1.3", "src/sys/unix/epoll.rs", "hunk #1"] {
        assert!(line.contains(expected), "'{expected}' is not in: {line}");
    }
}

#[test]
fn the_user_may_wrap_rustc_and_build_from_another_folder() {
    let copy = Copy::new();
    let mut cargo = copy.cargo("check");
    cargo.current_dir(repository_root()).env("RUSTC_WRAPPER", "env");
    let output = cargo.arg("--manifest-path").arg(copy.entry.join("Cargo.toml")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// A context switch in assembly deserves this: fringe's tests, and ours of panics through
/// a switch, floating-point modes and more.
#[cfg(target_arch = "x86_64")]
#[test]
fn fringe_passes_its_own_tests_on_our_context_switch() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--locked"]);
    cargo.current_dir(repository_root().join("impls/libfringe"));
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("fringe"));
    let output = cargo.output().unwrap();
    let passed = String::from_utf8_lossy(&output.stdout).matches("... ok\n").count();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(passed, 25, "eleven tests of fringe's, fourteen of ours");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Copies a folder, leaving out what was built in it.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
