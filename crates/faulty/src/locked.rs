//! A correct server of another style: a thread for each client, and one lock around all of them
//! that is held while a message is written to everybody. A client that does not read delays the
//! others, but never for long: it is waited for once, and then misses messages until it reads.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use crate::client::{ClientId, Message};
use crate::deviation::correct;
use crate::error::Error;
use crate::knobs::Knobs;
use crate::server_state::{Context, PAUSE_AFTER_EXHAUSTION};

/// How long a client whose socket is full is waited for, with all others, before a message is
/// dropped for it.
const FULL_MAX: Duration = Duration::from_millis(20);
/// The same within a frame: then it is disconnected, as a frame cannot be dropped in part.
const CUT_FRAME_MAX: Duration = Duration::from_millis(200);
/// Bytes that one read takes at most.
const READ_BYTES: usize = 4096;
/// Stack of a client's thread, in bytes: there may be thousands.
const STACK_BYTES: usize = 128 * 1024;

/// A client that receives.
struct Member {
    stream: Arc<TcpStream>,
    /// Its socket was full at the last message, which was dropped: it is not waited for.
    is_behind: bool,
}

/// What the one lock guards.
struct Room {
    members: BTreeMap<ClientId, Member>,
    sequenced: u64,
    knobs: Knobs,
}

/// The lock behind a turnstile: the thread in the turnstile is next, so that a client that never
/// stops sending cannot take the lock again before others.
struct Lock {
    turnstile: Mutex<()>,
    room: Mutex<Room>,
}

impl Lock {
    fn enter(&self) -> MutexGuard<'_, Room> {
        let _next = self.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until a signal stops it; the threads end with the process.
pub(crate) fn serve(listener: &TcpListener, context: &Context) -> Result<(), Error> {
    let room = Room { members: BTreeMap::new(), sequenced: 0, knobs: context.knobs.clone() };
    let lock = Arc::new(Lock { turnstile: Mutex::new(()), room: Mutex::new(room) });
    let mut next: ClientId = 0;
    while !context.stop_requested() {
        match listener.accept() {
            Ok((stream, _)) => {
                if admit(next, stream, &lock).is_err() {
                    // No thread for it, or it has gone already; its socket is closed.
                    lock.enter().members.remove(&next);
                }
                next += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                context.wait_for_connection(listener);
            }
            // No descriptor is left, or the connection was reset before it was accepted.
            Err(_) => context.pause(PAUSE_AFTER_EXHAUSTION),
        }
    }
    Ok(())
}

fn admit(id: ClientId, stream: TcpStream, lock: &Arc<Lock>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    let stream = Arc::new(stream);
    // It receives from now on, even if its thread begins later.
    let member = Member { stream: Arc::clone(&stream), is_behind: false };
    lock.enter().members.insert(id, member);
    let lock = Arc::clone(lock);
    thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        listen_to(id, &stream, &lock);
        lock.enter().members.remove(&id);
    })?;
    Ok(())
}

/// Passes on what a client sends, until its stream ends. Its echoes have been written by then.
fn listen_to(id: ClientId, mut stream: &TcpStream, lock: &Lock) {
    let mut buffer = [0; READ_BYTES];
    let mut inbound = Vec::new();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => inbound.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        for body in correct::decode(&mut inbound) {
            lock.enter().broadcast(id, &body);
        }
        if !inbound.is_empty() {
            // Its sender may wait for this before it sends the rest: FRAME-8.
            let _ = SockRef::from(stream).set_tcp_quickack(true);
        }
    }
}

impl Room {
    fn broadcast(&mut self, sender: ClientId, body: &[u8]) {
        let message = Message::new(sender, self.sequenced, body);
        self.sequenced += 1;
        if self.knobs.log {
            // With standard error closed nobody can read it.
            let _ = writeln!(io::stderr(), "message {} of client {sender}", message.sequence);
        }
        thread::sleep(Duration::from_micros(self.knobs.message_microseconds));
        let per_delivery = Duration::from_micros(self.knobs.slow_microseconds);
        for (id, member) in &mut self.members {
            if member.deliver(&message.frame).is_err() {
                // Its thread sees that the stream has ended, and removes it.
                let _ = member.stream.shutdown(Shutdown::Both);
            }
            if self.knobs.log_deliveries {
                let _ = writeln!(io::stderr(), "delivered to client {id}");
            }
            thread::sleep(per_delivery);
        }
    }
}

impl Member {
    /// Writes a whole frame, or nothing of it.
    fn deliver(&mut self, frame: &[u8]) -> io::Result<()> {
        let patience = if self.is_behind { Duration::ZERO } else { FULL_MAX };
        let written = self.write_within(frame, patience)?;
        self.is_behind = written == 0;
        if written == 0 || written == frame.len() {
            return Ok(());
        }
        let rest = &frame[written..];
        if self.write_within(rest, CUT_FRAME_MAX)? == rest.len() {
            return Ok(());
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Writes what the socket takes until it has been full for `patience`; how much that was.
    fn write_within(&self, bytes: &[u8], patience: Duration) -> io::Result<usize> {
        let mut written = 0;
        let until = Instant::now() + patience;
        while written < bytes.len() {
            match rustix::net::send(&self.stream, &bytes[written..], flags()) {
                Ok(count) => written += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let mut full = [PollFd::new(&self.stream, PollFlags::OUT)];
                    // An interruption needs no handling: it is tried again.
                    let _ = poll(&mut full, Timespec::try_from(left).ok().as_ref());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }
}

/// Never waiting by itself, and no signal where the client has gone.
fn flags() -> rustix::net::SendFlags {
    rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL
}
