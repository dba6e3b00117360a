//! Faults of the line on standard output, and of what else is written there: START-2 to START-4.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, ClientId, End, Message};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};
use crate::start;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "line-before-bind",
        "START-2",
        "prints its line 300 ms before it listens",
        || Box::new(LineBeforeBind),
    ),
    Fault::always(
        "unflushed-line",
        "START-2",
        "leaves its line in a buffer until it exits",
        || Box::new(UnflushedLine { buffer: Vec::new() }),
    )
    .by_timeout(),
    Fault::always("wrong-text", "START-2", "prints its line with a capital letter", || {
        Box::new(Announces(|address| format!("Listening on {address}\n")))
    }),
    Fault::always(
        "carriage-return-in-line",
        "START-2",
        "ends its line with a carriage return and a newline",
        || Box::new(Announces(|address| format!("listening on {address}\r\n"))),
    ),
    Fault::always("noise-before-line", "START-2", "prints another line before its line", || {
        Box::new(Announces(|address| format!("starting\nlistening on {address}\n")))
    }),
    Fault::always("no-newline", "START-2", "prints its line without a newline", || {
        Box::new(Announces(|address| format!("listening on {address}")))
    })
    .by_timeout(),
    Fault::always("two-lines", "START-2", "prints its line twice", || {
        Box::new(Announces(|address| format!("listening on {address}\n").repeat(2)))
    }),
    Fault::always(
        "wrong-address-in-line",
        "START-3",
        "prints the wildcard address instead of its own in its line",
        || Box::new(Announces(wildcard_line)),
    ),
    Fault::always(
        "ipv6-in-full",
        "START-3",
        "prints an IPv6 address with all its zeros in its line",
        || Box::new(Announces(line_in_full)),
    ),
    Fault::always(
        "noise-after-line",
        "START-4",
        "reports each connection on standard output",
        || Box::new(NoiseAfterLine),
    ),
    Fault::always(
        "goodbye-on-stdout",
        "START-4",
        "prints a farewell on standard output at SIGTERM",
        || Box::new(Goodbye),
    ),
    Fault::always(
        "says-what-it-drops",
        "START-4",
        "reports dropped messages on standard output",
        || Box::new(SaysWhatItDrops { said: None }),
    ),
    Fault::always(
        "says-who-resets",
        "START-4",
        "reports a reset connection on standard output, unless it held a partial frame or a queue",
        || Box::new(SaysWhoResets),
    ),
    Fault::always(
        "says-that-the-room-is-empty",
        "START-4",
        "reports on standard output that the last client has left",
        || Box::new(SaysEmpty),
    ),
];

/// How much earlier than the listener the line is.
const LINE_AHEAD: Duration = Duration::from_millis(300);

struct LineBeforeBind;

impl Deviation for LineBeforeBind {
    fn before_bind(&mut self, address: &str) -> io::Result<()> {
        start::print(&format!("listening on {address}\n"))?;
        std::thread::sleep(LINE_AHEAD);
        Ok(())
    }

    fn announce(&mut self, _address: &str) -> io::Result<()> {
        Ok(())
    }
}

struct UnflushedLine {
    buffer: Vec<u8>,
}

impl Deviation for UnflushedLine {
    fn announce(&mut self, address: &str) -> io::Result<()> {
        self.buffer = format!("listening on {address}\n").into_bytes();
        Ok(())
    }
}

impl Drop for UnflushedLine {
    fn drop(&mut self) {
        let _ = start::print(&String::from_utf8_lossy(&self.buffer));
    }
}

struct Announces(fn(&str) -> String);

impl Deviation for Announces {
    fn announce(&mut self, address: &str) -> io::Result<()> {
        start::print(&self.0(address))
    }
}

fn wildcard_line(address: &str) -> String {
    let port = address.rsplit(':').next().unwrap_or_default();
    let host = if address.starts_with('[') { "[::]" } else { "0.0.0.0" };
    format!("listening on {host}:{port}\n")
}

fn line_in_full(address: &str) -> String {
    let Ok(SocketAddr::V6(v6)) = address.parse() else {
        return format!("listening on {address}\n");
    };
    let groups = v6.ip().segments().map(|group| format!("{group:x}"));
    format!("listening on [{}]:{}\n", groups.join(":"), v6.port())
}

struct NoiseAfterLine;

impl Deviation for NoiseAfterLine {
    fn joined(&mut self, _state: &mut ServerState, id: ClientId) {
        let _ = start::print(&format!("client {id} connected\n"));
    }
}

/// The minimum interval between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

struct SaysWhatItDrops {
    said: Option<Instant>,
}

impl Deviation for SaysWhatItDrops {
    fn overflow(&mut self, client: &mut Client, message: &Message, context: &Context) {
        if self.said.is_none_or(|said| said.elapsed() >= REPORT_EVERY) {
            self.said = Some(Instant::now());
            let _ = start::print(&format!("client {} is slow, dropped a message\n", client.id));
        }
        correct::overflow(self, client, message, context);
    }
}

struct SaysWhoResets;

impl Deviation for SaysWhoResets {
    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        if end == End::Reset && client.inbound.is_empty() && client.outbound.queue.is_empty() {
            let _ = start::print(&format!("client {} was reset\n", client.id));
        }
        Ok(Vec::new())
    }
}

struct SaysEmpty;

impl Deviation for SaysEmpty {
    fn left(&mut self, state: &mut ServerState, _client: Client, _end: End) {
        if state.clients.is_empty() {
            let _ = start::print("nobody is left\n");
        }
    }
}

struct Goodbye;

impl Deviation for Goodbye {
    fn stops(&mut self, _state: &ServerState) -> bool {
        let _ = start::print("goodbye\n");
        true
    }
}
