//! `zillions yardstick`: the sender of a limit, which `zillions bench` starts for itself.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use clap::{Args, ValueEnum};
use zillions_load::CLIENTS_MAX;
use zillions_load::yardstick::{Feed, Pace};

use crate::failure::{Failure, Outcome};

/// Send to clients without being a server: what 'zillions bench' compares servers with.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  zillions yardstick bare-receiver --clients 33 127.0.0.1:8080\n  \
    zillions yardstick send-loop --clients 10 --per-second 1000 127.0.0.1:8080\n\n\
    It waits for its clients, then sends until it is stopped, and never reads.\n\
    Exit codes: 64 usage or an address that cannot be used, 70 a system call failed."
)]
pub struct Arguments {
    /// The limit that is measured.
    kind: Kind,
    /// The address to listen on.
    #[arg(value_name = "HOST:PORT")]
    address: SocketAddr,
    /// Clients to wait for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX as i64))]
    clients: u32,
    /// Lengths of the bodies, in turn.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "64")]
    body_bytes: Vec<u8>,
    /// Further messages before each of these.
    #[arg(long, value_name = "N", default_value = "0")]
    untimed: u32,
    /// Length of their bodies.
    #[arg(long, value_name = "BYTES", default_value = "1")]
    untimed_bytes: u8,
    /// Messages of a send-loop that are due at the same moment.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Such moments per second.
    #[arg(long, value_name = "RATE", default_value = "1000", value_parser = rate)]
    per_second: f64,
}

/// Which limit the sender serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// As much as the sockets take, with large sends.
    BareReceiver,
    /// One send per message and client, at a rate.
    SendLoop,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= zillions_load::MESSAGES_PER_SECOND_MAX => Ok(rate),
        _ => Err(format!(
            "write a number above 0 and up to {}",
            zillions_load::MESSAGES_PER_SECOND_MAX
        )),
    }
}

/// Sends until the process is stopped.
///
/// # Errors
/// If it cannot listen, accept or wait.
pub fn run(arguments: &Arguments) -> Outcome {
    let address = arguments.address;
    let listener = TcpListener::bind(address)
        .map_err(|error| Failure::usage(format!("cannot listen on {address}: {error}")))?;
    let bound = listener.local_addr().map_err(Failure::harness)?;
    // A server's line, which 'zillions bench' waits for.
    let mut out = std::io::stdout();
    writeln!(out, "listening on {bound}").and_then(|()| out.flush()).map_err(Failure::harness)?;
    let feed = Feed {
        clients: arguments.clients as usize,
        body_bytes: arguments.body_bytes.clone(),
        untimed: arguments.untimed,
        untimed_bytes: arguments.untimed_bytes,
        pace: match arguments.kind {
            Kind::BareReceiver => Pace::Saturate,
            Kind::SendLoop => {
                Pace::Rate { messages: arguments.messages, per_second: arguments.per_second }
            }
        },
    };
    feed.serve(&listener)
        .map_err(|error| Failure::harness(format!("cannot send to the clients: {error}")))?;
    // As a server would, it stays until it is told to end.
    loop {
        std::thread::park();
    }
}
