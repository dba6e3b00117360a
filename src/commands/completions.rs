//! `zillions completions`: shell completions for every binary.

use clap::Args;
use clap_complete::Shell;

use crate::failure::Outcome;
use crate::output;

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    zillions completions bash > ~/.local/share/bash-completion/completions/zillions")]
pub struct Arguments {
    /// The shell.
    shell: Shell,
    /// The binary [default: zillions].
    #[arg(long, value_name = "NAME", default_value = "zillions", value_parser = binary_names())]
    binary: String,
}

/// The binaries that completions and manual pages exist for.
pub(crate) fn binary_names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(["zillions", "stresstest", "commandline-client"])
}

/// Prints them.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(arguments: &Arguments, binaries: Vec<clap::Command>) -> Outcome {
    let mut text = Vec::new();
    for mut command in binaries {
        let name = command.get_name().to_owned();
        if name == arguments.binary {
            clap_complete::generate(arguments.shell, &mut command, name, &mut text);
        }
    }
    output::print_document(&String::from_utf8_lossy(&text))
}
