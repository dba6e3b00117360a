//! The program's arguments and exit statuses, for the program itself, shell completions and manual
//! pages.

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser};
use zillions_console::{Color, ColorOption};

use crate::connect::Address;

/// The program's name, in its help and before each of its errors.
pub const PROGRAM: &str = "commandline-client";

const EXAMPLES: &str = "\
Examples:
  commandline-client                        chat on 127.0.0.1:8080; end with ctrl-D
  commandline-client chat.example.org:7000  another host and port
  printf 'a\\nb\\n' | commandline-client      send two messages, print what comes back
  sleep inf | commandline-client >chat.log  send nothing, record the messages until ctrl-C

Exit status:
  0   success (also when the reader of the output has gone away)
  1   a line was too long and was not sent, or the connection was lost
  64  invalid arguments
  70  no server could be reached, or this machine is why the connection was lost";

/// Chats with a server: sends each line of standard input as a message, prints each message
/// received as a line
///
/// A line may have up to 255 bytes without its newline; all of them are sent, carriage returns
/// included. Longer lines are not sent but reported by number. An empty line is an empty message.
///
/// Messages are printed as text. Control characters other than tabs, invisible formatting
/// characters and invalid UTF-8 are escaped, for example as \r, \x1b, \u{202e} and \xff, also in
/// files and pipes.
///
/// At the end of input it closes its sending side, prints what still arrives and ends when the
/// server closes the connection, or after a quiet time if the server does not.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = PROGRAM, version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Server to connect to: HOST:PORT, the host a name or an IP address
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub address: Address,

    /// Print the bytes of each message unescaped, followed by a newline
    #[arg(long)]
    pub raw: bool,

    /// Quiet time after the end of input before the client ends; inf waits for the server
    ///
    /// While others keep sending, it ends after ten times as long without a message equal to one
    /// of its own.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = quiet)]
    pub linger_seconds: Quiet,

    /// When to use colours.
    #[command(flatten)]
    pub color: ColorOption,
}

/// How long a server may be silent after the end of input; `None` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet(pub Option<Duration>);

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was sent, and everything received was printed; or the reader of the output has
    /// gone away.
    Success = 0,
    /// A line was not sent, or the connection or a file failed.
    Failed = 1,
    /// Invalid arguments.
    Usage = 64,
    /// No server could be reached, or the machine is why the connection was lost.
    Unreachable = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The definition of the program's arguments.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The arguments this process was given.
///
/// # Errors
///
/// How the program ends at once: it has printed the help, the version or what is wrong with the
/// arguments.
pub fn parse() -> Result<Arguments, Exit> {
    Color::asked_for(std::env::args_os()).apply();
    Arguments::try_parse().map_err(|error| {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
        let text = error.render().ansi().to_string();
        if error.use_stderr() {
            zillions_console::note(text.trim_end());
        } else {
            // If its reader has gone away, nobody wants it.
            let _ = zillions_console::out(&text);
        }
        exit
    })
}

fn quiet(text: &str) -> Result<Quiet, String> {
    const SECONDS_MAX: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(f64::INFINITY) => Ok(Quiet(None)),
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Quiet(Some(Duration::from_secs_f64(seconds))))
        }
        _ => Err(format!("use a number from 0 to {SECONDS_MAX}, or inf")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_quiet_time_is_a_number_of_seconds_or_for_ever() {
        assert_eq!(quiet("0.25"), Ok(Quiet(Some(Duration::from_millis(250)))));
        assert_eq!(quiet("0"), Ok(Quiet(Some(Duration::ZERO))));
        assert_eq!(quiet("inf"), Ok(Quiet(None)));
        for text in ["", "-1", "NaN", "-inf", "86401", "1s"] {
            assert!(quiet(text).is_err(), "{text}");
        }
    }
}
