//! `zillions new`: a complete small server, copied from a template.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome};
use crate::options::Global;
use crate::output;
use crate::targets;

/// Stands for the entry's name in the templates.
const PLACEHOLDER: &str = "__NAME__";
/// A name also names files beside it, with an end such as .log.
const NAME_BYTES_MAX: usize = 64;

/// Start a new implementation: a complete server that passes the suite.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    zillions new my-server --language rust\n  \
    zillions build my-server && zillions check my-server")]
pub struct Arguments {
    /// Name of the entry and its folder: lower-case letters, digits and hyphens.
    name: String,
    /// Language of the template.
    #[arg(short, long)]
    language: Language,
    /// Parent folder [default: the gallery].
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// The template to start from: one folder of `templates/` per language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// One thread and poll(2).
    C,
    /// Two async methods per client and one lock.
    Csharp,
    /// Two processes per client, and one that gives the order.
    Elixir,
    /// Two goroutines per client and one lock.
    Go,
    /// Two green threads per client and one transaction per message.
    Haskell,
    /// Two threads per client and one lock, without a build tool.
    Java,
    /// One thread and callbacks.
    Javascript,
    /// Two threads per client and one lock, built with Maven.
    Kotlin,
    /// Two loops of promises per client, in one thread.
    Ocaml,
    /// One thread and a selector.
    Python,
    /// Two threads per client and one lock.
    Ruby,
    /// Two threads per client and one lock.
    Rust,
}

/// The files of a template: name and text.
type Template = &'static [(&'static str, &'static str)];

/// Embeds the files of one folder of `templates/`.
macro_rules! template {
    ($folder:ident: $($file:literal),+) => {
        &[$(($file, include_str!(concat!(
            "../../templates/",
            stringify!($folder),
            "/",
            $file
        )))),+]
    };
}

impl Language {
    fn template(self) -> Template {
        match self {
            Self::C => template!(c: ".gitignore", "impl.toml", "README.md", "server.c"),
            Self::Csharp => {
                template!(csharp: ".gitignore", "build.sh", "impl.toml", "README.md", "run.sh",
                          "Server.cs", "Server.csproj")
            }
            Self::Elixir => {
                template!(elixir: ".gitignore", "impl.toml", "README.md", "server.ex")
            }
            Self::Go => {
                template!(go: ".gitignore", "go.mod", "impl.toml", "README.md", "server.go")
            }
            Self::Haskell => {
                template!(haskell: ".gitignore", "impl.toml", "README.md", "Server.hs")
            }
            Self::Java => template!(java: ".gitignore", "impl.toml", "README.md", "Server.java"),
            Self::Javascript => template!(javascript: "impl.toml", "README.md", "server.mjs"),
            Self::Kotlin => {
                template!(kotlin: ".gitignore", "impl.toml", "pom.xml", "README.md", "Server.kt")
            }
            Self::Ocaml => {
                template!(ocaml: ".gitignore", "acknowledge.c", "impl.toml", "README.md",
                          "server.ml")
            }
            Self::Python => template!(python: "impl.toml", "README.md", "server.py"),
            Self::Ruby => template!(ruby: "impl.toml", "README.md", "server.rb"),
            Self::Rust => {
                template!(rust: ".gitignore", "Cargo.toml", "impl.toml", "README.md", "server.rs")
            }
        }
    }
}

/// Copies the template into a new folder.
///
/// # Errors
/// For an invalid name, or a folder that cannot be written.
pub fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let name = &arguments.name;
    check_name(name)?;
    let parent = match &arguments.into {
        Some(folder) => folder.clone(),
        None => targets::gallery_folders(&global.impls)?.remove(0),
    };
    let folder = parent.join(name);
    if folder.exists() {
        return Err(Failure::usage(format!(
            "'{}' exists already: choose another name",
            folder.display()
        )));
    }
    let cannot_write =
        |error| Failure::harness(format!("cannot write '{}': {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(cannot_write)?;
    for (file, text) in arguments.language.template() {
        fs::write(folder.join(file), text.replace(PLACEHOLDER, name)).map_err(cannot_write)?;
    }
    output::print(&format!(
        "{} is a complete server. Next:\n  \
         zillions check {name}     it passes, and should while you change it\n  \
         docs/adding-an-implementation.md     what an entry of the gallery needs\n",
        folder.display()
    ))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if name.len() > NAME_BYTES_MAX {
        return Err(Failure::usage(format!(
            "invalid name '{}…': use at most {NAME_BYTES_MAX} letters, digits and hyphens",
            name.chars().take(20).collect::<String>()
        )));
    }
    if starts_well && name.chars().all(allowed) && !name.ends_with('-') {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "invalid name '{name}': use lower-case letters, digits and hyphens, beginning with a \
         letter, for example my-server"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn names_in(folder: &Path) -> BTreeSet<String> {
        fs::read_dir(folder)
            .expect("a folder")
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn every_template_has_a_language_and_every_file_of_it_is_embedded() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let languages = Language::value_variants().iter().filter_map(|it| it.to_possible_value());
        let languages: BTreeSet<String> = languages.map(|it| it.get_name().to_owned()).collect();
        assert_eq!(names_in(&templates), languages, "one folder of templates/ per language");
        for language in Language::value_variants() {
            let name = language.to_possible_value().expect("no variant is hidden");
            let folder = templates.join(name.get_name());
            let embedded = language.template().iter().map(|(file, _)| (*file).to_owned()).collect();
            assert_eq!(names_in(&folder), embedded, "{}", folder.display());
        }
    }
}
