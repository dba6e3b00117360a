//! Lists the scenario files, so that a file in `scenarios/` is a built-in scenario.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The lists and their folders, relative to the workspace.
const LISTS: [(&str, &str); 2] = [("BUILT_IN", "scenarios"), ("BROKERS", "scenarios/brokers")];

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let mut source = String::new();
    for (list, folder) in LISTS {
        println!("cargo::rerun-if-changed=../../{folder}");
        writeln!(source, "const {list}: &[(&str, &str)] = &[")?;
        for path in toml_files(&workspace.join(folder))? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            writeln!(source, "    ({name:?}, include_str!({path:?})),")?;
        }
        writeln!(source, "];")?;
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("scenarios.rs"), source)?;
    Ok(())
}

/// In the order of their names.
fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    Ok(files)
}
