//! Completions under async/await: an operation takes its buffer along, and brings it back.
//!
//! The idea: a read lends its buffer to the kernel, which fills it whenever it likes. If the
//! future is dropped meanwhile the kernel does not know, so no borrowed buffer would be safe.
//! With compio an operation *owns* its buffer until it completes, and returns it beside the
//! result: `let BufResult(result, buffer) = stream.read(buffer).await`.
//!
//! How a message flows. A client has two tasks. `read_frames` gives a buffer to the kernel, gets
//! it back filled, and `broadcast` appends the complete frames to every client's backlog, the
//! sender's included. It awaits nothing, and all tasks run in one thread: it is the sequencing
//! point. `write_frames` takes the whole backlog with `take`, leaves an empty buffer in its place,
//! and gives the full one to the kernel. So a client has two buffers, which change places.
//!
//! A backlog is bounded: a client that reads too slowly misses the frames that do not fit.
//!
//! Shortcut: the frames of one read are delivered, or dropped, together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};
use event_listener::Event;
use rustix::net::Shutdown;
use rustix::process::Signal;

/// Bytes queued for a client, beside as many that the kernel may be sending.
const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the buffer that a client's reads fill; a frame has at most 256.
const READ_BYTES_MAX: usize = 4 * 1024;
/// Connections queued in the kernel; the standard library's 128 is too small for a burst.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let error = match Runtime::new() {
        Ok(runtime) => runtime.block_on(listen()),
        Err(error) => format!("cannot start: {error}"),
    };
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

/// Returns only what has gone wrong.
async fn listen() -> String {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return "expected one argument, HOST:PORT".to_owned();
    };
    let (listener, address) = match bind(&address) {
        Ok(listening) => listening,
        Err(error) => return format!("cannot listen on {address}: {error}"),
    };
    spawn(stop_at_sigterm(listener.clone())).detach();
    let said = writeln!(io::stdout(), "listening on {address}");
    match said.and_then(|()| io::stdout().flush()) {
        Ok(()) => accept_clients(listener).await,
        Err(error) => format!("cannot write to standard output: {error}"),
    }
}

/// The kernel withdraws the requests of a process that has ended a little later, and until then its
/// listener would keep the address. So that is shut down before the end.
async fn stop_at_sigterm(listener: TcpListener) {
    if compio::signal::unix::signal(Signal::TERM.as_raw()).await.is_ok() {
        let _ = rustix::net::shutdown(&listener, Shutdown::Both);
        std::process::exit(0);
    }
}

fn bind(address: impl ToSocketAddrs) -> io::Result<(TcpListener, std::net::SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    rustix::net::listen(&listener, LISTEN_BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

async fn accept_clients(listener: TcpListener) -> ! {
    let room = Rc::new(Room::default());
    let mut failing = false;
    for id in 0.. {
        match listener.accept().await {
            Ok((stream, _)) => {
                let stream = Rc::new(stream);
                let outbox = Rc::new(Outbox::default());
                room.outboxes.borrow_mut().insert(id, outbox.clone());
                spawn(write_frames(stream.clone(), outbox)).detach();
                spawn(attend(stream, room.clone(), id)).detach();
                failing = false;
            }
            // Descriptors have probably run out. Report it once, and try again when some
            // may be free.
            Err(error) => {
                if !failing {
                    let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
                }
                failing = true;
                compio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    unreachable!("identifiers do not run out")
}

/// Who is here.
#[derive(Default)]
struct Room {
    outboxes: RefCell<HashMap<u64, Rc<Outbox>>>,
}

impl Room {
    /// The sequencing point.
    fn broadcast(&self, frames: &[u8]) {
        for outbox in self.outboxes.borrow().values() {
            outbox.offer(frames);
        }
    }

    fn leave(&self, id: u64) {
        if let Some(outbox) = self.outboxes.borrow_mut().remove(&id) {
            outbox.silent.set(true);
            outbox.news.notify(1);
        }
    }
}

/// What one client is still to be sent.
#[derive(Default)]
struct Outbox {
    backlog: RefCell<Vec<u8>>, // complete frames
    silent: Cell<bool>,        // the client sends no more, and nothing is added to its backlog
    news: Event,               // one of the two has changed
}

impl Outbox {
    /// If there is no room in the backlog, this client misses the frames.
    fn offer(&self, frames: &[u8]) {
        let mut backlog = self.backlog.borrow_mut();
        if backlog.len() + frames.len() <= BACKLOG_BYTES_MAX {
            backlog.extend_from_slice(frames);
            self.news.notify(1);
        }
    }

    /// Waits for frames, and exchanges the backlog for the empty buffer. Nothing follows an
    /// empty backlog.
    async fn take(&self, empty: Vec<u8>) -> Vec<u8> {
        while self.backlog.borrow().is_empty() && !self.silent.get() {
            self.news.listen().await; // nobody can notify between the test and this line
        }
        self.backlog.replace(empty)
    }
}

async fn attend(stream: Rc<TcpStream>, room: Rc<Room>, id: u64) {
    // An error is a reset: the stream ends there.
    let _ = read_frames(&stream, &room).await;
    room.leave(id);
}

async fn read_frames(stream: &TcpStream, room: &Room) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = stream;
    let mut buffer = Vec::with_capacity(READ_BYTES_MAX);
    loop {
        // An incomplete frame stays in front of what is read.
        let held = buffer.len();
        let BufResult(received, filled) = reader.read(buffer.slice(held..)).await;
        buffer = filled.into_inner();
        if received? == 0 {
            return Ok(());
        }
        let whole = whole_frames(&buffer);
        if whole > 0 {
            room.broadcast(&buffer[..whole]);
            buffer.drain(..whole);
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = stream.set_quickack(true);
        }
    }
}

/// Ends when the client is silent and has been sent everything, or has disconnected.
async fn write_frames(stream: Rc<TcpStream>, outbox: Rc<Outbox>) {
    let mut writer = &*stream;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        buffer = outbox.take(buffer).await;
        if buffer.is_empty() {
            return;
        }
        let result;
        BufResult(result, buffer) = writer.write_all(buffer).await;
        if result.is_err() {
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
