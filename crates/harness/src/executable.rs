//! Why the system does not run a program that is there: its interpreter, its loader or a
//! library is missing, it is for another processor, or the machine has no room for it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;

use crate::launch::{Launch, locate};
use crate::machine_fault::MachineFault;

/// How much of a program is looked at: the first line of a script, the headers of a binary.
const HEAD_BYTES_MAX: u64 = 16 * 1024;
/// What a shell exits with that cannot run a program, and one that is given a binary.
const EXIT_CODES_NOT_RUN: [i32; 3] = [2, 126, 127];
/// What the dynamic loader says of a library that is missing.
const LIBRARY_MISSING: &str = "error while loading shared libraries";

/// What `error`, with which the system refused to execute `launch`, is about.
pub fn refusal(launch: &Launch, error: &io::Error) -> String {
    let program = &launch.program;
    let reason = match Errno::from_io_error(error) {
        Some(Errno::NOENT) => {
            let directory = launch.directory.as_ref().filter(|directory| !directory.is_dir());
            match directory {
                Some(directory) => {
                    Some(format!("its working directory '{}' is not found", directory.display()))
                }
                None => missing_interpreter(program),
            }
        }
        Some(Errno::NOEXEC) => Some(foreign(program).unwrap_or_else(|| {
            "it is neither a program for this machine nor a script that begins with '#!'".to_owned()
        })),
        Some(Errno::ACCESS) => Some(forbidden(program)),
        Some(Errno::AGAIN) => Some(
            "this machine allows no more processes: end other programs, or raise the limit with \
             ulimit -u"
                .to_owned(),
        ),
        _ => MachineFault::of(error).map(|fault| fault.to_string()),
    };
    reason.unwrap_or_else(|| error.to_string())
}

/// Why `program`, which exited with `code` and these last words, never ran, if that is so.
pub fn never_ran(program: &Path, code: Option<i32>, log: &[String]) -> Option<String> {
    if !EXIT_CODES_NOT_RUN.contains(&code?) {
        return None;
    }
    if let Some(line) = log.iter().find(|line| line.contains(LIBRARY_MISSING)) {
        return Some(format!("{line}: install that library"));
    }
    missing_interpreter(program).or_else(|| foreign(program))
}

fn forbidden(program: &Path) -> String {
    if statvfs(program).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        return "it is on a file system that is mounted noexec: copy it to another one".to_owned();
    }
    match interpreter(program) {
        Some(path) => format!(
            "no permission to execute it, or its interpreter '{}': see ls -l and namei -l",
            path.display()
        ),
        None => "no permission to execute it: see ls -l and namei -l".to_owned(),
    }
}

fn missing_interpreter(program: &Path) -> Option<String> {
    let interpreter = interpreter(program)?;
    let shown = interpreter.to_string_lossy().escape_debug().to_string();
    if locate(&interpreter).is_some() {
        return None;
    }
    let remedy = if shown.ends_with("\\r") {
        "end its first line with LF only"
    } else if interpreter.is_absolute() {
        "install it, or correct the path"
    } else {
        "install it, or add its folder to PATH"
    };
    Some(format!("its interpreter '{shown}' is not found: {remedy}"))
}

/// The program that runs `program`: that of the first line of a script, and of `env` what it
/// looks for; the dynamic loader of a binary.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let head = head(program)?;
    let Some(line) = head.strip_prefix(b"#!") else { return loader(&head) };
    let line = line.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let first = PathBuf::from(words.next()?);
    if first.file_name().is_none_or(|name| name != "env") {
        return Some(first);
    }
    let wanted = words.find(|word| !word.starts_with('-') && !word.contains('='));
    Some(wanted.map_or(first, PathBuf::from))
}

fn head(program: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    File::open(program).ok()?.take(HEAD_BYTES_MAX).read_to_end(&mut head).ok()?;
    Some(head)
}

/// The loader that an ELF binary of 64 bits names; see elf(5).
fn loader(head: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(head.get(at..at.checked_add(bytes)?)?);
        Some(u64::from_le_bytes(value))
    };
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let entries = (0..count).map(|index| usize::try_from(table.checked_add(index * size)?).ok());
    let entry = entries.flatten().find(|&at| number(at, 4) == Some(PT_INTERP))?;
    let begin = usize::try_from(number(entry + 8, 8)?).ok()?;
    let path = head.get(begin..)?.split(|&byte| byte == 0).next()?;
    Some(PathBuf::from(String::from_utf8_lossy(path).into_owned()))
}

/// Says so of a binary that is for another kind of processor than this one.
fn foreign(program: &Path) -> Option<String> {
    const CLASS_AND_MACHINE: [std::ops::Range<usize>; 2] = [4..6, 18..20];
    let (theirs, ours) = (head(program)?, head(Path::new("/proc/self/exe"))?);
    let differs =
        CLASS_AND_MACHINE.into_iter().any(|range| theirs.get(range.clone()) != ours.get(range));
    (theirs.starts_with(b"\x7fELF") && differs).then(|| {
        format!(
            "it is a program for another kind of processor than {}: build it for this machine",
            std::env::consts::ARCH
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What is said of a program with this content that was not found.
    fn not_found(content: &[u8]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server");
        fs::write(&path, content).expect("a program");
        refusal(&launch(path), &Errno::NOENT.into())
    }

    fn launch(program: PathBuf) -> Launch {
        let (arguments, directory) = (Vec::new(), None);
        Launch { arguments, directory, ..Launch::new(program) }
    }

    #[test]
    fn an_interpreter_that_is_missing_is_named() {
        assert_eq!(
            not_found(b"#! /usr/bin/nope -x\nserve"),
            "its interpreter '/usr/bin/nope' is not found: install it, or correct the path"
        );
        assert_eq!(
            not_found(b"#!/bin/sh\r\nserve\r\n"),
            "its interpreter '/bin/sh\\r' is not found: end its first line with LF only"
        );
        assert_eq!(
            not_found(b"#!/usr/bin/env -S A=1 no-such-python -u\n"),
            "its interpreter 'no-such-python' is not found: install it, or add its folder to PATH"
        );
        assert_eq!(not_found(b"#!/bin/sh\n"), "No such file or directory (os error 2)");
    }

    #[test]
    fn a_loader_that_is_missing_is_named() {
        let ours = fs::read("/proc/self/exe").expect("this program");
        let Some(loader) = loader(&ours) else { return };
        assert!(loader.is_file(), "{loader:?}");
        let name = loader.to_string_lossy().into_owned().into_bytes();
        let at = ours.windows(name.len()).position(|it| it == name).expect("its name");
        let mut theirs = ours[..HEAD_BYTES_MAX as usize].to_vec();
        theirs[at + name.len() - 1] = b'?';
        let said = not_found(&theirs);
        assert!(said.starts_with("its interpreter '/"), "{said}");
        assert!(said.contains("?' is not found"), "{said}");
    }

    #[test]
    fn a_folder_to_run_in_that_is_missing_is_named() {
        let directory = Some(PathBuf::from("/no/such/folder"));
        let launch = Launch { directory, ..launch("/bin/sh".into()) };
        let said = refusal(&launch, &Errno::NOENT.into());
        assert_eq!(said, "its working directory '/no/such/folder' is not found");
    }

    #[test]
    fn a_program_for_another_processor_is_told_from_one_that_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server");
        let mut binary = head(Path::new("/proc/self/exe")).expect("this program");
        fs::write(&path, &binary).expect("a program");
        assert_eq!(never_ran(&path, Some(2), &[]), None);
        binary[18] ^= 1;
        fs::write(&path, &binary).expect("a program");
        let said = never_ran(&path, Some(2), &[]).expect("it never ran");
        assert!(said.starts_with("it is a program for another kind of processor"), "{said}");
        assert_eq!(never_ran(&path, Some(1), &[]), None);
        assert_eq!(never_ran(&path, None, &[]), None, "it was killed");
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let line = "./server: error while loading shared libraries: libx.so.1: cannot open";
        let said = never_ran(Path::new("/bin/sh"), Some(127), &[line.to_owned()]);
        assert_eq!(said, Some(format!("{line}: install that library")));
    }
}
