//! Actors with bounded mailboxes: one room, and a mouth for each client.
//!
//! The idea: the sender of a mail decides what a full mailbox means. A reader
//! *waits* until the room's has space, so a flood stays with its sender. The room must not
//! wait for anybody: it *tries*, and a client whose mouth has a full mailbox misses the
//! mail. Mail flows in one direction only, so no two actors can wait for each other.
//!
//! How a message flows. `read_messages`, one task per client, receives bytes and tells the
//! complete frames to the `Room`. The room takes one mail at a time: its mailbox is the
//! sequencing point. It offers the frames to the `Mouth` of every client, the sender's
//! included. A mouth puts them into its write buffer; before it would wait for further
//! mail, it flushes (`Mouth::next`).
//!
//! An actor ends when nobody can write to it any more. When a client leaves, the room drops
//! the only reference to its mouth, which still takes the mail in its mailbox, and then
//! stops.
//!
//! Shortcuts: frames that were read together are dropped together. A reader is a plain
//! task, as nobody sends it mail.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kameo::mailbox::{self, MailboxReceiver, Signal};
use kameo::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Mails queued for the room; a reader waits while the mailbox is full.
const ROOM_MAILS: usize = 16;
/// Mails queued for one client, each of at most `READ_BYTES_MAX`. The next one is dropped.
const MOUTH_MAILS: usize = 64;
/// Bytes read from one client, and told to the room, at a time.
const READ_BYTES_MAX: usize = 4 * 1024;
/// Bytes gathered for one write.
const WRITE_BYTES: usize = 16 * 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = serve().await;
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

async fn serve() -> Result<Infallible, String> {
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
    let room = Room::spawn_with_mailbox(Room::default(), mailbox::bounded(ROOM_MAILS));
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                admit(stream, &room).await;
                failing = false;
            }
            // Descriptors have probably run out. Report it once, and try again when some
            // may be free.
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

async fn admit(stream: TcpStream, room: &ActorRef<Room>) {
    let _ = stream.set_nodelay(true);
    let (input, output) = stream.into_split();
    let mouth = Mouth(BufWriter::with_capacity(WRITE_BYTES, output));
    let mouth = Mouth::spawn_with_mailbox(mouth, mailbox::bounded(MOUTH_MAILS));
    let id = mouth.id();
    room.tell(Joined(mouth)).send().await.expect("the room never stops");
    let room = room.clone();
    tokio::spawn(async move {
        // End of file and a reset are equivalent here: nothing more to read.
        let _ = read_messages(input, &room).await;
        room.tell(Left(id)).send().await.expect("the room never stops");
    });
}

async fn read_messages(mut input: OwnedReadHalf, room: &ActorRef<Room>) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES_MAX];
    let mut length = 0; // of an incomplete frame at the start of the buffer
    loop {
        match input.read(&mut buffer[length..]).await? {
            0 => return Ok(()),
            received => length += received,
        }
        let whole = whole_frames(&buffer[..length]);
        if whole > 0 {
            let said = Said(buffer[..whole].into());
            room.tell(said).send().await.expect("the room never stops");
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = input.as_ref().set_quickack(true);
        }
        buffer.copy_within(whole..length, 0);
        length -= whole;
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

// The mail.

struct Joined(ActorRef<Mouth>);
struct Left(ActorId);
/// Complete frames, as they were read; all mailboxes share one copy.
#[derive(Clone)]
struct Said(Arc<[u8]>);

/// Knows who is there, and nothing else.
#[derive(Default)]
struct Room {
    mouths: HashMap<ActorId, ActorRef<Mouth>>,
}

impl Actor for Room {
    type Args = Room;
    type Error = Infallible;

    async fn on_start(room: Room, _: ActorRef<Room>) -> Result<Room, Infallible> {
        Ok(room)
    }
}

impl Message<Joined> for Room {
    type Reply = ();

    async fn handle(&mut self, Joined(mouth): Joined, _: &mut Context<Room, ()>) {
        self.mouths.insert(mouth.id(), mouth);
    }
}

impl Message<Left> for Room {
    type Reply = ();

    async fn handle(&mut self, Left(id): Left, _: &mut Context<Room, ()>) {
        self.mouths.remove(&id);
    }
}

impl Message<Said> for Room {
    type Reply = ();

    async fn handle(&mut self, said: Said, _: &mut Context<Room, ()>) {
        for mouth in self.mouths.values() {
            // Fails if the mailbox is full, or if the client has disconnected.
            let _ = mouth.tell(said.clone()).try_send();
        }
    }
}

/// Writes to one client. An error stops it; the reader notices it, too, and leaves the room.
struct Mouth(BufWriter<OwnedWriteHalf>);

impl Actor for Mouth {
    type Args = Mouth;
    type Error = io::Error;

    async fn on_start(mouth: Mouth, _: ActorRef<Mouth>) -> io::Result<Mouth> {
        Ok(mouth)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Mouth>,
        mailbox: &mut MailboxReceiver<Mouth>,
    ) -> io::Result<Option<Signal<Mouth>>> {
        if mailbox.is_empty() {
            self.0.flush().await?;
        }
        Ok(mailbox.recv().await)
    }
}

impl Message<Said> for Mouth {
    type Reply = io::Result<()>;

    async fn handle(
        &mut self,
        Said(frames): Said,
        _: &mut Context<Mouth, Self::Reply>,
    ) -> Self::Reply {
        self.0.write_all(&frames).await
    }
}
