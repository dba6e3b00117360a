//! Futures, before `async` and `await`: values that describe work to be done, built
//! from smaller ones with `map`, `join` and `for_each`.
//!
//! The idea: a client is one future that joins two. One reads frames until the end of
//! the client's stream and passes each to the room; the other sends the client its
//! queue until the queue ends. `join` combines them, and the reactor polls the result
//! whenever its socket or its queue has something new. No line blocks, and nothing runs
//! unless it is polled.
//!
//! How a message flows. `Frames` decodes it from the sender's bytes, and `for_each`
//! passes it to `broadcast`, which puts it into every client's queue, including the
//! sender's. One thread polls all futures, so one broadcast ends before the next
//! begins: this is the sequencing point. `send_all` takes the message from the queue
//! and encodes it into the receiver's write buffer.
//!
//! Queues are bounded. A broadcast never waits: a client whose queue is full misses the
//! message. Nothing waits between reading and broadcasting; after a few frames in a row
//! `Turns` yields to the other clients.
//!
//! Shortcut: one allocation per message, and a queue node per delivery.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::net::{self, ToSocketAddrs};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::linux::net::TcpStreamExt;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use std::{env, mem};

use bytes::BytesMut;
use futures::future::{self, Either};
use futures::sync::mpsc::{Receiver, Sender, channel};
use futures::{Async, Future, IntoFuture, Poll, Sink, Stream, task};
use tokio_codec::{Decoder, Encoder, Framed};
use tokio_core::net::{TcpListener, TcpStream};
use tokio_core::reactor::{Core, Handle, Timeout};

/// Messages queued for one client. The next one is dropped for that client.
const QUEUE_LIMIT: usize = 64;
/// Frames taken from one client, or clients from the listener, in one turn.
const TURN_LIMIT: usize = 16;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "server: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let mut arguments = env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let mut core = Core::new().map_err(|error| format!("cannot start: {error}"))?;
    let listener = listen(&address, &core.handle())
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let clients = accept_clients(listener, core.handle());
    core.run(clients).map_err(|error| format!("cannot run the event loop: {error}"))
}

fn listen(address: &str, handle: &Handle) -> io::Result<TcpListener> {
    let address = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let listener = TcpListener::bind(&address, handle)?;
    let mut output = io::stdout();
    writeln!(output, "listening on {}", listener.local_addr()?)?;
    output.flush()?;
    Ok(listener)
}

fn accept_clients(
    listener: TcpListener,
    handle: Handle,
) -> impl Future<Item = (), Error = io::Error> {
    let room = Room::default();
    let mut ids = 0..;
    let mut failing = false;
    // `then(Ok)` turns errors into items: an error would end the stream.
    Turns::new(listener.incoming().then(Ok)).for_each(move |accepted| {
        let failed_before = mem::replace(&mut failing, accepted.is_err());
        match accepted {
            Ok((stream, _)) => {
                let id = ids.next().expect("2^64 clients");
                let (member, queue) = room.join(id);
                handle.spawn(serve_client(stream, member, queue));
                Either::A(future::ok(()))
            }
            // Descriptors have probably run out. Connected clients are still served
            // while this future waits; then the listener is polled again.
            Err(error) => {
                if !failed_before {
                    let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
                }
                Either::B(Timeout::new(ACCEPT_PAUSE, &handle).into_future().flatten())
            }
        }
    })
}

/// One client, from its connection to its disconnect.
fn serve_client(
    stream: TcpStream,
    member: Member,
    queue: Receiver<Frame>,
) -> impl Future<Item = (), Error = ()> {
    let _ = stream.set_nodelay(true);
    let frames = Frames { socket: stream.as_raw_fd() };
    let (output, input) = Framed::new(stream, frames).split();
    let reads = Turns::new(input).for_each(move |frame| {
        member.broadcast(&frame);
        Ok(())
    });
    let writes = output.send_all(queue.map_err(|()| io::Error::from(io::ErrorKind::BrokenPipe)));
    // `join` ends when both have ended, or when one fails: a reset ends both. At the
    // end of the client's stream `reads` ends first and drops `member`. That ends the
    // queue, and `writes` still sends the rest of it.
    reads.join(writes).then(|_| Ok(()))
}

type ClientId = u64;
/// Header byte and body; all queues share one copy.
type Frame = Rc<[u8]>;

/// The queues of all connected clients.
#[derive(Clone, Default)]
struct Room(Rc<RefCell<HashMap<ClientId, Sender<Frame>>>>);

/// Its client is in the room until this is dropped.
struct Member(ClientId, Room);

impl Room {
    fn join(&self, id: ClientId) -> (Member, Receiver<Frame>) {
        // A channel holds one item per sender beyond its buffer.
        let (sender, queue) = channel(QUEUE_LIMIT - 1);
        self.0.borrow_mut().insert(id, sender);
        (Member(id, self.clone()), queue)
    }
}

impl Member {
    fn broadcast(&self, frame: &Frame) {
        for queue in self.1.0.borrow_mut().values_mut() {
            // Fails if the queue is full: its client misses the message.
            let _ = queue.try_send(Rc::clone(frame));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.1.0.borrow_mut().remove(&self.0);
    }
}

/// The wire format: a length byte, then that many bytes.
struct Frames {
    /// Of the stream that `Framed` holds beside this.
    socket: RawFd,
}

impl Decoder for Frames {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Frame>> {
        match bytes.first().map(|&body| 1 + usize::from(body)) {
            Some(length) if length <= bytes.len() => Ok(Some((*bytes.split_to(length)).into())),
            Some(_) => {
                // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                acknowledge(self.socket);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// By default an incomplete last frame is an error; here it is ignored.
    fn decode_eof(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Frame>> {
        self.decode(bytes)
    }
}

impl Encoder for Frames {
    type Item = Frame;
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, bytes: &mut BytesMut) -> io::Result<()> {
        bytes.extend_from_slice(&frame);
        Ok(())
    }
}

fn acknowledge(socket: RawFd) {
    // SAFETY: the socket is open, and is not closed here.
    let stream = ManuallyDrop::new(unsafe { net::TcpStream::from_raw_fd(socket) });
    let _ = stream.set_quickack(true);
}

/// Returns at most `TURN_LIMIT` items in a row. Without it `for_each` would continue for as
/// long as its stream is ready, and starve all other futures.
struct Turns<S> {
    stream: S,
    left: usize,
}

impl<S> Turns<S> {
    fn new(stream: S) -> Turns<S> {
        Turns { stream, left: TURN_LIMIT }
    }
}

impl<S: Stream> Stream for Turns<S> {
    type Item = S::Item;
    type Error = S::Error;

    fn poll(&mut self) -> Poll<Option<S::Item>, S::Error> {
        if self.left == 0 {
            self.left = TURN_LIMIT;
            task::current().notify(); // Poll this again, after the others.
            return Ok(Async::NotReady);
        }
        let polled = self.stream.poll()?;
        self.left = if polled.is_ready() { self.left - 1 } else { TURN_LIMIT };
        Ok(polled)
    }
}
