//! `zillions chat`: the full-screen chat client.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};
use clap::Args;
use zillions_chat::{ChatError, Options, ServerAddress, check_name, restore_terminal, user_name};
use zillions_harness::interrupt;

use crate::failure::{Failure, Outcome};

/// Chat on a terminal, full-screen: over TCP, TLS or WebSocket.
///
/// Each message begins with your name, as in `ann: hello`. What is too long for a message of 255
/// bytes is sent as several, and each line of a paste is a message; the status line tells how many
/// messages Enter will send, and how many bytes are left in the last of them.
#[derive(Debug, Args)]
#[command(after_help = "Keys:\n  \
    Enter sends; PageUp, PageDown, Up, Down, ctrl-Home and ctrl-End scroll;\n  \
    ctrl-A, E, B, F, H, W, U, K, arrows, Home and End edit; ctrl-L redraws; ctrl-C, ctrl-D and Esc \
    quit\n\n\
    Examples:\n  \
    zillions chat localhost:8080                          a server on this machine\n  \
    zillions chat --name 'Ann B.' chat.example.org:7000   under another name\n  \
    zillions chat --tls-ca ca.pem tls://localhost:7443    encrypted; by an authority of your own\n  \
    zillions chat --token-file token wss://chat.example.org/room  a WebSocket, with a token\n\n\
    Exit codes: 0 you quit, 1 something typed was not sent, 64 usage or not a terminal, 70 the \
    server was not reached.")]
pub struct Arguments {
    /// Server to connect to: HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH or
    /// wss://HOST:PORT/PATH.
    #[arg(value_name = "ADDR")]
    address: ServerAddress,
    /// Your name in the chat, of at most 32 bytes [default: your user name].
    #[arg(long, value_name = "NAME", value_parser = check_name)]
    name: Option<String>,
    /// Certificates (PEM) of the authorities to trust, in place of the system's.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// File with the token that a WebSocket server asks for (Authorization: Bearer).
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Chats until the user quits.
///
/// # Errors
/// When there is no terminal, the server is not reached, or not everything was sent.
pub fn run(arguments: Arguments) -> Outcome {
    let Arguments { address, name, tls_ca, token_file } = arguments;
    if tls_ca.is_some() && !address.is_tls() {
        return Err(Failure::usage("--tls-ca needs an address with tls:// or wss://"));
    }
    if token_file.is_some() && !address.is_web_socket() {
        return Err(Failure::usage("--token-file needs an address with ws:// or wss://"));
    }
    let token = token_file.as_deref().map(read_token).transpose()?;
    let colours = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let name = name.unwrap_or_else(user_name);
    interrupt::before_exit(restore_terminal);
    let options = Options { address, name, tls_ca, token, colours };
    zillions_chat::run(options).map_err(|error| match &error {
        ChatError::NoTerminal(_) | ChatError::Trust(_) => Failure::usage(&error),
        ChatError::NotSent => Failure::fail(&error),
        ChatError::Unreachable(_) | ChatError::Terminal(_) => Failure::harness(&error),
    })
}

/// The token in a file, without the newline that an editor puts there.
fn read_token(path: &Path) -> Result<String, Failure> {
    let fail = |reason: String| {
        Failure::usage(format!("cannot read a token from '{}': {reason}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    let token = text.trim();
    // RFC 6750's alphabet, and nothing that could begin another header.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fail("it must be one word of ASCII".to_owned()));
    }
    Ok(token.to_owned())
}
