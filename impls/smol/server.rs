//! Async/await with a runtime from small parts: an executor, a reactor, a timer and a
//! channel, each a crate of its own, put together in `main`.
//!
//! The idea: one broadcast channel is the room, and it is told to *overflow*. A full
//! channel would make its senders wait for the slowest client; this one discards its
//! oldest message instead, and tells those who would have received it how many they have
//! missed.
//!
//! How a message flows. A client is one task, `serve`, which runs `read_messages` and
//! `write_messages` side by side. `read_messages` receives bytes and broadcasts the
//! complete frames as one message: the channel's lock is the sequencing point.
//! `write_messages` receives from the channel, the sender's own messages included,
//! gathers what there is, and writes it.
//!
//! Shortcuts: frames that were read together are dropped together. All tasks run in one
//! thread.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::linux::net::TcpStreamExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_broadcast::{Receiver, RecvError, Sender};
use smol::future::{or, yield_now};
use smol::{Async, LocalExecutor, Timer};

/// Messages in the room, for all clients together. A client that is further behind misses
/// the oldest. Each is of at most `READ_BYTES_MAX`.
const ROOM_MESSAGES: usize = 1024;
/// Bytes read from one client before the other tasks have their turn.
const READ_BYTES_MAX: usize = 4 * 1024;
/// At most this plus one message is gathered for one write.
const WRITE_BYTES: usize = 16 * 1024;
/// Connections queued in the kernel; the standard library's 128 is too small for a burst.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Complete frames, as they were read; all clients share one copy.
type Message = Arc<[u8]>;

fn main() -> ExitCode {
    let executor = LocalExecutor::new();
    let Err(error) = smol::block_on(executor.run(listen(&executor)));
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

async fn listen(executor: &LocalExecutor<'_>) -> Result<Infallible, String> {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let listener = bind(&address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let address = listener.get_ref().local_addr().map_err(|e| format!("cannot start: {e}"))?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(executor, &listener).await
}

fn bind(address: impl ToSocketAddrs) -> io::Result<Async<TcpListener>> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, LISTEN_BACKLOG)?;
    Async::new(listener)
}

async fn accept_clients(executor: &LocalExecutor<'_>, listener: &Async<TcpListener>) -> ! {
    let (mut room, queue) = async_broadcast::broadcast(ROOM_MESSAGES);
    room.set_overflow(true);
    let _open = queue.deactivate(); // The room stays open when nobody is in it.
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                executor.spawn(serve(stream, room.clone(), room.new_receiver())).detach();
                failing = false;
            }
            // Descriptors have probably run out. Report it once, and try again when some
            // may be free.
            Err(error) => {
                if !failing {
                    let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
                }
                failing = true;
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One client, until the end of its stream or an error. An error means that it has
/// disconnected, so it is not reported.
async fn serve(
    stream: Async<TcpStream>,
    room: Sender<Message>,
    mut queue: Receiver<Message>,
) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
    let mut outgoing = Vec::new();
    // The first to return ends the other, wherever it waits. What it has taken from the
    // room and not yet written is in `outgoing`.
    or(read_messages(&stream, &room), write_messages(&stream, &mut queue, &mut outgoing)).await?;
    // The client has closed its sending side. It is still sent everything that is in the
    // room now, its own last messages included.
    gather(&mut queue, &mut outgoing, usize::MAX);
    write_all(&stream, &mut outgoing).await
}

async fn read_messages(stream: &Async<TcpStream>, room: &Sender<Message>) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES_MAX];
    let mut length = 0; // of an incomplete frame at the start of the buffer
    loop {
        match stream.read_with(|mut stream| stream.read(&mut buffer[length..])).await? {
            0 => return Ok(()),
            received => length += received,
        }
        let whole = whole_frames(&buffer[..length]);
        if whole > 0 {
            // Fails only if nobody is in the room, and this client is.
            let _ = room.try_broadcast(buffer[..whole].into());
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = stream.get_ref().set_quickack(true);
        }
        buffer.copy_within(whole..length, 0);
        length -= whole;
        yield_now().await; // Lets the writers run before a flood overruns the room.
    }
}

async fn write_messages(
    stream: &Async<TcpStream>,
    queue: &mut Receiver<Message>,
    outgoing: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        match queue.recv_direct().await {
            Ok(message) => outgoing.extend_from_slice(&message),
            Err(RecvError::Overflowed(_)) => continue, // So many have been missed.
            Err(RecvError::Closed) => return Ok(()),
        }
        gather(queue, outgoing, WRITE_BYTES);
        write_all(stream, outgoing).await?;
    }
}

/// Takes everything that is in the room now, to be sent with one system call.
fn gather(queue: &mut Receiver<Message>, outgoing: &mut Vec<u8>, bytes_max: usize) {
    for _ in 0..queue.len() {
        if outgoing.len() >= bytes_max {
            return;
        }
        if let Ok(message) = queue.try_recv() {
            outgoing.extend_from_slice(&message);
        }
    }
}

/// May be dropped at any time: `outgoing` holds what has not been written.
async fn write_all(stream: &Async<TcpStream>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    while !outgoing.is_empty() {
        let written = stream.write_with(|mut stream| stream.write(outgoing)).await?;
        outgoing.drain(..written);
    }
    Ok(())
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
