//! Stackful coroutines on all cores: blocking calls, and a scheduler that steals work.
//!
//! The idea: `go!` starts a coroutine with a stack of its own. A call of `may`'s that would block
//! switches to another one, on any of its threads; so the code of a client is that of a
//! program for threads, and no function is marked. But only `may`'s calls switch: its sockets,
//! locks and sleeps. Those of the standard library would stop a thread and all that is to run
//! there.
//!
//! How a message flows. A client has two coroutines. `read_frames` reads what it has sent, and
//! `Room::broadcast` appends the complete frames to every client's backlog, the sender's
//! included, while it holds the room's lock: this is the sequencing point. `write_frames` waits
//! on a condition variable, takes the whole backlog, and writes it with one call.
//!
//! A backlog is bounded: a client that reads too slowly misses the frames that do not fit. So
//! nobody waits for a client while holding a lock.
//!
//! Nobody is preempted either: a coroutine that always finds something to read yields.
//!
//! Shortcut: the frames of one read are delivered, or dropped, together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::linux::net::TcpStreamExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use may::coroutine::{sleep, yield_now};
use may::go;
use may::io::{SplitIo, SplitReader, SplitWriter};
use may::net::{TcpListener, TcpStream};
use may::sync::{Condvar, Mutex};

/// Bytes queued for a client, beside as many that are being written.
const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Bytes read from one client before the other coroutines have their turn.
const READ_BYTES_MAX: usize = 4 * 1024;
/// A coroutine's stack, in words. It does not grow, and there is no second chance.
const STACK_WORDS: usize = 0x1000;
/// Connections queued in the kernel; the standard library's 128 is too small for a burst.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    may::config().set_stack_size(STACK_WORDS);
    let Err(error) = listen();
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

fn listen() -> Result<Infallible, String> {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let listener = bind(&address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let address = listener.local_addr().map_err(|e| format!("cannot start: {e}"))?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(&listener)
}

/// `may`'s own `bind` lets another server have the same address (`SO_REUSEPORT`).
fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    rustix::net::listen(&listener, LISTEN_BACKLOG)?;
    // SAFETY: the descriptor is that of a listener, and has no other owner any more.
    Ok(unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) })
}

fn accept_clients(listener: &TcpListener) -> ! {
    let room = Arc::new(Room::default());
    let mut failing = false;
    for id in 0.. {
        // A half has a descriptor of its own: one coroutine can wait for each.
        match listener.accept().and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            stream.split()
        }) {
            Ok((reader, writer)) => {
                let outbox = room.enter(id);
                let room = room.clone();
                go!(move || hear(reader, &room, id));
                go!(move || write_frames(writer, &outbox));
                failing = false;
            }
            // Descriptors have probably run out. Report it once, and try again when some
            // may be free.
            Err(error) => {
                if !failing {
                    let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
                }
                failing = true;
                sleep(ACCEPT_PAUSE);
            }
        }
    }
    unreachable!("identifiers do not run out")
}

/// Who is here.
#[derive(Default)]
struct Room {
    outboxes: Mutex<HashMap<u64, Arc<Outbox>>>,
}

impl Room {
    fn enter(&self, id: u64) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::default());
        self.outboxes.lock().expect("nobody panics").insert(id, outbox.clone());
        outbox
    }

    /// The sequencing point.
    fn broadcast(&self, frames: &[u8]) {
        for outbox in self.outboxes.lock().expect("nobody panics").values() {
            outbox.offer(frames);
        }
    }

    fn leave(&self, id: u64) {
        if let Some(outbox) = self.outboxes.lock().expect("nobody panics").remove(&id) {
            outbox.queue.lock().expect("nobody panics").silent = true;
            outbox.news.notify_one();
        }
    }
}

/// What one client is still to be sent.
#[derive(Default)]
struct Outbox {
    queue: Mutex<Queue>,
    news: Condvar, // something in the queue has changed
}

#[derive(Default)]
struct Queue {
    backlog: Vec<u8>, // complete frames
    silent: bool,     // the client sends no more, and nothing is added to its backlog
}

impl Outbox {
    /// If there is no room in the backlog, this client misses the frames.
    fn offer(&self, frames: &[u8]) {
        let mut queue = self.queue.lock().expect("nobody panics");
        if queue.backlog.len() + frames.len() <= BACKLOG_BYTES_MAX {
            queue.backlog.extend_from_slice(frames);
            self.news.notify_one();
        }
    }

    /// Waits for frames, and exchanges the backlog for the empty buffer. Nothing follows an
    /// empty backlog.
    fn take(&self, empty: Vec<u8>) -> Vec<u8> {
        let mut queue = self.queue.lock().expect("nobody panics");
        while queue.backlog.is_empty() && !queue.silent {
            queue = self.news.wait(queue).expect("nobody panics");
        }
        std::mem::replace(&mut queue.backlog, empty)
    }
}

fn hear(reader: SplitReader<TcpStream>, room: &Room, id: u64) {
    // An error is a reset: the stream ends there.
    let _ = read_frames(reader, room);
    room.leave(id);
}

fn read_frames(mut reader: SplitReader<TcpStream>, room: &Room) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES_MAX]; // a stack is too small for it
    let mut length = 0; // of an incomplete frame at the start of the buffer
    loop {
        match reader.read(&mut buffer[length..])? {
            0 => return Ok(()),
            received => length += received,
        }
        let whole = whole_frames(&buffer[..length]);
        if whole > 0 {
            room.broadcast(&buffer[..whole]);
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = reader.inner().inner().set_quickack(true);
        }
        buffer.copy_within(whole..length, 0);
        length -= whole;
        yield_now(); // Lets the writers run before a flood overruns the backlogs.
    }
}

/// Ends when the client is silent and has been sent everything, or has disconnected.
fn write_frames(mut writer: SplitWriter<TcpStream>, outbox: &Outbox) {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        buffer = outbox.take(buffer);
        if buffer.is_empty() || writer.write_all(&buffer).is_err() {
            return; // What the client has sent before a reset is still read.
        }
    }
}

/// The length of the complete frames at the start of `bytes`.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(&body) = bytes.get(end)
        && end + usize::from(body) < bytes.len()
    {
        end += 1 + usize::from(body);
    }
    end
}
