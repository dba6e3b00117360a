//! Faults of half-close, end of file and resets: END.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

use crate::client::{Client, ClientId, End, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::fault::Fault;
use crate::server_state::{Context, ServerState};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::always(
        "frames-lost-at-fin",
        "END-1",
        "discards frames that arrive together with the end of the stream",
        || Box::new(AtFin { keeps_frames: false }),
    )
    .by_timeout(),
    Fault::always(
        "last-read-of-512",
        "END-1",
        "reads 512 bytes once the end of a stream has arrived and discards the rest",
        || Box::new(LastRead),
    )
    .by_timeout(),
    Fault::always(
        "drops-echo-at-half-close",
        "END-2",
        "closes a half-closed connection at once, without the client's last echoes",
        || Box::new(AtFin { keeps_frames: true }),
    ),
    Fault::always("reset-kills", "END-3", "dies when a client resets its connection", || {
        Box::new(ResetKills)
    }),
    Fault::always("sigpipe-kills", "END-3", "dies when it writes to a client that is gone", || {
        Box::new(SigpipeKills)
    }),
    Fault::always(
        "reset-disconnects-all",
        "END-3",
        "disconnects all others when a client resets its connection",
        || Box::new(ResetDisconnects),
    ),
    Fault::always(
        "reset-at-accept-stops-accepting",
        "END-3",
        "stops accepting when a connection is reset before it is accepted",
        || Box::new(ResetAtAccept),
    )
    .by_timeout(),
    Fault::always(
        "descriptor-leak",
        "END-4",
        "closes the connection of a client that left but keeps its descriptor",
        || DescriptorLeak::make(|_| true),
    ),
    Fault::always(
        "descriptor-leak-at-reset",
        "END-4",
        "leaks the descriptor of a client that reset its connection",
        || DescriptorLeak::make(|leave| leave.end == End::Reset),
    ),
    Fault::always(
        "descriptor-leak-without-a-byte",
        "END-4",
        "leaks the descriptor of a client that reset without having sent a byte",
        || DescriptorLeak::make(|leave| leave.end == End::Reset && !leave.was_heard),
    ),
    Fault::always(
        "descriptor-leak-in-mid-frame",
        "END-4",
        "leaks the descriptor of a client that reset inside a frame",
        || DescriptorLeak::make(|leave| leave.end == End::Reset && leave.was_in_mid_frame),
    ),
    Fault::always(
        "descriptor-leak-with-queue",
        "END-4",
        "leaks the descriptor of a client that left with messages queued for it",
        || DescriptorLeak::make(|leave| leave.had_queue),
    ),
    Fault::always(
        "descriptor-lost-at-reset-after-half-close",
        "END-4",
        "leaks the descriptor of a client that half-closed, had messages queued, and then reset",
        || DescriptorLeak::make(|l| l.end == End::Reset && l.had_finished && l.had_queue),
    ),
    Fault::always(
        "never-closes",
        "END-4",
        "never closes the connection of a client that closed its sending side",
        || Box::new(NeverCloses),
    ),
    Fault::always(
        "thread-left-per-connection",
        "END-4",
        "leaves a waiting thread behind for each client that has left",
        || Box::new(ThreadLeft { left: 0 }),
    ),
    Fault::always(
        "zombie-per-connection",
        "END-4",
        "starts a process per client and never waits for it",
        || Box::new(Zombies { unasked: Vec::new() }),
    ),
    Fault::always("memory-leak-per-connection", "END-4", "leaks 64 KiB per connection", || {
        Box::new(MemoryLeak { lost: Vec::new() })
    }),
];

/// The delay between waking up and reading: long enough for everything that a client does
/// at once to have arrived.
const WAKING: Duration = Duration::from_micros(500);

/// Checks for the end of the stream before it handles what precedes it.
struct AtFin {
    keeps_frames: bool,
}

impl Deviation for AtFin {
    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        context: &Context,
    ) -> io::Result<usize> {
        context.pause(WAKING);
        let mut count = client.read(buffer)?;
        while count > 0 && count < buffer.len() {
            match client.read(&mut buffer[count..]) {
                Ok(0) if self.keeps_frames => {
                    client.state = State::Gone(End::Finished);
                    return Ok(count);
                }
                Ok(0) => return Ok(0),
                Ok(more) => count += more,
                // The next read reports any error again.
                Err(_) => break,
            }
        }
        Ok(count)
    }
}

/// How much of a stream that has ended is read.
const LAST_READ_BYTES: usize = 512;

struct LastRead;

/// Whether the end of the stream has arrived, by itself and not by a reset.
fn has_finished(client: &Client) -> bool {
    let mut descriptors = [PollFd::new(&client.stream, PollFlags::RDHUP)];
    let polled = poll(&mut descriptors, Some(&Timespec::default()));
    let flags = descriptors[0].revents();
    polled.is_ok() && flags.contains(PollFlags::RDHUP) && !flags.contains(PollFlags::ERR)
}

impl Deviation for LastRead {
    fn read(
        &mut self,
        client: &mut Client,
        buffer: &mut [u8],
        _context: &Context,
    ) -> io::Result<usize> {
        if !has_finished(client) {
            return client.read(buffer);
        }
        let length = buffer.len().min(LAST_READ_BYTES);
        let (last, rest) = buffer.split_at_mut(length);
        let count = client.read(last)?;
        // The next read reports any error.
        while client.read(rest).is_ok_and(|thrown_away| thrown_away > 0) {}
        Ok(count)
    }
}

struct ResetKills;

impl Deviation for ResetKills {
    fn ended(&mut self, _client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        if end == End::Reset {
            let reason = "a client reset its connection".to_owned();
            return Err(Error::Fault { fault: "reset-kills", reason });
        }
        Ok(Vec::new())
    }
}

struct SigpipeKills;

impl SigpipeKills {
    fn die() {
        // Ends the process as the signal would.
        let _ = emulate_default_handler(SIGPIPE);
    }
}

impl Deviation for SigpipeKills {
    fn flush(&mut self, client: &mut Client, context: &Context) -> io::Result<()> {
        let flushed = correct::flush(client, context);
        if let Err(error) = &flushed
            && matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
        {
            Self::die();
        }
        flushed
    }

    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        // The reset was seen before the next write: that would have failed.
        if end == End::Reset && !client.outbound.queue.is_empty() {
            Self::die();
        }
        Ok(Vec::new())
    }
}

struct ResetDisconnects;

impl Deviation for ResetDisconnects {
    fn left(&mut self, state: &mut ServerState, _client: Client, end: End) {
        if end == End::Reset {
            state.clients.values_mut().for_each(Client::remove);
        }
    }
}

struct ResetAtAccept;

impl Deviation for ResetAtAccept {
    fn accept(&mut self, state: &mut ServerState) -> io::Result<TcpStream> {
        state.context.pause(WAKING);
        let (stream, _) = state.listener.accept()?;
        if let Err(error) = stream.peer_addr() {
            state.stop_accepting()?;
            return Err(error);
        }
        Ok(stream)
    }
}

/// How a client left.
struct Leave {
    end: End,
    was_heard: bool,
    was_in_mid_frame: bool,
    had_finished: bool,
    had_queue: bool,
}

struct DescriptorLeak {
    leaks: fn(&Leave) -> bool,
    /// The clients that have sent a byte, that left inside a frame, and that half-closed.
    heard: HashSet<ClientId>,
    in_mid_frame: HashSet<ClientId>,
    finished: HashSet<ClientId>,
    kept: Vec<TcpStream>,
}

impl DescriptorLeak {
    fn make(leaks: fn(&Leave) -> bool) -> Box<dyn Deviation> {
        let (heard, in_mid_frame, finished) = Default::default();
        Box::new(Self { leaks, heard, in_mid_frame, finished, kept: Vec::new() })
    }
}

impl Deviation for DescriptorLeak {
    fn decode(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        self.heard.insert(client.id);
        correct::decode(&mut client.inbound)
    }

    fn ended(&mut self, client: &mut Client, end: End) -> Result<Vec<Vec<u8>>, Error> {
        if !client.inbound.is_empty() {
            self.in_mid_frame.insert(client.id);
        }
        if end == End::Finished {
            self.finished.insert(client.id);
        }
        Ok(Vec::new())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, end: End) {
        let leave = Leave {
            end,
            was_heard: self.heard.remove(&client.id),
            was_in_mid_frame: self.in_mid_frame.remove(&client.id),
            had_finished: self.finished.remove(&client.id),
            had_queue: !client.outbound.queue.is_empty(),
        };
        if (self.leaks)(&leave) {
            // It fails when the peer is gone already.
            let _ = client.stream.shutdown(Shutdown::Both);
            self.kept.push(client.stream);
        }
    }
}

struct NeverCloses;

impl Deviation for NeverCloses {
    fn holds_back_for(&self, _id: ClientId) -> bool {
        true
    }
}

/// Limit on leaked threads or processes, so that a faulty server cannot harm a
/// machine.
const LEFT_MAX: usize = 2_000;

struct ThreadLeft {
    left: usize,
}

impl Deviation for ThreadLeft {
    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        drop(client);
        // A small stack of which hardly anything is touched: only the number
        // of threads shows it.
        let thread = thread::Builder::new().stack_size(16 * 1024);
        let waits = || {
            loop {
                thread::park();
            }
        };
        if self.left < LEFT_MAX && thread.spawn(waits).is_ok() {
            self.left += 1;
        }
    }
}

struct Zombies {
    unasked: Vec<Child>,
}

impl Deviation for Zombies {
    fn joined(&mut self, _state: &mut ServerState, _id: ClientId) {
        if self.unasked.len() < LEFT_MAX {
            self.unasked.extend(Command::new("true").stdin(Stdio::null()).spawn());
        }
    }
}

/// Bytes lost per connection, and the limit in total.
const LOST_BYTES: usize = 64 * 1024;
const LOST_PIECES_MAX: usize = (1 << 30) / LOST_BYTES;

struct MemoryLeak {
    lost: Vec<Vec<u8>>,
}

impl Deviation for MemoryLeak {
    fn joined(&mut self, _state: &mut ServerState, _id: ClientId) {
        if self.lost.len() < LOST_PIECES_MAX {
            // Not zeros: those would take no memory until they are written to.
            self.lost.push(vec![1; LOST_BYTES]);
        }
    }
}
