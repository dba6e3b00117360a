//! The program's arguments, for the program itself and for what is generated from them (shell
//! completions, manual pages).

use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::{Address, Exit};

const EXAMPLES: &str = "\
Examples:
  commandline-client                        chat on 127.0.0.1:8080; end with ctrl-D
  commandline-client chat.example.org:7000  another host and port
  printf 'a\\nb\\n' | commandline-client      send two messages, print what comes back
  commandline-client </dev/null --linger-seconds inf >chat.log
                                            say nothing, record what is said

Exit status:
  0   all went well (also when the reader of the output has gone away)
  1   a line was too long and was not sent, or the connection was lost
  64  wrong arguments
  70  no server could be reached";

/// Chats with a server: sends each line of standard input as a message, prints each message
/// received as a line
///
/// A line may have up to 255 bytes, not counting its newline; all of them are sent, a carriage
/// return too. A longer line is refused with its number, and the others are sent. An empty line is
/// an empty message.
///
/// Messages are printed alike on terminals, in files and in pipes: text as it is, but control
/// characters (other than tabs), invisible formatting characters and bytes that are not UTF-8 as
/// escapes such as \r, \x1b, \u{202e} and \xff.
///
/// At the end of input it closes its sending side, prints what still comes and ends when the
/// server closes the connection. A server that keeps it open is left after a quiet time.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = crate::PROGRAM, version, after_help = EXAMPLES)]
pub struct Arguments {
    /// Server to connect to: HOST:PORT, the host a name or an IP address
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub address: Address,

    /// Print messages byte by byte as they came, each followed by a newline, without escapes
    #[arg(long)]
    pub raw: bool,

    /// How long after the end of input a silent server is waited for; inf waits until it closes
    ///
    /// In a room that others keep busy it ends after ten times as long without a message equal to
    /// one of its own.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = quiet)]
    pub linger_seconds: Quiet,
}

/// How long a server may be silent after the end of input; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet(pub Option<Duration>);

/// The definition of the program's arguments.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The arguments this process was given.
///
/// # Errors
///
/// How the program ends without doing anything: the help, the version or what is wrong with the
/// arguments has been printed.
pub fn parse() -> Result<Arguments, Exit> {
    Arguments::try_parse().map_err(|error| {
        let exit = if error.use_stderr() { Exit::Usage } else { Exit::Well };
        // A standard error that cannot be written leaves the exit status to tell.
        let _ = error.print();
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
        _ => Err(format!("give a number from 0 to {SECONDS_MAX}, or inf")),
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
