//! One file per subcommand: its arguments, and what it does with them.

pub mod bench;
pub mod bench_agent;
pub mod build;
pub mod chat;
pub mod check;
pub mod compare;
pub mod completions;
pub mod doctor;
pub mod gallery_docs;
pub mod list;
pub mod man;
pub mod new;
pub mod report;
pub mod self_check;
pub mod verify;
pub mod yardstick;

use crate::cli::{self, Command, Zillions};
use crate::failure::Outcome;

/// Carries out what was asked.
///
/// # Errors
/// As the command says.
pub fn dispatch(arguments: Zillions) -> Outcome {
    let global = &arguments.global;
    match arguments.command {
        Command::List(arguments) => list::run(&arguments, global),
        Command::Build(arguments) => build::run(&arguments, global),
        Command::Check(arguments) => check::run(&arguments, global),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::SelfCheck(arguments) => self_check::run(&arguments),
        Command::New(arguments) => new::run(&arguments, global),
        Command::GalleryDocs(arguments) => gallery_docs::run(&arguments, global),
        Command::Bench(arguments) => bench::run(&arguments, global),
        Command::Report(arguments) => report::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Chat(arguments) => chat::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments, global),
        // The binary's main has carried it out before it came here.
        Command::FaultyServer(_) => Ok(()),
        Command::BenchAgent(arguments) => bench_agent::run(&arguments),
        Command::Yardstick(arguments) => yardstick::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, cli::all_commands()),
        Command::Man(arguments) => man::run(&arguments, cli::all_commands()),
    }
}
