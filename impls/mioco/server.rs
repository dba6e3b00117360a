//! A chat server of coroutines: the familiar code of threads, without the threads.
//!
//! Idea: mioco looks like std. `spawn` starts a coroutine, and `accept`, `write_all` and
//! `sleep` wait. But where a thread would block, the event loop underneath (mio) switches
//! to another coroutine's stack. `select!` waits for several things at once, as in Go.
//!
//! Flow of a message: its sender's coroutine reads it and posts it to the [`Room`], which
//! appends it to every client's outbox under one lock: this is the sequencing point. When
//! an outbox becomes non-empty, a channel notifies the client's coroutine, which writes
//! the whole outbox.
//!
//! Shortcuts: a client whose outbox is full misses new messages until it has read some.
//! One thread runs all coroutines; several would contend for the room's lock.

use mioco::select;
use mioco::sync::mpsc::{Receiver, Sender, channel};
use mioco::tcp::{TcpListener, TcpStream};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::net::{self, ToSocketAddrs};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::linux::net::TcpStreamExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, mem, process};

/// Bytes queued for one client; as many again may be in the write in progress.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes per read.
const INBOX_BYTES: usize = 16 * 1024;
/// How long to pause after a failed accept, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Further clients are rejected: a stack is two memory mappings, and by default Linux
/// allows a process 65,530 (vm.max_map_count).
const CLIENTS_MAX: usize = 32_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address] = &arguments[..] else {
        eprintln!("server: error: expected one argument, the address to listen on: HOST:PORT");
        process::exit(64);
    };
    if let Err(error) = serve(address) {
        eprintln!("server: error: cannot listen on {address}: {error}");
        process::exit(1);
    }
}

fn serve(address: &str) -> io::Result<()> {
    let resolved = address.to_socket_addrs()?.next();
    let resolved = resolved.ok_or_else(|| io::Error::other("the host has no address"))?;
    let listener = TcpListener::bind(&resolved)?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;

    let mut config = mioco::Config::new();
    config.set_thread_num(1);
    // One post may wake every client before the event loop runs again.
    config.event_loop().notify_capacity(2 * CLIENTS_MAX);
    let ended = mioco::Mioco::new_configured(config).start(move || welcome(&listener));
    ended.map_err(|_| io::Error::other("the accepting coroutine has failed"))
}

/// Accepts clients forever; each gets a coroutine.
fn welcome(listener: &TcpListener) {
    let room = Arc::new(Room::default());
    for id in 0.. {
        match listener.accept() {
            Ok(stream) => {
                let room = room.clone();
                if let Some(filled) = room.enter(id) {
                    mioco::spawn(move || attend(stream, &room, id, &filled));
                }
            }
            Err(_) => mioco::sleep(ACCEPT_PAUSE),
        }
    }
}

/// One client, from its connection until its queue has been sent.
fn attend(mut stream: TcpStream, room: &Room, id: u64, filled: &Receiver<()>) {
    let mut unsent = Vec::new();
    let ended = talk(&mut stream, room, id, filled, &mut unsent);
    unsent.append(&mut room.leave(id));
    if ended.is_ok() {
        let _ = stream.write_all(&unsent); // only the write side is left to wait for
    }
}

/// Reads and writes whatever is possible, until the end of the client's stream. It waits
/// before each read: mioco itself suspends only when a read would block, so a client that
/// sends without pause would starve all other coroutines.
fn talk(
    stream: &mut TcpStream,
    room: &Room,
    id: u64,
    filled: &Receiver<()>,
    unsent: &mut Vec<u8>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = vec![0; INBOX_BYTES];
    let mut held = 0;
    loop {
        if unsent.is_empty() {
            select!(r: stream => {}, r: filled => {});
        } else {
            select!(rw: stream => {});
        }
        match stream.try_read(&mut inbox[held..])? {
            Some(0) => return Ok(()),
            Some(read_bytes) => {
                held += read_bytes;
                let whole = whole_frames(&inbox[..held]);
                room.post(&inbox[..whole]);
                inbox.copy_within(whole..held, 0);
                held -= whole;
                if held > 0 {
                    // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
                    acknowledge(stream);
                }
            }
            None => {}
        }
        if unsent.is_empty() && filled.try_recv().is_ok() {
            *unsent = room.take(id);
        }
        if !unsent.is_empty()
            && let Some(written_bytes) = stream.try_write(unsent)?
        {
            unsent.drain(..written_bytes);
        }
    }
}

fn acknowledge(stream: &TcpStream) {
    // SAFETY: the descriptor is the stream's, and is not closed here.
    let stream = unsafe { net::TcpStream::from_raw_fd(stream.as_raw_fd()) };
    let _ = ManuallyDrop::new(stream).set_quickack(true);
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

/// Complete frames queued for one client.
struct Outbox {
    frames: Vec<u8>,
    /// Notifies the client's coroutine that the outbox is no longer empty.
    filled: Sender<()>,
}

/// The outboxes of all clients.
#[derive(Default)]
struct Room(Mutex<BTreeMap<u64, Outbox>>);

impl Room {
    fn enter(&self, id: u64) -> Option<Receiver<()>> {
        let mut outboxes = self.outboxes();
        let (filled, receiver) = channel();
        (outboxes.len() < CLIENTS_MAX).then(|| {
            outboxes.insert(id, Outbox { frames: Vec::new(), filled });
            receiver
        })
    }

    /// Appends to each client's outbox as many of the frames as fit.
    fn post(&self, frames: &[u8]) {
        for outbox in self.outboxes().values_mut() {
            let free = OUTBOX_BYTES_MAX - outbox.frames.len();
            let fits =
                if frames.len() <= free { frames.len() } else { whole_frames(&frames[..free]) };
            if fits > 0 && outbox.frames.is_empty() {
                let _ = outbox.filled.send(()); // the receiver lives as long as the outbox
            }
            outbox.frames.extend_from_slice(&frames[..fits]);
        }
    }

    fn take(&self, id: u64) -> Vec<u8> {
        let mut outboxes = self.outboxes();
        outboxes.get_mut(&id).map(|outbox| mem::take(&mut outbox.frames)).unwrap_or_default()
    }

    /// Returns what is still queued for the client.
    fn leave(&self, id: u64) -> Vec<u8> {
        self.outboxes().remove(&id).map(|outbox| outbox.frames).unwrap_or_default()
    }

    /// The lock is never held where a coroutine may be suspended.
    fn outboxes(&self) -> MutexGuard<'_, BTreeMap<u64, Outbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
