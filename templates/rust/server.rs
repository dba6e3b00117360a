//! __NAME__: two threads per client and one lock.
//!
//! How a message flows. The client's `read_messages` thread reads a frame from the
//! byte stream, locks the room, and puts the frame into every client's queue,
//! including the sender's. Only one thread holds the lock at a time: this is the
//! sequencing point. Each client's `write_messages` thread writes its queue to the
//! socket. A queue is bounded; a client whose queue is full misses the message. No
//! thread waits for a client while holding the lock.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::TcpStreamExt;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{env, thread};

/// Messages queued for one client. The next one is dropped for that client.
const QUEUE_LIMIT: usize = 64;
/// Connections queued in the kernel.
const LISTEN_BACKLOG: i32 = 1024;
/// How long to pause accepting when descriptors or threads have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

unsafe extern "C" {
    /// The C library's. The standard library fixes the backlog at 128, too small for a burst.
    safe fn listen(socket: RawFd, backlog: i32) -> i32;
}

/// Header byte and body; all queues share one copy.
type Frame = Arc<[u8]>;
/// The queue of every client, by a number that is never reused.
type Queues = HashMap<u64, SyncSender<Frame>>;

#[derive(Clone, Default)]
struct Room(Arc<Mutex<Queues>>);

impl Room {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().expect("nobody panics while holding it")
    }
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
    if listen(listener.as_raw_fd(), LISTEN_BACKLOG) != 0 {
        return Err(cannot_listen(io::Error::last_os_error()));
    }
    let address = listener.local_addr().map_err(cannot_listen)?;
    writeln!(io::stdout(), "listening on {address}")
        .and_then(|()| io::stdout().flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))?;

    let room = Room::default();
    let mut ids = 0..;
    loop {
        let accepted = listener
            .accept()
            .and_then(|(stream, _)| admit(ids.next().expect("2^64 clients"), stream, &room));
        // Descriptors or threads have probably run out: some will be freed.
        if let Err(error) = accepted {
            let _ = writeln!(io::stderr(), "server: cannot accept a client: {error}");
            thread::sleep(ACCEPT_PAUSE);
        }
    }
}

fn admit(id: u64, stream: TcpStream, room: &Room) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(stream);
    let (sender, queue) = sync_channel(QUEUE_LIMIT);
    spawn({
        let stream = Arc::clone(&stream);
        move || {
            let _ = write_messages(&stream, &queue);
            let _ = stream.shutdown(Shutdown::Both);
        }
    })?;
    room.queues().insert(id, sender);
    let reader = spawn({
        let room = room.clone();
        move || {
            let _ = read_messages(&stream, &room);
            room.queues().remove(&id); // Ends the queue, once it is empty.
        }
    });
    reader.inspect_err(|_| drop(room.queues().remove(&id)))
}

fn read_messages(stream: &TcpStream, room: &Room) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut frame = [0; 1 + 255];
    loop {
        input.read_exact(&mut frame[..1])?;
        let end = 1 + usize::from(frame[0]);
        if input.buffer().len() < end - 1 {
            // Its sender may wait for an acknowledgement before it sends the rest. The kernel
            // delays that by 40 ms unless told otherwise each time.
            let _ = stream.set_quickack(true);
        }
        input.read_exact(&mut frame[1..end])?;
        let frame = Frame::from(&frame[..end]);
        for queue in room.queues().values() {
            // Fails if the queue is full, or its client is disconnecting.
            let _ = queue.try_send(Arc::clone(&frame));
        }
        thread::yield_now(); // Lets the writers run, or a flood runs far ahead of them.
    }
}

fn write_messages(stream: &TcpStream, queue: &Receiver<Frame>) -> io::Result<()> {
    let mut output = BufWriter::new(stream);
    while let Ok(frame) = queue.recv() {
        output.write_all(&frame)?;
        queue.try_iter().try_for_each(|frame| output.write_all(&frame))?;
        output.flush()?;
    }
    Ok(())
}

fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(64 * 1024).spawn(body).map(drop)
}
