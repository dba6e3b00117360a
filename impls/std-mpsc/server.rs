//! Threads and channels: every blocking call has a thread of its own, and no
//! two threads share anything but channels.
//!
//! How a message flows. The client's `read_messages` thread cuts one frame out
//! of the byte stream and puts it into the hub's inbox. The one `run_hub`
//! thread takes frames out of the inbox, and that is where they get their
//! order: it puts each into the queue of every client, the sender's included.
//! Each client's `write_messages` thread empties its queue into the socket.
//!
//! Both kinds of channel are bounded, and each does something else when it is
//! full. A full inbox blocks the readers, so TCP slows the senders down. A full
//! queue belongs to a client that reads too slowly: the hub must not wait for
//! it, so that client misses the message.
//!
//! Shortcuts: two threads per client, and one allocation per message.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use std::{env, thread};

/// Messages that wait for one client. The next one is dropped for that client.
const QUEUE_LIMIT: usize = 64;
/// Events that wait for the hub. The next one makes its reader wait. Few, so that a
/// flood does not run far ahead of the writers, and less of it is dropped.
const INBOX_LIMIT: usize = 4;
/// Enough for these small threads; the default would reserve 2 MiB for each.
const STACK_BYTES: usize = 64 * 1024;
/// One more is rejected. A thread takes four memory mappings, and one that gets none
/// ends the whole program; Linux grants 65,530, enough for two threads each of 8,191.
const CLIENTS_MAX: usize = 8_000;
/// Connections that wait to be accepted.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to leave the listener alone when descriptors or threads run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

unsafe extern "C" {
    /// The C library's. Called once more it changes the backlog, which the standard
    /// library fixes at 128: in a rush the kernel would turn many clients away.
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
    // Every client's socket holds a copy, so the copies are the clients.
    let seat = Arc::new(());
    let mut failing = false;
    for id in 0.. {
        let admitted = listener.accept().and_then(|(stream, _)| admit(id, stream, hub, &seat));
        // Most likely descriptors or seats have run out. Those in use are
        // served meanwhile; say it once, and try again when some may be free.
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
        return Err(io::Error::other("there are enough of them"));
    }
    let _ = stream.set_nodelay(true);
    // Reader and writer share one descriptor; `try_clone` would take a second.
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
            // End of file and a reset are the same here: nothing more to read.
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
        input.read_exact(&mut frame[1..end])?;
        tell(hub, Event::Said(frame[..end].into()));
    }
}

/// Owns the clients and gives the messages their order: there is one hub, and
/// it puts one message into all queues before it looks at the next.
fn run_hub(inbox: Receiver<Event>) {
    let mut clients = HashMap::new();
    for event in inbox {
        match event {
            Event::Joined(id, queue) => drop(clients.insert(id, queue)),
            Event::Said(frame) => clients.retain(|_, queue| enqueue(queue, &frame)),
            // Without its sender the queue ends, but not before it is empty.
            Event::Left(id) => drop(clients.remove(&id)),
        }
    }
}

/// Drops the message when the queue is full. False: the writer is gone.
fn enqueue(queue: &SyncSender<Frame>, frame: &Frame) -> bool {
    !matches!(queue.try_send(Arc::clone(frame)), Err(TrySendError::Disconnected(_)))
}

fn write_messages(stream: &TcpStream, outgoing: &Receiver<Frame>) {
    let mut output = BufWriter::new(stream);
    let mut write_queued = || -> io::Result<()> {
        while let Ok(first) = outgoing.recv() {
            output.write_all(&first)?;
            // Whatever else is waiting goes out with the same system call.
            outgoing.try_iter().try_for_each(|frame| output.write_all(&frame))?;
            output.flush()?;
        }
        Ok(())
    };
    // An error means that the client is gone, and its reader finds out, too.
    let _ = write_queued();
    let _ = stream.shutdown(Shutdown::Both);
}

fn tell(hub: &SyncSender<Event>, event: Event) {
    hub.send(event).expect("the hub runs as long as somebody may talk to it");
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(body).map(drop)
}
