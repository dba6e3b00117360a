//! Actors: a few threads, each of which owns what it works on and shares nothing.
//! What one wants of another goes into that one's mailbox.
//!
//! The idea: amy's channels report to the poller that also watches sockets, so an
//! actor waits for its clients and for its mail in one place. And any thread may
//! register a socket with any actor's poller, without waking that actor.
//!
//! How a message flows. A `Worker` owns some of the clients. It reads those that
//! have sent something, once each, and mails their whole frames to the room, as
//! one batch (`read_clients`). `run_room` forwards one batch after the other to
//! all workers: that is the order of the messages. Each worker puts the frames
//! behind the backlogs of its clients (`take_mail`) and writes what the sockets
//! take (`write_clients`).
//!
//! A worker has one batch on its way at a time, and reads no client until it has
//! come back from the room. So the room's mailbox cannot overflow, no worker can
//! crowd out another, and senders that are too fast are slowed down by TCP. A
//! client that reads too slowly misses the batches that do not fit its backlog.
//!
//! Shortcut: the frames of a batch are dropped together.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{self, ExitCode};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, mem, thread};

use amy::{Event, Notification, Poller, Receiver, Registrar};

/// Bytes that wait for one client. A batch that does not fit is dropped for it.
const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// What is read from one client in its turn; a batch with as much takes no more.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Mails that wait for one worker; the room waits for it when it has so many.
const MAILBOX_LIMIT: usize = 64;
/// Connections that wait to be accepted; std's own 128 are few for a rush.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to leave the listener alone when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A time-out that `Poller::wait` passes to epoll as -1.
const FOREVER: usize = usize::MAX;

/// Given by amy's poller; unlike descriptors, ids are not used again.
type ClientId = usize;
/// Delivers into a worker's mailbox. (amy keeps its sender's type to itself.)
type Address = Arc<dyn Fn(Mail) + Send + Sync>;

#[derive(Debug)]
enum Mail {
    Joined(ClientId, TcpStream),
    Sequenced(Arc<Batch>),
}

#[derive(Debug, Default)]
struct Batch {
    worker: usize,
    frames: Vec<u8>,
    /// That worker's clients whose last frames these are.
    left: Vec<ClientId>,
}

fn main() -> ExitCode {
    let Err(error) = serve();
    let _ = writeln!(io::stderr(), "server: error: {error}");
    ExitCode::FAILURE
}

fn serve() -> Result<std::convert::Infallible, String> {
    let mut arguments = env::args_os().skip(1).map(|argument| argument.into_string());
    let (Some(Ok(address)), None) = (arguments.next(), arguments.next()) else {
        return Err("expected one argument, HOST:PORT".into());
    };
    let cannot_listen = |error| format!("cannot listen on {address}: {error}");
    let listener = TcpListener::bind(&address).map_err(cannot_listen)?;
    rustix::net::listen(&listener, LISTEN_BACKLOG).map_err(|e| cannot_listen(e.into()))?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let workers = start_actors().map_err(|error| format!("cannot start: {error}"))?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(&listener, &workers)
}

fn start_actors() -> io::Result<Vec<(Registrar, Address)>> {
    let number = thread::available_parallelism()?.get();
    let (room, inbox) = mpsc::sync_channel(number);
    let mut actors = Vec::new();
    for number in 0..number {
        let poller = Poller::new()?;
        let mut registrar = poller.get_registrar();
        let (sender, mailbox) = registrar.sync_channel(MAILBOX_LIMIT)?;
        let deliver = move |mail| sender.send(mail).expect("workers do not end");
        let worker = Worker {
            number,
            poller,
            mailbox,
            has_mail: false,
            room: room.clone(),
            batch_under_way: false,
            clients: HashMap::new(),
            readable: VecDeque::new(),
        };
        thread::Builder::new().name(format!("worker-{number}")).spawn(|| worker.run())?;
        actors.push((registrar, Arc::new(deliver) as Address));
    }
    let addresses = actors.iter().map(|(_, address)| Arc::clone(address)).collect();
    thread::Builder::new().name("room".into()).spawn(|| run_room(inbox, addresses))?;
    Ok(actors)
}

/// The one sequencing point: all workers get the batches in the same order.
fn run_room(inbox: mpsc::Receiver<Batch>, workers: Vec<Address>) {
    for batch in inbox {
        let batch = Arc::new(batch);
        workers.iter().for_each(|deliver| deliver(Mail::Sequenced(Arc::clone(&batch))));
    }
}

fn accept_clients(listener: &TcpListener, workers: &[(Registrar, Address)]) -> ! {
    let mut failing = false;
    for (registrar, deliver) in workers.iter().cycle() {
        let accepted = listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            let _ = stream.set_nodelay(true);
            deliver(Mail::Joined(registrar.register(&stream, Event::Both)?, stream));
            Ok(())
        });
        // Most likely descriptors have run out. The workers serve those who are
        // here meanwhile; say it once, and try again when some may be free.
        if let Err(error) = &accepted {
            if !failing {
                let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
            }
            thread::sleep(ACCEPT_PAUSE);
        }
        failing = accepted.is_err();
    }
    unreachable!("there is at least one worker")
}

struct Worker {
    number: usize,
    poller: Poller,
    mailbox: Receiver<Mail>,
    has_mail: bool,
    room: mpsc::SyncSender<Batch>,
    batch_under_way: bool,
    clients: HashMap<ClientId, Client>,
    /// Whose turn it is to be read. The poller reports changes only (it is
    /// edge-triggered), so a client stays here until there is nothing to read.
    readable: VecDeque<ClientId>,
}

struct Client {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The front of a frame whose end has not come yet.
    received: Vec<u8>,
    /// Whole frames, of which the first may have been written in part.
    backlog: Vec<u8>,
    leaving: bool,
}

impl Worker {
    fn run(mut self) {
        let mut buffer = vec![0; READ_BYTES_MAX];
        loop {
            let can_read = !self.batch_under_way && !self.readable.is_empty();
            match self.poller.wait(if can_read || self.has_mail { 0 } else { FOREVER }) {
                Ok(news) => news.into_iter().for_each(|notification| self.note(notification)),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    let _ = writeln!(io::stderr(), "server: error: cannot wait: {error}");
                    process::exit(1);
                }
            }
            self.take_mail();
            self.read_clients(&mut buffer);
            self.write_clients();
        }
    }

    fn note(&mut self, Notification { id, event }: Notification) {
        if id == self.mailbox.get_id() {
            self.has_mail = true;
        } else if let Some(client) = self.clients.get_mut(&id) {
            client.writable |= event != Event::Read;
            if event != Event::Write && !mem::replace(&mut client.readable, true) {
                self.readable.push_back(id);
            }
        }
    }

    fn take_mail(&mut self) {
        match self.mailbox.try_recv() {
            Ok(Mail::Joined(id, stream)) => {
                // What the poller has said of it before is lost: suppose it is ready.
                let (received, backlog) = (Vec::new(), Vec::new());
                let (readable, writable, leaving) = (true, true, false);
                let client = Client { stream, readable, writable, received, backlog, leaving };
                self.clients.insert(id, client);
                self.readable.push_back(id);
            }
            Ok(Mail::Sequenced(batch)) => {
                self.clients.values_mut().for_each(|client| client.enqueue(&batch.frames));
                if batch.worker == self.number {
                    self.batch_under_way = false;
                    for id in &batch.left {
                        self.clients.get_mut(id).into_iter().for_each(|c| c.leaving = true);
                    }
                }
            }
            Err(_) => self.has_mail = false,
        }
    }

    fn read_clients(&mut self, buffer: &mut [u8]) {
        if self.batch_under_way {
            return;
        }
        let mut batch = Batch { worker: self.number, ..Batch::default() };
        for _ in 0..self.readable.len() {
            let Some(id) = self.readable.pop_front() else { break };
            let Some(client) = self.clients.get_mut(&id) else { continue };
            match client.stream.read(buffer) {
                Ok(0) => {
                    client.readable = false;
                    batch.left.push(id);
                }
                Ok(length) => {
                    client.received.extend_from_slice(&buffer[..length]);
                    let whole = whole_frames(&client.received);
                    batch.frames.extend(client.received.drain(..whole));
                    self.readable.push_back(id);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => client.readable = false,
                Err(_) => drop(self.clients.remove(&id)),
            }
            if batch.frames.len() >= READ_BYTES_MAX {
                break;
            }
        }
        if !batch.frames.is_empty() || !batch.left.is_empty() {
            self.batch_under_way = true;
            self.room.send(batch).expect("the room does not end");
        }
    }

    fn write_clients(&mut self) {
        self.clients.retain(|_, client| {
            let written = client.write_backlog();
            written.is_ok() && !(client.leaving && client.backlog.is_empty())
        });
    }
}

impl Client {
    fn enqueue(&mut self, frames: &[u8]) {
        if !self.leaving && self.backlog.len() + frames.len() <= BACKLOG_BYTES_MAX {
            self.backlog.extend_from_slice(frames);
        }
    }

    fn write_backlog(&mut self) -> io::Result<()> {
        while self.writable && !self.backlog.is_empty() {
            match self.stream.write(&self.backlog) {
                Ok(length) => drop(self.backlog.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The length of all whole frames at the front of `bytes`.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(&body) = bytes.get(end)
        && end + 1 + usize::from(body) <= bytes.len()
    {
        end += 1 + usize::from(body);
    }
    end
}
