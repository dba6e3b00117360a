//! The epoll engine: one system call per receive and per send, edge-triggered readiness.
//!
//! Every connection is registered once, for everything, and never again: the
//! kernel reports that a socket has become writable only after a send found it
//! full, so a client that keeps up costs no event.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_quickack;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown,
};

use crate::engine::{Accepted, Engine, Outgoing, Ready, Wake};
use crate::keys::ListenerId;
use crate::listen::{LISTENERS, Listeners};
use crate::socket_engine::SocketEngine;

/// How many events are taken with one system call.
const EVENTS_MAX: usize = 1024;

/// Not the key of any client, whose higher half is odd, nor of a listening socket.
const WAKER: u64 = 0xffff_fffc << 32;

/// One shard's engine.
pub struct Epoll {
    epoll: Arc<OwnedFd>,
    events: Vec<epoll::Event>,
    listeners: Arc<Listeners>,
    started: Instant,
}

// SAFETY: the only field that the compiler considers tied to a thread is the data of events,
// which could be pointers. Here they are plain numbers, always made by `new_u64`.
unsafe impl Send for Epoll {}

impl SocketEngine for Epoll {
    const NAME: &str = "epoll";
    const SUMMARY: &str = "Readiness events and one system call per send; works everywhere";

    fn probe() -> io::Result<()> {
        Ok(())
    }

    fn new(listeners: Arc<Listeners>) -> io::Result<(Self, Wake)> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        listeners.watch(&epoll)?;
        let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        epoll::add(&epoll, &*waker, EventData::new_u64(WAKER), EventFlags::IN | EventFlags::ET)?;
        let wake = Box::new(move || {
            // Edge-triggered: every write is an event, so the counter is never read. Its 64 bits
            // do not overflow in practice.
            let _ = rustix::io::write(&*waker, &1_u64.to_ne_bytes());
        });
        let events = Vec::with_capacity(EVENTS_MAX);
        Ok((Self { epoll, events, listeners, started: Instant::now() }, wake))
    }
}

impl Engine for Epoll {
    type Stream = OwnedFd;

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn wait(&mut self, time_max: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let time_max = time_max.map(|time| Timespec {
            tv_sec: time.as_secs().min(1 << 30) as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, time_max.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().filter_map(|event| {
            // Copied: the kernel's structure is packed.
            let (data, flags) = (event.data, event.flags);
            match data.u64() {
                WAKER => None,
                id if id >> 32 == LISTENERS >> 32 => Some(Ready::Listener(id as ListenerId)),
                key => Some(Ready::Client {
                    key,
                    readable: flags.intersects(READABLE),
                    writable: flags.intersects(EventFlags::OUT),
                    ended: flags.intersects(ENDED),
                }),
            }
        }));
        Ok(())
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn accept(&mut self, listener: ListenerId) -> io::Result<Option<Accepted<OwnedFd>>> {
        self.listeners.accept(listener)
    }

    fn register(&mut self, key: u64, stream: &OwnedFd) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(key), flags)?)
    }

    fn receive(&mut self, stream: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        let (received, _) = recv(stream, buffer, RecvFlags::DONTWAIT)?;
        Ok(received)
    }

    fn acknowledge(&mut self, stream: &OwnedFd) {
        // An error means that the connection is gone, which the next call on it shows.
        let _ = set_tcp_quickack(stream, true);
    }

    fn send(&mut self, batch: &mut [Outgoing<'_, OwnedFd>]) {
        for outgoing in batch {
            outgoing.sent = send_once(outgoing).map_err(io::Error::from);
        }
    }

    fn finish(&mut self, stream: &OwnedFd) {
        // An error means that the connection is gone, which the next call on it shows.
        let _ = shutdown(stream, Shutdown::Write);
    }

    fn in_flight_bytes(&self, stream: &OwnedFd) -> usize {
        crate::listen::in_flight_bytes(stream)
    }
}

const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
const READABLE: EventFlags = ENDED.union(EventFlags::IN);

fn send_once(outgoing: &Outgoing<'_, OwnedFd>) -> rustix::io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let stream = outgoing.stream.as_fd();
    let result = if outgoing.partial_out.is_empty() {
        send(stream, outgoing.bytes, flags)
    } else {
        let parts = [IoSlice::new(outgoing.partial_out), IoSlice::new(outgoing.bytes)];
        sendmsg(stream, &parts, &mut SendAncillaryBuffer::default(), flags)
    };
    // Interrupted by a signal: no event would follow, so it is retried.
    if result == Err(Errno::INTR) { send_once(outgoing) } else { result }
}
