//! The command line, defined once: help, completions and manual pages come
//! from here.

use clap::{CommandFactory, Parser, Subcommand};

use zillions_console::Color;

use crate::commands::{
    bench, bench_agent, build, chat, check, compare, completions, doctor, gallery_docs, list, man,
    new, report, self_check, verify, yardstick,
};
use crate::failure::{Failure, PASS, USAGE};
use crate::options::Global;
use crate::output;

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
        zillions check std-mpsc ./server  check an entry and any executable\n  \
        zillions bench                    measure one of each style; write a report\n\n\
        Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 usage, 70 the tool itself failed.\n\
        They are the same if the reader of the output has gone."
)]
pub struct Zillions {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands; each says in its own file what it is.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a comment here would replace the help text of the command's file")]
pub enum Command {
    List(list::Arguments),
    Build(build::Arguments),
    Check(check::Arguments),
    Verify(verify::Arguments),
    SelfCheck(self_check::Arguments),
    New(new::Arguments),
    GalleryDocs(gallery_docs::Arguments),
    Bench(bench::Arguments),
    Report(report::Arguments),
    Compare(compare::Arguments),
    Chat(chat::Arguments),
    Doctor(doctor::Arguments),
    #[command(
        name = "faulty-server",
        about = "Run a small correct server, or one with a known fault"
    )]
    FaultyServer(zillions_faulty::Arguments),
    #[command(hide = true)]
    BenchAgent(bench_agent::Arguments),
    #[command(hide = true)]
    Yardstick(yardstick::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Parses the process's arguments into `T`.
///
/// # Errors
/// With everything printed already: help and version end with exit code 0,
/// anything else with 64.
pub fn parse<T: Parser>() -> Result<T, Failure> {
    Color::asked_for(std::env::args_os()).apply();
    T::try_parse().map_err(|error| {
        let text = error.render().ansi().to_string();
        let asked_for = matches!(
            error.kind(),
            clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
        );
        if error.use_stderr() {
            zillions_console::note(text.trim_end());
        } else if let Err(failure) = output::print(&text) {
            return failure;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a terminal that nobody has made wider.
    const COLUMNS: usize = 80;

    #[test]
    fn examples_are_not_broken_by_a_terminal_of_80_columns() {
        let zillions = Zillions::command();
        let of = |name: &str| zillions.find_subcommand(name).expect("a command");
        for command in [&zillions, of("check"), of("bench")] {
            let help = command.get_after_help().expect("examples").to_string();
            let examples: Vec<&str> = help.lines().filter(|it| it.starts_with("  ")).collect();
            assert!(examples.len() > 2, "{help}");
            for line in examples {
                assert!(line.len() <= COLUMNS, "{line}");
            }
        }
    }
}
