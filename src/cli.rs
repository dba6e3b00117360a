//! The command line, defined once: help, completions and manual pages come
//! from here.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::failure::{Failure, PASS, USAGE};

/// One tiny chat-server spec, zillions of ways to write it: prove that a
/// server is correct, and measure what its style costs.
#[derive(Debug, Parser)]
#[command(
    name = "zillions",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:\n  \
        zillions list                     the gallery, and what this machine can build\n  \
        zillions check std-mpsc ./server  check an entry and any executable against the spec\n  \
        zillions bench                    build, check and measure everything; write a report\n\n\
        Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 usage, 70 the tool itself failed."
)]
pub struct Zillions {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder of implementations; may be repeated [default: the
    /// nearest folder called impls here or above].
    #[arg(long, global = true, value_name = "DIR", env = "ZILLIONS_IMPLS", value_delimiter = ':')]
    pub impls: Vec<PathBuf>,
    /// Colours in the output.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Plain text.
    #[default]
    Human,
    /// One JSON document with a schema name.
    Json,
}

/// The subcommands; each says in its own file what it is.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a comment here would replace the help text of the command's file")]
pub enum Command {
    List(commands::list::Arguments),
    Build(commands::build::Arguments),
    Check(commands::check::Arguments),
    Verify(commands::verify::Arguments),
    SelfCheck(commands::self_check::Arguments),
    New(commands::new::Arguments),
    GalleryDocs(commands::gallery_docs::Arguments),
    Bench(commands::bench::Arguments),
    Report(commands::report::Arguments),
    Compare(commands::compare::Arguments),
    Doctor(commands::doctor::Arguments),
    #[command(
        name = "faulty-server",
        about = "Run a small correct server, or one with a known fault"
    )]
    FaultyServer(zillions_faulty::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::man::Arguments),
}

/// Parses a duration above 0 and of at most a day: longer ones are typing errors.
///
/// # Errors
/// For anything else, with an example.
pub(crate) fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("write a number of seconds above 0 and up to 86400, for example 0.5".to_owned()),
    }
}

/// Parses the process's arguments into `T`.
///
/// # Errors
/// With everything printed already: help and version end with exit code 0,
/// anything else with 64.
pub fn parse<T: Parser>() -> Result<T, Failure> {
    T::try_parse().map_err(|error| {
        // If even standard error is closed there is nobody to tell.
        let _ = error.print();
        let asked_for = matches!(
            error.kind(),
            clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
        );
        Failure::silent(if asked_for { PASS } else { USAGE })
    })
}

/// Every binary's definition, for completions and manual pages.
pub fn all_commands() -> Vec<clap::Command> {
    vec![
        Zillions::command(),
        crate::stresstest::Arguments::command(),
        zillions_client::cli::command(),
        zillions_server::Options::command(),
    ]
}
