//! An executor of one's own: what stands behind `async` and `await`, in one thread.
//!
//! The idea: the compiler turns an `async fn` into a value with a method `poll`. Somebody
//! has to call it, and call it again when that is worth while. This program has no
//! runtime library, so `runtime.rs` contains the three parts of one:
//!
//! - the *executor* (`Runtime::run`) polls each task whose `Signal` is in the ready queue;
//! - the *reactor* (`Runtime::wait`) waits for epoll and for timers, and wakes those who
//!   wait for them;
//! - *leaf futures*, in which every chain of `await`s ends: `Source::attempt`, `sleep`,
//!   `yield_now`, and `Outbox::take`. Each leaves a `Waker` where the event will find it,
//!   and returns `Pending`.
//!
//! How a message flows. The client's `read_messages` task receives bytes, and
//! `Room::broadcast` appends the complete frames to every client's outbox, the sender's
//! included. There is one thread and no `await` in it, so the order of these appends is the
//! order of the messages. Each client's `write_messages` task takes the outbox and writes
//! it. An outbox is bounded: a client that reads too slowly misses the frames that do not
//! fit.
//!
//! Shortcuts: two tasks per client; timers are kept in a list, as there is one at most.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::env;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rustix::net::listen;
use rustix::net::sockopt::set_tcp_quickack;

use runtime::{For, Runtime, Source, sleep, yield_now};

mod runtime;

/// Bytes queued for one client, beside as many that are being sent.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes read from one client before the other tasks have their turn.
const READ_BYTES_MAX: usize = 8 * 1024;
/// Connections queued in the kernel; the standard library's 128 is too small for a burst.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let Err(error) = start();
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

fn start() -> Result<Infallible, String> {
    let mut arguments = env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let listener = TcpListener::bind(&address)
        .and_then(|listener| Ok(listen(&listener, LISTEN_BACKLOG).map(|()| listener)?))
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let cannot_start = |error| format!("cannot start: {error}");
    let address = listener.local_addr().map_err(cannot_start)?;
    listener.set_nonblocking(true).map_err(cannot_start)?;
    let runtime = Runtime::new().map_err(cannot_start)?;
    let listener = Source::new(&runtime, listener).map_err(cannot_start)?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;

    runtime.spawn(accept_clients(Rc::clone(&runtime), listener));
    runtime.run().map_err(|error| format!("cannot wait for events: {error}"))
}

async fn accept_clients(runtime: Rc<Runtime>, listener: Source<TcpListener>) {
    let room = Rc::new(Room::default());
    let mut failing = false;
    for id in 0.. {
        let accepted = listener.attempt(For::Reading, TcpListener::accept).await;
        let admitted = accepted.and_then(|(stream, _)| admit(&runtime, id, stream, &room));
        // Descriptors have probably run out. Report it once, and try again when some may
        // be free.
        if let Err(error) = &admitted {
            if !failing {
                let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
            }
            sleep(&runtime, ACCEPT_PAUSE).await;
        }
        failing = admitted.is_err();
    }
}

fn admit(runtime: &Rc<Runtime>, id: u64, stream: TcpStream, room: &Rc<Room>) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let _ = stream.set_nodelay(true);
    let source = Rc::new(Source::new(runtime, stream)?);
    let outbox = Rc::new(Outbox::default());
    room.0.borrow_mut().insert(id, Rc::clone(&outbox));
    runtime.spawn({
        let (room, source, outbox) = (Rc::clone(room), Rc::clone(&source), Rc::clone(&outbox));
        async move {
            // End of file and a reset are equivalent here: nothing more to read.
            let _ = read_messages(&source, &room).await;
            room.0.borrow_mut().remove(&id);
            outbox.end();
        }
    });
    runtime.spawn(async move {
        // An error means that the client has disconnected.
        let _ = write_messages(&source, &outbox).await;
        let _ = source.of.shutdown(Shutdown::Both); // Wakes the reader, if it still runs.
    });
    Ok(())
}

async fn read_messages(source: &Source<TcpStream>, room: &Room) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES_MAX];
    let mut length = 0; // of an incomplete frame at the start of the buffer
    loop {
        match source.attempt(For::Reading, |mut of| of.read(&mut buffer[length..])).await? {
            0 => return Ok(()),
            received => length += received,
        }
        let whole = whole_frames(&buffer[..length]);
        if whole > 0 {
            room.broadcast(&buffer[..whole]);
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = set_tcp_quickack(&source.of, true);
        }
        buffer.copy_within(whole..length, 0);
        length -= whole;
        yield_now().await; // Or a flood, which never has to wait, would be read for ever.
    }
}

async fn write_messages(source: &Source<TcpStream>, outbox: &Outbox) -> io::Result<()> {
    loop {
        let batch = outbox.take().await;
        let mut rest = batch.as_slice();
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let written = source.attempt(For::Writing, |mut of| of.write(rest)).await?;
            rest = &rest[written..];
        }
    }
}

/// The outboxes of the clients that may still send.
#[derive(Default)]
struct Room(RefCell<HashMap<u64, Rc<Outbox>>>);

impl Room {
    /// The sequencing point.
    fn broadcast(&self, frames: &[u8]) {
        self.0.borrow().values().for_each(|outbox| outbox.append(frames));
    }
}

/// What one client has yet to be sent.
#[derive(Default)]
struct Outbox {
    /// Complete frames.
    bytes: RefCell<Vec<u8>>,
    ended: Cell<bool>,
    /// Of the task that waits in `take`.
    taker: Cell<Option<Waker>>,
}

impl Outbox {
    fn append(&self, frames: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        let free = OUTBOX_BYTES_MAX - bytes.len();
        let fitting =
            if frames.len() > free { whole_frames(&frames[..free]) } else { frames.len() };
        bytes.extend_from_slice(&frames[..fitting]);
        self.taker.take().into_iter().for_each(Waker::wake);
    }

    /// What is in it will still be taken, and nothing after it.
    fn end(&self) {
        self.ended.set(true);
        self.taker.take().into_iter().for_each(Waker::wake);
    }

    /// Waits until there are frames. Nothing is returned at the end.
    async fn take(&self) -> Vec<u8> {
        poll_fn(|context| {
            if self.bytes.borrow().is_empty() && !self.ended.get() {
                self.taker.set(Some(context.waker().clone()));
                return Poll::Pending;
            }
            Poll::Ready(self.bytes.take())
        })
        .await
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
