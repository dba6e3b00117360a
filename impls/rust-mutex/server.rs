//! Threads and a lock: no hub and no channels. The thread that has read a message delivers
//! it.
//!
//! The idea: one mutex guards the queues of all clients, so the thread that holds it is
//! the sequencing point. A condition variable per client, all of them used with that one
//! mutex, wakes the thread that waits for its queue to fill.
//!
//! How a message flows. The client's `read_messages` thread reads from the socket, takes
//! the lock, and appends the complete frames to every client's queue, including its own
//! client's (`Room::broadcast`). Each client's `write_messages` thread sleeps until its
//! queue holds something (`Room::take`), exchanges the full buffer for an empty one, and
//! writes it to the socket after it has released the lock.
//!
//! No thread waits for a client while it holds the lock. So a queue is bounded, and a
//! client that reads too slowly misses the frames that do not fit.
//!
//! Shortcuts: two threads per client, and a copy of each message in each queue.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::TcpStreamExt;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use std::{env, mem, thread};

/// Bytes queued for one client, beside as many that its writer is sending.
const QUEUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one read, and so of one turn with the lock.
const READ_BYTES_MAX: usize = 8 * 1024;
/// Enough for these threads; the default would reserve 2 MiB for each.
const STACK_BYTES: usize = 64 * 1024;
/// Further clients are rejected. A thread needs four memory mappings, and a thread that
/// gets none aborts the program; Linux allows 65,530, enough for 8,191 clients.
const CLIENTS_MAX: usize = 8_000;
/// Connections queued in the kernel.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors or threads have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

unsafe extern "C" {
    /// The C library's. A second call changes the backlog, which the standard library
    /// fixes at 128: in a burst of connections the kernel would drop many.
    safe fn listen(socket: RawFd, backlog: i32) -> i32;
}

/// Never reused.
type ClientId = u64;

/// What one client has yet to be sent.
#[derive(Default)]
struct Queue {
    /// Complete frames.
    bytes: Vec<u8>,
    /// Nothing will be added any more.
    ended: bool,
    /// Notified when the writer has something to do.
    filled: Arc<Condvar>,
}

/// Every client, from its acceptance until its writer has ended.
#[derive(Default)]
struct Room(Mutex<HashMap<ClientId, Queue>>);

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
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;
    accept_clients(&listener)
}

fn accept_clients(listener: &TcpListener) -> ! {
    let room = Arc::new(Room::default());
    let mut failing = false;
    for id in 0.. {
        let admitted = listener.accept().and_then(|(stream, _)| admit(id, stream, &room));
        // Descriptors or threads have probably run out. Connected clients are still
        // served; report it once, and try again when some may be free.
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

fn admit(id: ClientId, stream: TcpStream, room: &Arc<Room>) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    // Both threads share one descriptor; it is closed when both have ended.
    let stream = Arc::new(stream);
    let filled = room.enter(id)?;
    spawn("writer", {
        let (room, stream) = (Arc::clone(room), Arc::clone(&stream));
        move || {
            // An error means that the client has disconnected.
            let _ = write_messages(id, &stream, &room, &filled);
            let _ = stream.shutdown(Shutdown::Both); // Wakes the reader, if it still runs.
            room.remove(id);
        }
    })
    .inspect_err(|_| room.remove(id))?;
    spawn("reader", {
        let room = Arc::clone(room);
        move || {
            // End of file and a reset are equivalent here: nothing more to read.
            let _ = read_messages(&stream, &room);
            room.leave(id);
        }
    })
    .inspect_err(|_| room.leave(id))
}

fn read_messages(mut stream: &TcpStream, room: &Room) -> io::Result<()> {
    let mut buffer = [0; READ_BYTES_MAX];
    let mut length = 0; // of an incomplete frame at the start of the buffer
    loop {
        match stream.read(&mut buffer[length..])? {
            0 => return Ok(()),
            received => length += received,
        }
        let whole = whole_frames(&buffer[..length]);
        if whole > 0 {
            room.broadcast(&buffer[..whole]);
            thread::yield_now(); // Lets the writers run, or a flood runs far ahead of them.
        } else {
            // Acknowledge at once: Nagle's algorithm may hold the rest back until then.
            let _ = stream.set_quickack(true);
        }
        buffer.copy_within(whole..length, 0);
        length -= whole;
    }
}

fn write_messages(
    id: ClientId,
    mut stream: &TcpStream,
    room: &Room,
    filled: &Condvar,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while room.take(id, filled, &mut batch) {
        stream.write_all(&batch)?;
        batch.clear();
    }
    Ok(())
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Queue>> {
        self.0.lock().expect("nobody panics while holding it")
    }

    fn enter(&self, id: ClientId) -> io::Result<Arc<Condvar>> {
        let mut queues = self.lock();
        if queues.len() >= CLIENTS_MAX {
            return Err(io::Error::other("the client limit is reached"));
        }
        Ok(Arc::clone(&queues.entry(id).or_default().filled))
    }

    /// The sequencing point: the thread that holds the lock comes next, for all receivers.
    fn broadcast(&self, frames: &[u8]) {
        let mut to_wake = Vec::new();
        for queue in self.lock().values_mut().filter(|queue| !queue.ended) {
            let free = QUEUE_BYTES_MAX - queue.bytes.len();
            let fitting =
                if frames.len() > free { whole_frames(&frames[..free]) } else { frames.len() };
            if queue.bytes.is_empty() {
                to_wake.push(Arc::clone(&queue.filled)); // Otherwise it is awake already.
            }
            queue.bytes.extend_from_slice(&frames[..fitting]);
        }
        // The lock has been released: they would have to wait for it.
        to_wake.iter().for_each(|filled| filled.notify_one());
    }

    /// Waits until the client's queue holds something, and exchanges it for the empty
    /// `batch`. Returns false when the queue has ended and is empty.
    fn take(&self, id: ClientId, filled: &Condvar, batch: &mut Vec<u8>) -> bool {
        let nothing_to_do =
            |queues: &mut HashMap<_, Queue>| queues[&id].bytes.is_empty() && !queues[&id].ended;
        let mut queues = filled.wait_while(self.lock(), nothing_to_do).expect("as in lock");
        if let Some(queue) = queues.get_mut(&id) {
            mem::swap(&mut queue.bytes, batch);
        }
        !batch.is_empty()
    }

    /// Ends the client's queue. The writer still sends what it holds.
    fn leave(&self, id: ClientId) {
        if let Some(queue) = self.lock().get_mut(&id) {
            queue.ended = true;
            queue.filled.notify_one();
        }
    }

    fn remove(&self, id: ClientId) {
        self.lock().remove(&id);
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

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(body).map(drop)
}
