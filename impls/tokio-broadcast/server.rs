//! Async/await over one broadcast channel: a message is stored once, and every
//! client is a position in the same ring.
//!
//! How a message flows. A client is one task, `serve`, which waits for its socket
//! and for the room at once. `read_messages` cuts frames out of the byte stream
//! and sends each into the room: that is where the messages get their order.
//! `write_messages` receives what is new in the room, gathers what is there into
//! a buffer, and writes it.
//!
//! The ring is the only queue. It overwrites the oldest message, whether or not
//! all have received it; a client that reads too slowly is told how many it has
//! missed and goes on with what is left.
//!
//! Shortcuts: a sender is not slowed down by slow receivers, only by its turns on
//! the runtime.

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
/// What is read at once.
const READ_BYTES: usize = 4 * 1024;
/// No more than this and one message is gathered for one write.
const WRITE_BYTES: usize = 16 * 1024;
/// How long to leave the listener alone when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Header byte and body, as they were read: a slice of the buffer they came in.
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
            // Most likely descriptors have run out. Say it once, and try again when
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

/// One client, until its stream ends or breaks. An error means that it is gone, and
/// there is nobody to tell.
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
    // The client has closed its sending side. It is still sent what is in the room
    // now, its own last messages included.
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
            // So that a flood leaves the writers their turns before the ring is full.
            coop::consume_budget().await;
        }
    }
}

fn next_frame(incoming: &mut BytesMut) -> Option<Frame> {
    let end = 1 + usize::from(*incoming.first()?);
    (incoming.len() >= end).then(|| incoming.split_to(end).freeze())
}

/// May be dropped at any await: `outgoing` holds what is not written.
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

/// Takes what is in the room now, so that it goes out with one system call.
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
