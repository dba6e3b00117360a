//! Async/await over one broadcast channel: a message is stored once, and every
//! client is a position in the same ring.
//!
//! How a message flows. A client is one task, `serve`, which waits for its socket and
//! the room at once. `read_messages` splits frames off the byte stream and sends each to
//! the room: this is the sequencing point. `write_messages` receives new messages from
//! the room, gathers them into a buffer, and writes it.
//!
//! The ring is the only queue. It overwrites the oldest message, whether or not every
//! client has received it; the receiver of a client that reads too slowly reports how
//! many it has missed and continues with the remaining ones.
//!
//! Shortcuts: slow receivers do not slow a sender down, only the runtime's scheduling
//! does.

use std::convert::Infallible;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{Receiver, Sender};
use tokio::task::coop;

/// Messages in the ring. A client that is this far behind misses the oldest.
const ROOM_MESSAGES: usize = 4096;
/// Bytes per read.
const READ_BYTES: usize = 4 * 1024;
/// At most this plus one message is gathered for one write.
const WRITE_BYTES: usize = 16 * 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Header byte and body, as they were read: a slice of the read buffer.
type Frame = Bytes;

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = listen().await;
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

async fn listen() -> Result<Infallible, String> {
    let mut arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let cannot_listen = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(&address).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(&listener).await
}

async fn accept_clients(listener: &TcpListener) -> ! {
    let room = Sender::new(ROOM_MESSAGES);
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let queue = room.subscribe();
                tokio::spawn(serve(stream, room.clone(), queue));
                failing = false;
            }
            // Descriptors have probably run out. Report it once, and try again when
            // some may be free.
            Err(error) => {
                if !failing {
                    let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One client, until the end of its stream or an error. An error means that it has
/// disconnected, so it is not reported.
async fn serve(
    mut stream: TcpStream,
    room: Sender<Frame>,
    mut queue: Receiver<Frame>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = stream.split();
    let mut outgoing = BytesMut::new();
    tokio::select! {
        end = read_messages(&mut input, &room) => end?,
        error = write_messages(&mut output, &mut queue, &mut outgoing) => error?,
    }
    // The client has closed its sending side. It still receives everything in the room
    // now, including its own last messages.
    gather(&mut queue, &mut outgoing, usize::MAX);
    output.write_all_buf(&mut outgoing).await?;
    output.shutdown().await
}

async fn read_messages(input: &mut ReadHalf<'_>, room: &Sender<Frame>) -> io::Result<()> {
    let mut incoming = BytesMut::new();
    loop {
        incoming.reserve(READ_BYTES);
        if input.read_buf(&mut incoming).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = next_frame(&mut incoming) {
            room.send(frame).expect("this client receives, too");
            // Lets the writers run before a flood overruns the ring.
            coop::consume_budget().await;
        }
        if !incoming.is_empty() {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = input.as_ref().set_quickack(true);
        }
    }
}

fn next_frame(incoming: &mut BytesMut) -> Option<Frame> {
    let end = 1 + usize::from(*incoming.first()?);
    (incoming.len() >= end).then(|| incoming.split_to(end).freeze())
}

/// Cancel-safe: `outgoing` holds everything not yet written.
async fn write_messages(
    output: &mut WriteHalf<'_>,
    queue: &mut Receiver<Frame>,
    outgoing: &mut BytesMut,
) -> io::Result<()> {
    loop {
        match queue.recv().await {
            Ok(frame) => outgoing.extend_from_slice(&frame),
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Ok(()),
        }
        gather(queue, outgoing, WRITE_BYTES);
        while outgoing.has_remaining() {
            output.write_buf(outgoing).await?;
        }
    }
}

/// Takes everything in the room now, to be sent with one system call.
fn gather(queue: &mut Receiver<Frame>, outgoing: &mut BytesMut, bytes_max: usize) {
    for _ in 0..queue.len() {
        if outgoing.len() >= bytes_max {
            return;
        }
        match queue.try_recv() {
            Ok(frame) => outgoing.extend_from_slice(&frame),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}
