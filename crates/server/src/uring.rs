//! The io_uring engine: many sends with one system call.
//!
//! Sends are most of a fan-out server's system calls: one for each client and
//! pass. Here up to a whole batch of them goes to the kernel at once. They are
//! plain sends that do not wait, so all are done when the call returns, and the
//! log's bytes are never used by the kernel later: no zero-copy sending, which
//! would hold on to memory that the log wants to overwrite. Readiness and
//! receiving are epoll's, which has little to gain from batches.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::epoll::Epoll;
use crate::house::Wake;
use crate::io::{Accepted, Io, Outgoing, Ready};
use crate::listen::Listeners;

/// How many sends go to the kernel at once, at most.
const ENTRIES: u32 = 64;

/// One shard's engine.
pub struct Uring {
    epoll: Epoll,
    ring: IoUring,
}

impl Uring {
    /// Whether io_uring works here: so many rings can be made, and they know how to send.
    ///
    /// # Errors
    /// Why it does not.
    pub fn probe(rings: usize) -> io::Result<()> {
        let rings = (0..rings).map(|_| ring()).collect::<io::Result<Vec<_>>>()?;
        let Some(ring) = rings.first() else { return Ok(()) };
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let knows =
            probe.is_supported(opcode::Send::CODE) && probe.is_supported(opcode::SendMsg::CODE);
        if knows { Ok(()) } else { Err(ErrorKind::Unsupported.into()) }
    }

    /// An engine, and the way to wake the shard it will belong to.
    ///
    /// # Errors
    /// When the system gives no descriptor or no ring.
    pub fn new(listeners: Arc<Listeners>) -> io::Result<(Self, Wake)> {
        let (epoll, wake) = Epoll::new(listeners)?;
        Ok((Self { epoll, ring: ring()? }, wake))
    }

    /// Sends up to `ENTRIES` at once.
    fn send_together(&mut self, batch: &mut [Outgoing<'_, OwnedFd>]) {
        // The kernel reads these while it works.
        let parts: Vec<[IoSlice<'_>; 2]> = batch
            .iter()
            .map(|outgoing| [IoSlice::new(outgoing.stash), IoSlice::new(outgoing.bytes)])
            .collect();
        let headers: Vec<libc::msghdr> = parts.iter().map(header).collect();
        for (number, (outgoing, header)) in batch.iter().zip(&headers).enumerate() {
            let entry = entry(outgoing, header).user_data(number as u64);
            // SAFETY: the entry points to `headers`, `parts`, the bytes and the descriptor, which
            // all live longer than this function runs; and it returns only when every entry has
            // been completed (below), after which the kernel uses none of them.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.expect("the queue is empty when this begins, and as long as a batch");
        }
        let mut missing = batch.len();
        while missing > 0 {
            // Fails when a signal comes or the kernel is short of memory for a moment. Then it is
            // tried again: to return would leave the kernel with pointers to what is gone.
            let _ = self.ring.submit_and_wait(missing);
            for completion in self.ring.completion() {
                let number = completion.user_data() as usize;
                batch[number].sent = sent(&completion);
                missing -= 1;
            }
        }
        for outgoing in batch {
            if outgoing.sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                // A signal came first. No event would follow, so it is tried again.
                self.epoll.send(std::slice::from_mut(outgoing));
            }
        }
    }
}

fn ring() -> io::Result<IoUring> {
    IoUring::builder().build(ENTRIES)
}

/// Bytes in two parts, as sendmsg(2) takes them.
fn header(parts: &[IoSlice<'_>; 2]) -> libc::msghdr {
    // SAFETY: a structure of numbers and pointers, all of which may be zero: no name, no control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    // An `IoSlice` is laid out as an iovec, by its documentation. sendmsg does not write to it.
    header.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = parts.len();
    header
}

fn entry(outgoing: &Outgoing<'_, OwnedFd>, header: &libc::msghdr) -> squeue::Entry {
    let descriptor = types::Fd(outgoing.stream.as_raw_fd());
    // Not to wait is what keeps the kernel from holding on to the bytes.
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if outgoing.stash.is_empty() {
        let length = u32::try_from(outgoing.bytes.len()).unwrap_or(u32::MAX);
        opcode::Send::new(descriptor, outgoing.bytes.as_ptr(), length).flags(flags).build()
    } else {
        opcode::SendMsg::new(descriptor, header).flags(flags as u32).build()
    }
}

fn sent(completion: &cqueue::Entry) -> io::Result<usize> {
    let result = completion.result();
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

impl Io for Uring {
    type Stream = OwnedFd;

    fn now(&self) -> Duration {
        self.epoll.now()
    }

    fn wait(&mut self, time_max: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.epoll.wait(time_max, ready)
    }

    fn rest(&mut self, time: Duration) {
        self.epoll.rest(time);
    }

    fn accept(&mut self) -> io::Result<Option<Accepted<OwnedFd>>> {
        self.epoll.accept()
    }

    fn register(&mut self, key: u64, stream: &OwnedFd) -> io::Result<()> {
        self.epoll.register(key, stream)
    }

    fn receive(&mut self, stream: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        self.epoll.receive(stream, buffer)
    }

    fn send(&mut self, batch: &mut [Outgoing<'_, OwnedFd>]) {
        for batch in batch.chunks_mut(ENTRIES as usize) {
            if batch.len() == 1 {
                // One send is cheaper without a queue.
                self.epoll.send(batch);
            } else {
                self.send_together(batch);
            }
        }
    }

    fn finish(&mut self, stream: &OwnedFd) {
        self.epoll.finish(stream);
    }

    fn in_flight_bytes(&self, stream: &OwnedFd) -> usize {
        self.epoll.in_flight_bytes(stream)
    }
}
