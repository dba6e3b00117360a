//! The io_uring engine: many sends with one system call.
//!
//! Sends are most of a fan-out server's system calls: one for each client and
//! pass. Here up to a whole batch of them goes to the kernel at once. They are
//! plain sends that do not block, so all are done when the call returns, and the
//! kernel never uses the log's bytes later: no zero-copy sending, which would
//! hold on to memory that the log must overwrite. Readiness and receiving are
//! epoll's: they have little to gain from batches.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::engine::{Accepted, Engine, Outgoing, Ready, Wake};
use crate::epoll::Epoll;
use crate::listen::Listeners;
use crate::socket_engine::SocketEngine;

/// How many sends go to the kernel at once, at most.
const ENTRIES: u32 = 64;

/// One shard's engine.
pub struct Uring {
    epoll: Epoll,
    ring: IoUring,
}

impl SocketEngine for Uring {
    const NAME: &str = "io-uring";
    const SUMMARY: &str = "Epoll, and many sends with one system call";

    fn probe(engines: usize) -> io::Result<()> {
        let rings = (0..engines).map(|_| ring()).collect::<io::Result<Vec<_>>>()?;
        let Some(ring) = rings.first() else { return Ok(()) };
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let supported =
            probe.is_supported(opcode::Send::CODE) && probe.is_supported(opcode::SendMsg::CODE);
        if supported { Ok(()) } else { Err(ErrorKind::Unsupported.into()) }
    }

    fn advice(error: &io::Error) -> &'static str {
        match error.kind() {
            ErrorKind::PermissionDenied => {
                " (io_uring is disabled by kernel.io_uring_disabled or a container's seccomp \
                 profile)"
            }
            ErrorKind::OutOfMemory => " (the limit of locked memory, ulimit -l, may be too low)",
            ErrorKind::Unsupported => " (the kernel is older than io_uring)",
            _ => "",
        }
    }

    fn new(listeners: Arc<Listeners>) -> io::Result<(Self, Wake)> {
        let (epoll, wake) = Epoll::new(listeners)?;
        Ok((Self { epoll, ring: ring()? }, wake))
    }
}

impl Uring {
    /// Submits up to `ENTRIES` sends at once.
    fn send_together(&mut self, batch: &mut [Outgoing<'_, OwnedFd>]) {
        // The kernel reads these while it works.
        let parts: Vec<[IoSlice<'_>; 2]> = batch
            .iter()
            .map(|outgoing| [IoSlice::new(outgoing.partial_out), IoSlice::new(outgoing.bytes)])
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
            // Fails if a signal arrives or the kernel is short of memory for a moment. Then it is
            // retried: to return would leave the kernel with dangling pointers.
            let _ = self.ring.submit_and_wait(missing);
            for completion in self.ring.completion() {
                let number = completion.user_data() as usize;
                batch[number].sent = sent(&completion);
                missing -= 1;
            }
        }
        for outgoing in batch {
            if outgoing.sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                // Interrupted by a signal: no event would follow, so it is retried.
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
    // An `IoSlice` has the layout of an iovec, by its documentation. sendmsg does not write to it.
    header.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_iovlen = parts.len();
    header
}

fn entry(outgoing: &Outgoing<'_, OwnedFd>, header: &libc::msghdr) -> squeue::Entry {
    let descriptor = types::Fd(outgoing.stream.as_raw_fd());
    // A send that does not block leaves the kernel nothing to hold on to.
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    if outgoing.partial_out.is_empty() {
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

impl Engine for Uring {
    type Stream = OwnedFd;

    fn now(&self) -> Duration {
        self.epoll.now()
    }

    fn wait(&mut self, time_max: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.epoll.wait(time_max, ready)
    }

    fn pause(&mut self, time: Duration) {
        self.epoll.pause(time);
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

    fn acknowledge(&mut self, stream: &OwnedFd) {
        self.epoll.acknowledge(stream);
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
