//! A chat server of generators: tasks that read and write as if they could block.
//!
//! Idea: a libfringe generator is a function with its own stack, and can be suspended
//! anywhere, even deep inside a library. Here `suspend` is the tasks' system call: it hands
//! a request, an [`Ask`], to the loop and returns with the answer. [`Patient`] is a socket
//! that suspends instead of blocking; std's `BufReader`, `read_exact` and `write_all` work
//! on it unchanged. libfringe has no I/O of its own, so this program contains the event
//! loop, on poll(2).
//!
//! Flow of a message: its sender's [`hear`] reads it and asks the loop to post it. The loop
//! appends what one task posts to every client's outbox before it resumes the next task:
//! this is the sequencing point. Each client's [`speak`] asks for the contents of its outbox
//! and writes all of it.
//!
//! Shortcuts: a client whose outbox is full misses new messages until it has read some.
//! Two stacks per client are four memory mappings, and by default Linux allows a process
//! 65,530 (vm.max_map_count): a client that gets no stack is rejected.

use fringe::OsStack;
use fringe::generator::{Generator, Yielder};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, mem, process};

/// Bytes queued for one client; as many again may be in the write in progress.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes per read.
const INBOX_BYTES: usize = 16 * 1024;
/// Size of a task's stack; only touched pages use memory.
const STACK_BYTES: usize = 32 * 1024;
/// Listen backlog.
const BACKLOG: i32 = 1024;
/// How long to pause after a failed accept, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address] = &arguments[..] else {
        eprintln!("server: error: expected one argument, the address to listen on: HOST:PORT");
        process::exit(64);
    };
    if let Err(error) = serve(address) {
        eprintln!("server: error: cannot serve on {address}: {error}");
        process::exit(1);
    }
}

/// The event loop, which serves the tasks' requests.
fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    rustix::net::listen(&listener, BACKLOG)?; // std's own is 128
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;

    let mut clients: Vec<Client> = Vec::new();
    let mut accept_from = Instant::now();
    loop {
        let rest = accept_from.saturating_duration_since(Instant::now());
        let (accepting, ready) = wait(&listener, rest, &clients)?;
        for (index, flags) in ready.into_iter().enumerate() {
            let posted = clients[index].go_on(flags);
            clients.iter_mut().for_each(|client| client.queue(&posted));
        }
        if accepting && accept(&listener, &mut clients).is_err() {
            accept_from = Instant::now() + ACCEPT_PAUSE;
        }
        clients.iter_mut().for_each(Client::send_queued);
        clients.retain(|client| !client.is_gone());
    }
}

/// Waits until a client is ready, or the listener unless accepting is paused.
fn wait(
    listener: &TcpListener,
    rest: Duration,
    clients: &[Client],
) -> io::Result<(bool, Vec<PollFlags>)> {
    let watched = if rest.is_zero() { PollFlags::IN } else { PollFlags::empty() };
    let mut sockets = vec![PollFd::new(listener, watched)];
    sockets.extend(clients.iter().map(Client::waits_for));
    let timeout = if rest.is_zero() { None } else { rest.try_into().ok() };
    retry_on_intr(|| poll(&mut sockets, timeout.as_ref()))?;
    let mut ready = sockets.iter().map(PollFd::revents);
    Ok((ready.next() == Some(PollFlags::IN), ready.collect()))
}

fn accept(listener: &TcpListener, clients: &mut Vec<Client>) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((socket, _)) => clients.extend(Client::new(socket)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A task's request to the loop.
enum Ask {
    Readable,
    Writable,
    /// Delivers this frame to all clients.
    Post(Vec<u8>),
    /// Answered with frames to send; empty when there will be no more.
    Frames,
}

type Asking = Yielder<Vec<u8>, Ask>;

/// Reads frames until the client's stream ends.
fn hear(asking: &Asking, socket: &TcpStream) -> io::Result<()> {
    let mut input = BufReader::with_capacity(INBOX_BYTES, Patient { asking, socket });
    let mut frame = [0; 256];
    loop {
        input.read_exact(&mut frame[..1])?;
        let end = 1 + usize::from(frame[0]);
        if 1 + input.buffer().len() < end {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = socket.set_quickack(true);
        }
        input.read_exact(&mut frame[1..end])?;
        asking.suspend(Ask::Post(frame[..end].to_vec()));
    }
}

/// Writes frames until there are no more.
fn speak(asking: &Asking, socket: &TcpStream) -> io::Result<()> {
    loop {
        let frames = asking.suspend(Ask::Frames);
        if frames.is_empty() {
            return Ok(());
        }
        Patient { asking, socket }.write_all(&frames)?;
    }
}

/// A socket whose reads and writes suspend the task when they would block.
struct Patient<'a> {
    asking: &'a Asking,
    socket: &'a TcpStream,
}

impl Read for Patient<'_> {
    /// Waits first: one read per readiness event, so that a client that sends without
    /// pause cannot starve the others.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.asking.suspend(Ask::Readable);
            match self.socket.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.socket.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.asking.suspend(Ask::Writable);
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A generator and its pending request: `None` once it has returned. Dropping a generator
/// before that leaks everything on its stack, so each runs to its end.
struct Task {
    generator: Generator<Vec<u8>, Ask, OsStack>,
    ask: Option<Ask>,
}

impl Task {
    /// Runs `body` up to its first request.
    fn start(stack: OsStack, body: impl FnOnce(&Asking) + Send + 'static) -> Task {
        let mut generator = Generator::new(stack, move |asking, _| body(asking));
        let ask = generator.resume(Vec::new());
        Task { generator, ask }
    }

    fn resume(&mut self, answer: Vec<u8>) {
        self.ask = self.generator.resume(answer);
    }
}

/// One connection. Once `hear` has ended, nothing more is queued; `speak` ends once it
/// has sent the queue.
struct Client {
    socket: Arc<TcpStream>,
    hear: Task,
    speak: Task,
    outbox: Vec<u8>,
}

impl Client {
    fn new(socket: TcpStream) -> io::Result<Client> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let (hear_stack, speak_stack) = (OsStack::new(STACK_BYTES)?, OsStack::new(STACK_BYTES)?);
        let socket = Arc::new(socket);
        let (heard, spoken) = (socket.clone(), socket.clone());
        let hear = Task::start(hear_stack, move |asking| {
            // The end of the stream or a reset; after a reset `speak` fails by itself.
            let _ = hear(asking, &heard);
        });
        let speak = Task::start(speak_stack, move |asking| {
            if speak(asking, &spoken).is_err() {
                let _ = spoken.shutdown(Shutdown::Both); // which ends `hear`
            }
        });
        Ok(Client { socket, hear, speak, outbox: Vec::new() })
    }

    fn waits_for(&self) -> PollFd<'_> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, matches!(self.hear.ask, Some(Ask::Readable)));
        flags.set(PollFlags::OUT, matches!(self.speak.ask, Some(Ask::Writable)));
        PollFd::new(&self.socket, flags)
    }

    /// Resumes the tasks that wait for these events. Returns the frames they post.
    fn go_on(&mut self, mut ready: PollFlags) -> Vec<u8> {
        if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            ready |= PollFlags::IN | PollFlags::OUT; // the next read or write returns the error
        }
        if ready.contains(PollFlags::OUT) && matches!(self.speak.ask, Some(Ask::Writable)) {
            self.speak.resume(Vec::new());
        }
        if ready.contains(PollFlags::IN) && matches!(self.hear.ask, Some(Ask::Readable)) {
            self.hear.resume(Vec::new());
        }
        let mut posted = Vec::new();
        while let Some(Ask::Post(frame)) = &self.hear.ask {
            posted.extend_from_slice(frame);
            self.hear.resume(Vec::new());
        }
        posted
    }

    fn queue(&mut self, frames: &[u8]) {
        if self.hear.ask.is_some() && self.outbox.len() + frames.len() <= OUTBOX_BYTES_MAX {
            self.outbox.extend_from_slice(frames);
        }
    }

    fn send_queued(&mut self) {
        while matches!(self.speak.ask, Some(Ask::Frames))
            && (!self.outbox.is_empty() || self.hear.ask.is_none())
        {
            self.speak.resume(mem::take(&mut self.outbox));
        }
    }

    fn is_gone(&self) -> bool {
        self.hear.ask.is_none() && self.speak.ask.is_none()
    }
}
