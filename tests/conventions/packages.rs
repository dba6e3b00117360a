//! What the manifests of the packages say of their tests.

use crate::tree::{File, Offenders, file, files_in, folders_in};

#[test]
fn examples_in_the_documentation_are_compiled_and_run() {
    let mut offenders = Offenders::of(
        "an example that nobody compiles drifts from the code; and to look for examples where there \
         are none takes 'cargo test' a while: such a crate says 'doctest = false', and no other",
    );
    for name in folders_in("crates") {
        offenders.look();
        let path = format!("crates/{name}/Cargo.toml");
        let manifest = file(&path).unwrap_or_else(|| panic!("{path} is missing"));
        let table: toml::Table = manifest.text.parse().unwrap_or_else(|it| panic!("{path}: {it}"));
        let setting = table.get("lib").and_then(|library| library.get("doctest"));
        let are_tested = setting.and_then(toml::Value::as_bool).unwrap_or(true);
        let sources = format!("crates/{name}/src");
        match files_in(&sources).find_map(|file| Some((file, first_example(file)?))) {
            Some((file, line)) if !are_tested => {
                offenders.add(&file.path, line, "this example is not compiled");
            }
            None if are_tested => offenders.add(&path, 1, "there are no examples"),
            _ => {}
        }
    }
    offenders.assert_none();
}

/// The line of the first block of code in the documentation of `file`.
fn first_example(file: &File) -> Option<usize> {
    let fences = file.lines().filter_map(|(number, line)| Some((number, fence(line)?)));
    // Every other one ends a block.
    fences.step_by(2).find(|(_, language)| *language != "text").map(|(number, _)| number)
}

/// The language behind the fence that a line of documentation is, if it is one.
fn fence(line: &str) -> Option<&str> {
    let documentation = line.trim_start().strip_prefix("//")?.strip_prefix(['/', '!'])?;
    documentation.trim_start().strip_prefix("```")
}
