//! Actors: three threads, each of which owns its state and shares nothing. They
//! communicate through mailboxes.
//!
//! The idea: amy's channels report to the poller that also watches sockets, so an
//! actor waits for its sockets and its mail in one place. Any thread may register a
//! socket with any poller, even one socket with two.
//!
//! How a message flows. The main thread accepts a client and announces it to both
//! actors. The `Ear` owns what clients have sent: in each round it reads once from
//! each readable client and mails the complete frames to the `Mouth` (`read_once`).
//! The `Mouth` owns what clients have yet to receive: it takes one mail at a time
//! from its mailbox, which is the sequencing point, appends the frames to every
//! client's backlog (`take_mail`), and writes.
//!
//! Mail flows in one direction, from the main thread and the `Ear` to the `Mouth`, so
//! no two actors can wait for each other. The `Mouth` never blocks. When its mailbox is
//! full, the `Ear` blocks, and TCP slows the senders down. When a client's backlog is
//! full, that client misses the frames.
//!
//! Shortcuts: a round visits every client; frames read together are dropped together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};

use amy::{Event, Notification, Poller, Receiver};

/// Bytes queued for one client. Frames that do not fit are dropped for it.
const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Bytes read from one client before the next one has its turn.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Mails queued for one actor; a sender blocks while the mailbox is full.
const MAILBOX_LIMIT: usize = 16;
/// Listen backlog; the standard library's 128 is too small for a burst of connections.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A timeout that `Poller::wait` passes to epoll as -1.
const FOREVER: usize = usize::MAX;

/// A client's id with the poller of the `Mouth`; ids are never reused.
type ClientId = usize;
/// Puts mail into an actor's mailbox. (amy does not name its bounded sender's type.)
type Address<T> = Arc<dyn Fn(T) + Send + Sync>;

/// What the `Mouth` receives.
#[derive(Debug)]
enum Mail {
    Joined(ClientId, Arc<TcpStream>),
    Said(Vec<u8>),
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
    rustix::net::listen(&listener, LISTEN_BACKLOG).map_err(|e| cannot_listen(e.into()))?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let welcome = start_actors().map_err(|error| format!("cannot start: {error}"))?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(&listener, welcome)
}

/// Returns a function that announces a new client to both actors.
fn start_actors() -> io::Result<impl Fn(TcpStream) -> io::Result<()>> {
    let (ear_poller, mouth_poller) = (Poller::new()?, Poller::new()?);
    let (mut ears, mut mouths) = (ear_poller.get_registrar(), mouth_poller.get_registrar());

    let (sender, mailbox) = mouths.sync_channel(MAILBOX_LIMIT)?;
    let mouth: Address<Mail> = Arc::new(move |mail| sender.send(mail).expect("no actor ends"));
    let actor = Mouth { poller: mouth_poller, mailbox, has_mail: false, clients: HashMap::new() };
    thread::Builder::new().name("mouth".into()).spawn(|| actor.run())?;

    let (ear, mailbox) = ears.sync_channel(MAILBOX_LIMIT)?;
    let address = Arc::clone(&mouth);
    let actor = Ear { poller: ear_poller, mailbox, mouth: address, clients: HashMap::new() };
    thread::Builder::new().name("ear".into()).spawn(|| actor.run())?;

    Ok(move |stream: TcpStream| {
        stream.set_nonblocking(true)?;
        let _ = stream.set_nodelay(true);
        let stream = Arc::new(stream);
        let id = mouths.register(&*stream, Event::Write)?;
        let ear_id = ears.register(&*stream, Event::Read)?;
        // The mouth comes first: it must know a client before that client is heard.
        mouth(Mail::Joined(id, Arc::clone(&stream)));
        ear.send((ear_id, Heard { id, stream, readable: true, received: Vec::new() }))
            .expect("no actor ends");
        Ok(())
    })
}

fn accept_clients(listener: &TcpListener, welcome: impl Fn(TcpStream) -> io::Result<()>) -> ! {
    let mut failing = false;
    loop {
        let accepted = listener.accept().and_then(|(stream, _)| welcome(stream));
        // Descriptors have probably run out. The actors keep serving the connected
        // clients; report it once, and try again when some may be free.
        if let Err(error) = &accepted {
            if !failing {
                let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
            }
            thread::sleep(ACCEPT_PAUSE);
        }
        failing = accepted.is_err();
    }
}

/// The events since the last call; waits at most `timeout_ms` for one.
fn wait(poller: &mut Poller, timeout_ms: usize) -> Vec<Notification> {
    match poller.wait(timeout_ms) {
        Ok(notifications) => notifications,
        Err(error) if error.kind() == ErrorKind::Interrupted => Vec::new(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "server: error: cannot wait for events: {error}");
            process::exit(1);
        }
    }
}

struct Ear {
    poller: Poller,
    mailbox: Receiver<(usize, Heard)>,
    mouth: Address<Mail>,
    /// By id with the poller of the `Ear`.
    clients: HashMap<usize, Heard>,
}

#[derive(Debug)]
struct Heard {
    id: ClientId,
    stream: Arc<TcpStream>,
    /// The poller is edge-triggered: this stays set until a read would block.
    readable: bool,
    /// The start of an incomplete frame.
    received: Vec<u8>,
}

impl Ear {
    fn run(mut self) {
        let mut buffer = vec![0; READ_BYTES_MAX];
        loop {
            let busy = self.clients.values().any(|client| client.readable);
            for notification in wait(&mut self.poller, if busy { 0 } else { FOREVER }) {
                if let Some(client) = self.clients.get_mut(&notification.id) {
                    client.readable = true;
                }
            }
            while let Ok((id, client)) = self.mailbox.try_recv() {
                self.clients.insert(id, client);
            }
            self.clients.retain(|_, client| {
                !client.readable || client.read_once(&mut buffer, &*self.mouth)
            });
        }
    }
}

impl Heard {
    /// Returns false when there will be nothing more to read.
    fn read_once(&mut self, buffer: &mut [u8], mouth: &dyn Fn(Mail)) -> bool {
        match (&*self.stream).read(buffer) {
            Ok(length) if length > 0 => {
                self.received.extend_from_slice(&buffer[..length]);
                let whole = whole_frames(&self.received);
                if whole > 0 {
                    mouth(Mail::Said(self.received.drain(..whole).collect()));
                }
                if !self.received.is_empty() {
                    // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                    let _ = self.stream.set_quickack(true);
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                true
            }
            _ => {
                mouth(Mail::Left(self.id));
                false
            }
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

struct Mouth {
    poller: Poller,
    mailbox: Receiver<Mail>,
    has_mail: bool,
    clients: HashMap<ClientId, Told>,
}

struct Told {
    stream: Arc<TcpStream>,
    writable: bool,
    /// Complete frames; the first may be partly written.
    backlog: Vec<u8>,
    /// It sends no more, and only its backlog is still sent to it.
    leaving: bool,
}

impl Mouth {
    fn run(mut self) {
        loop {
            for Notification { id, .. } in
                wait(&mut self.poller, if self.has_mail { 0 } else { FOREVER })
            {
                if id == self.mailbox.get_id() {
                    self.has_mail = true;
                } else if let Some(client) = self.clients.get_mut(&id) {
                    client.writable = true;
                }
            }
            self.take_mail();
            self.clients.retain(|_, client| {
                client.write_backlog();
                !(client.leaving && client.backlog.is_empty())
            });
        }
    }

    /// The sequencing point. Takes at most one full mailbox before the next write.
    fn take_mail(&mut self) {
        for _ in 0..MAILBOX_LIMIT {
            match self.mailbox.try_recv() {
                Ok(Mail::Joined(id, stream)) => {
                    let client =
                        Told { stream, writable: true, backlog: Vec::new(), leaving: false };
                    self.clients.insert(id, client);
                }
                Ok(Mail::Said(frames)) => {
                    self.clients.values_mut().for_each(|client| client.enqueue(&frames));
                }
                Ok(Mail::Left(id)) => {
                    self.clients.get_mut(&id).into_iter().for_each(|client| client.leaving = true);
                }
                Err(_) => return self.has_mail = false,
            }
        }
    }
}

impl Told {
    fn enqueue(&mut self, frames: &[u8]) {
        if self.backlog.len() + frames.len() > BACKLOG_BYTES_MAX {
            self.write_backlog();
        }
        if !self.leaving && self.backlog.len() + frames.len() <= BACKLOG_BYTES_MAX {
            self.backlog.extend_from_slice(frames);
        }
    }

    fn write_backlog(&mut self) {
        while self.writable && !self.backlog.is_empty() {
            match (&*self.stream).write(&self.backlog) {
                Ok(length) => drop(self.backlog.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(_) => {
                    self.leaving = true;
                    self.backlog.clear();
                    let _ = self.stream.shutdown(Shutdown::Both); // Wakes the ear, too.
                }
            }
        }
    }
}
