//! Threads and channels: every blocking call has its own thread, and threads share
//! nothing but channels.
//!
//! How a message flows. The client's `read_messages` thread reads one frame from the
//! byte stream and sends it to the hub's inbox. The single `run_hub` thread, which is
//! the sequencing point, takes frames from the inbox and puts each into every client's
//! queue, including the sender's. Each client's `write_messages` thread writes its
//! queue to the socket.
//!
//! Both kinds of channel are bounded, but they behave differently when full. A full
//! inbox blocks the readers, so TCP slows the senders down. A full queue belongs to a
//! client that reads too slowly: the hub must not wait for it, so that client misses
//! the message.
//!
//! Shortcuts: two threads per client, and one allocation per message.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::TcpStreamExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use std::{env, thread};

/// Messages queued for one client. The next one is dropped for that client.
const QUEUE_LIMIT: usize = 64;
/// Events queued for the hub. The next one blocks its reader. A small limit keeps a flood
/// from running far ahead of the writers, so less of it is dropped.
const INBOX_LIMIT: usize = 4;
/// Enough for these threads; the default would reserve 2 MiB for each.
const STACK_BYTES: usize = 64 * 1024;
/// Further clients are rejected. A thread needs four memory mappings, and a thread that
/// gets none aborts the program; Linux allows 65,530, enough for 8,191 clients.
const CLIENTS_MAX: usize = 8_000;
/// Connections queued in the kernel.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors or threads have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

unsafe extern "C" {
    /// The C library's. A second call changes the backlog, which the standard library
    /// fixes at 128: in a burst of connections the kernel would drop many.
    safe fn listen(socket: RawFd, backlog: i32) -> i32;
}

type ClientId = u64;
/// Header byte and body, written as they were read; all queues share one copy.
type Frame = Arc<[u8]>;

enum Event {
    Joined(ClientId, SyncSender<Frame>),
    Said(Frame),
    Left(ClientId),
}

fn main() -> ExitCode {
    let Err(error) = serve();
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

fn serve() -> Result<Infallible, String> {
    let mut arguments = env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let cannot_listen = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(&address).map_err(cannot_listen)?;
    if listen(listener.as_raw_fd(), LISTEN_BACKLOG) != 0 {
        return Err(cannot_listen(io::Error::last_os_error()));
    }
    let address = listener.local_addr().map_err(cannot_listen)?;

    let (hub, inbox) = sync_channel(INBOX_LIMIT);
    spawn("hub", move || run_hub(inbox)).map_err(|error| format!("cannot start: {error}"))?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(&listener, &hub)
}

fn accept_clients(listener: &TcpListener, hub: &SyncSender<Event>) -> ! {
    // Every client holds a reference, so the reference count is the number of clients.
    let seat = Arc::new(());
    let mut failing = false;
    for id in 0.. {
        let admitted = listener.accept().and_then(|(stream, _)| admit(id, stream, hub, &seat));
        // Descriptors or seats have probably run out. Connected clients are still
        // served; report it once, and try again when some may be free.
        if let Err(error) = &admitted {
            if !failing {
                let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
            }
            thread::sleep(ACCEPT_PAUSE);
        }
        failing = admitted.is_err();
    }
    unreachable!("2^64 clients")
}

fn admit(
    id: ClientId,
    stream: TcpStream,
    hub: &SyncSender<Event>,
    seat: &Arc<()>,
) -> io::Result<()> {
    if Arc::strong_count(seat) > CLIENTS_MAX {
        return Err(io::Error::other("the client limit is reached"));
    }
    let _ = stream.set_nodelay(true);
    // Reader and writer share one descriptor; `try_clone` would need a second.
    // When both have ended, the seat is free.
    let client = Arc::new((stream, Arc::clone(seat)));
    let (queue, outgoing) = sync_channel(QUEUE_LIMIT);
    spawn("writer", {
        let client = Arc::clone(&client);
        move || write_messages(&client.0, &outgoing)
    })?;
    tell(hub, Event::Joined(id, queue));
    spawn("reader", {
        let hub = hub.clone();
        move || {
            // End of file and a reset are equivalent here: nothing more to read.
            let _ = read_messages(&client.0, &hub);
            tell(&hub, Event::Left(id));
        }
    })
    .inspect_err(|_| tell(hub, Event::Left(id)))
}

fn read_messages(stream: &TcpStream, hub: &SyncSender<Event>) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut frame = [0; 1 + 255];
    loop {
        input.read_exact(&mut frame[..1])?;
        let end = 1 + usize::from(frame[0]);
        if 1 + input.buffer().len() < end {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = stream.set_quickack(true);
        }
        input.read_exact(&mut frame[1..end])?;
        tell(hub, Event::Said(frame[..end].into()));
    }
}

/// Owns the clients and is the sequencing point: the single hub puts one message into
/// all queues before it takes the next.
fn run_hub(inbox: Receiver<Event>) {
    let mut clients = HashMap::new();
    for event in inbox {
        match event {
            Event::Joined(id, queue) => drop(clients.insert(id, queue)),
            Event::Said(frame) => clients.retain(|_, queue| enqueue(queue, &frame)),
            // Dropping the sender ends the queue, once it is empty.
            Event::Left(id) => drop(clients.remove(&id)),
        }
    }
}

/// Drops the message when the queue is full. Returns false if the writer has ended.
fn enqueue(queue: &SyncSender<Frame>, frame: &Frame) -> bool {
    !matches!(queue.try_send(Arc::clone(frame)), Err(TrySendError::Disconnected(_)))
}

fn write_messages(stream: &TcpStream, outgoing: &Receiver<Frame>) {
    let mut output = BufWriter::new(stream);
    let mut write_queued = || -> io::Result<()> {
        while let Ok(first) = outgoing.recv() {
            output.write_all(&first)?;
            // Everything else in the queue goes out with the same system call.
            outgoing.try_iter().try_for_each(|frame| output.write_all(&frame))?;
            output.flush()?;
        }
        Ok(())
    };
    // An error means that the client has disconnected; its reader notices it, too.
    let _ = write_queued();
    let _ = stream.shutdown(Shutdown::Both);
}

fn tell(hub: &SyncSender<Event>, event: Event) {
    hub.send(event).expect("the hub runs as long as somebody may talk to it");
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(body).map(drop)
}
