//! A chat server made of promises on an event loop.
//!
//! Idea: every operation that has to wait (a read, a write, an accept, "something is
//! queued") is a promise, and `then` says what happens next. A loop is a function that
//! returns a promise ending in a call to itself. gj provides the promises, gjio the
//! sockets; both are Rust ports of KJ, the foundation of Cap'n Proto in C++.
//!
//! Flow of a message: `hear` reads complete frames from its client and passes them to
//! `Room::post`, which appends them to every client's outbox. There is one thread, so
//! this is the sequencing point. Each client's `speak` waits until its outbox holds
//! something and writes all of it at once.
//!
//! Shortcuts: a client whose outbox is full misses new messages until it has read
//! some. One thread does everything, so one core is the limit.

use gj::{EventLoop, Promise, PromiseFulfiller, TaskReaper, TaskSet, WaitScope};
use gjio::{AsyncRead, AsyncWrite, EventPort, SocketListener, SocketStream, Timer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::rc::Rc;
use std::time::Duration;
use std::{env, mem, process};

/// Bytes queued for one client; as many again may be in the write in progress.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes per read.
const INBOX_BYTES: usize = 16 * 1024;
/// Turns before the loop must poll the kernel, see [`Room::turn`].
const TURNS_MAX: u32 = 256;
/// How long to pause after a failed accept, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type IoPromise<T> = Promise<T, io::Error>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address] = &arguments[..] else {
        eprintln!("server: error: expected one argument, the address to listen on: HOST:PORT");
        process::exit(64);
    };
    if let Err(error) = EventLoop::top_level(|scope| serve(address, scope)) {
        eprintln!("server: error: cannot listen on {address}: {error}");
        process::exit(1);
    }
}

fn serve(address: &str, scope: &WaitScope) -> io::Result<()> {
    let resolved = address.to_socket_addrs()?.next();
    let resolved = resolved.ok_or_else(|| io::Error::other("the host has no address"))?;
    let inner = EventPort::new()?;
    let listener = inner.get_network().get_tcp_address(resolved).listen()?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;

    let room = Room { outboxes: Rc::default(), turns: Rc::default(), timer: inner.get_timer() };
    let mut port = Port { inner, turns: room.turns.clone() };
    welcome(listener, TaskSet::new(Box::new(Reaper)), room, 0).wait(scope, &mut port)
}

/// Accepts clients forever; each becomes its own task.
fn welcome(
    listener: SocketListener,
    mut tasks: TaskSet<(), io::Error>,
    room: Room,
    id: u64,
) -> IoPromise<()> {
    let turn = room.turn();
    turn.then_else(move |_| {
        listener.accept().then_else(move |accepted| match accepted {
            Ok(stream) => {
                tasks.add(attend(stream, room.clone(), id));
                welcome(listener, tasks, room, id + 1)
            }
            Err(_) => {
                let pause = room.timer.after_delay(ACCEPT_PAUSE);
                pause.then(move |()| welcome(listener, tasks, room, id))
            }
        })
    })
}

/// One client, from its connection until its queue has been sent. An error in either
/// half cancels the other.
fn attend(stream: SocketStream, room: Room, id: u64) -> IoPromise<()> {
    let outbox = Rc::new(RefCell::new(Outbox::default()));
    room.outboxes.borrow_mut().insert(id, outbox.clone());
    let inbox = Inbox { bytes: vec![0; INBOX_BYTES], filled: 0 };
    let (leaving, left) = (room.clone(), outbox.clone());
    let heard = hear(stream.clone(), inbox, room.clone()).map(move |()| {
        leaving.outboxes.borrow_mut().remove(&id);
        left.borrow_mut().close();
        Ok(())
    });
    let spoken = speak(stream, outbox);
    Promise::all([heard, spoken].into_iter()).map_else(move |_| {
        room.outboxes.borrow_mut().remove(&id);
        Ok(())
    })
}

/// Reads until the end of the client's stream.
fn hear(mut stream: SocketStream, inbox: Inbox, room: Room) -> IoPromise<()> {
    let turn = room.turn();
    turn.then(move |()| {
        stream.try_read(inbox, 1).then(move |(mut inbox, read_bytes)| {
            if read_bytes == 0 {
                return Promise::ok(());
            }
            inbox.filled += read_bytes;
            let whole = whole_frames(&inbox.bytes[..inbox.filled]);
            room.post(&inbox.bytes[..whole]);
            inbox.bytes.copy_within(whole..inbox.filled, 0);
            inbox.filled -= whole;
            if inbox.filled > 0 {
                // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                let _ = stream.set_quickack(true);
            }
            hear(stream, inbox, room)
        })
    })
}

/// Writes the contents of the outbox until it is closed and empty.
fn speak(mut stream: SocketStream, outbox: Rc<RefCell<Outbox>>) -> IoPromise<()> {
    let due = outbox.borrow_mut().due();
    due.then(move |()| {
        let frames = mem::take(&mut outbox.borrow_mut().frames);
        if frames.is_empty() {
            return Promise::ok(());
        }
        stream.write(frames).then(move |_| speak(stream, outbox))
    })
}

/// The length of the complete frames at the start of `bytes`.
fn whole_frames(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(&body) = bytes.get(end)
        && bytes.len() > end + usize::from(body)
    {
        end += 1 + usize::from(body);
    }
    end
}

/// The state that all clients' promises share.
#[derive(Clone)]
struct Room {
    outboxes: Rc<RefCell<BTreeMap<u64, Rc<RefCell<Outbox>>>>>,
    turns: Rc<Cell<u32>>,
    timer: Timer,
}

impl Room {
    fn post(&self, frames: &[u8]) {
        for outbox in self.outboxes.borrow().values() {
            outbox.borrow_mut().push(frames);
        }
    }

    /// gj polls the kernel only when no promise is ready, and clients that send without
    /// pause could prevent that forever. So after [`TURNS_MAX`] turns the next ones wait
    /// for the timer, which only [`Port::wait`] runs.
    fn turn(&self) -> IoPromise<()> {
        self.turns.set(self.turns.get() + 1);
        if self.turns.get() <= TURNS_MAX {
            Promise::ok(())
        } else {
            self.timer.after_delay(Duration::ZERO)
        }
    }
}

/// Complete frames queued for one client.
#[derive(Default)]
struct Outbox {
    frames: Vec<u8>,
    closed: bool,
    waiting: Option<PromiseFulfiller<(), io::Error>>,
}

impl Outbox {
    /// Appends as many of the frames as fit.
    fn push(&mut self, frames: &[u8]) {
        let free = OUTBOX_BYTES_MAX - self.frames.len();
        let taken = if frames.len() <= free { frames.len() } else { whole_frames(&frames[..free]) };
        self.frames.extend_from_slice(&frames[..taken]);
        if !self.frames.is_empty() {
            self.wake();
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(fulfiller) = self.waiting.take() {
            fulfiller.fulfill(());
        }
    }

    /// Resolves when there is something to send, or the outbox is closed.
    fn due(&mut self) -> IoPromise<()> {
        if self.closed || !self.frames.is_empty() {
            return Promise::ok(());
        }
        let (promise, fulfiller) = Promise::and_fulfiller();
        self.waiting = Some(fulfiller);
        promise
    }
}

/// The read buffer of one client, which begins with an incomplete frame.
struct Inbox {
    bytes: Vec<u8>,
    filled: usize,
}

impl AsMut<[u8]> for Inbox {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }
}

/// gjio's event port, which also resets the count of turns at each poll.
struct Port {
    inner: EventPort,
    turns: Rc<Cell<u32>>,
}

impl gj::EventPort<io::Error> for Port {
    fn wait(&mut self) -> io::Result<()> {
        self.turns.set(0);
        self.inner.wait()
    }
}

/// Ignores the end of a client's task: there is nothing to clean up.
struct Reaper;

impl TaskReaper<(), io::Error> for Reaper {
    fn task_failed(&mut self, _: io::Error) {}
}
