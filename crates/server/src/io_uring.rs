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
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::io::Errno;
use tracing::warn;

use crate::engine::{Accepted, Engine, Outgoing, Ready, Wake};
use crate::epoll::Epoll;
use crate::keys::ListenerId;
use crate::listen::Listeners;
use crate::socket_engine::SocketEngine;

/// How many sends go to the kernel at once, at most.
const ENTRIES: u32 = 64;

/// How often one batch is submitted again after a failure that may pass.
const FAILURES_MAX: usize = 1000;

/// One shard's engine.
pub struct Uring {
    epoll: Epoll,
    /// `None` once it has failed.
    ring: Option<IoUring>,
}

impl SocketEngine for Uring {
    const NAME: &str = "io-uring";
    const SUMMARY: &str = "Epoll, and many sends with one system call";

    fn probe() -> io::Result<()> {
        let mut ring = ring()?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let supported =
            probe.is_supported(opcode::Send::CODE) && probe.is_supported(opcode::SendMsg::CODE);
        if !supported {
            return Err(ErrorKind::Unsupported.into());
        }
        // A ring that can be made may still not be used: each call can be forbidden by itself.
        let (one, _other) = UnixStream::pair()?;
        let stream = OwnedFd::from(one);
        let parts = [(&b""[..], &b"alone"[..]), (b"in ", b"parts")];
        let mut batch = parts.map(|(partial_out, bytes)| Outgoing {
            stream: &stream,
            partial_out,
            bytes,
            sent: Ok(0),
        });
        send_together(&mut ring, &mut batch)?;
        for outgoing in batch {
            let length = outgoing.length();
            if outgoing.sent? != length {
                return Err(io::Error::other("a send was cut for no reason"));
            }
        }
        Ok(())
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
        Ok((Self { epoll, ring: Some(ring()?) }, wake))
    }
}

impl Uring {
    /// Sends up to `ENTRIES` together, or one by one once the ring has failed.
    fn send_batch(&mut self, batch: &mut [Outgoing<'_, OwnedFd>]) {
        let Some(ring) = &mut self.ring else { return self.epoll.send(batch) };
        if let Err(error) = send_together(ring, batch) {
            warn!(%error, "io_uring has stopped working; this shard goes on with epoll");
            self.ring = None;
        }
        for outgoing in batch {
            if outgoing.sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
                // Interrupted by a signal, or not submitted: no event would follow, so it is
                // retried.
                self.epoll.send(std::slice::from_mut(outgoing));
            }
        }
    }
}

/// Submits up to `ENTRIES` sends at once to a ring that is empty; `sent` of each is `Ok(0)` before.
/// Those that a signal interrupted have `Interrupted` as result, and, if the ring failed, those
/// that were not submitted.
fn send_together(ring: &mut IoUring, batch: &mut [Outgoing<'_, OwnedFd>]) -> io::Result<()> {
    // The kernel reads these while it works.
    let parts: Vec<[IoSlice<'_>; 2]> = batch
        .iter()
        .map(|outgoing| [IoSlice::new(outgoing.partial_out), IoSlice::new(outgoing.bytes)])
        .collect();
    let headers: Vec<libc::msghdr> = parts.iter().map(header).collect();
    for (number, (outgoing, header)) in batch.iter().zip(&headers).enumerate() {
        let entry = entry(outgoing, header).user_data(number as u64);
        // SAFETY: the entry points to `headers`, `parts`, the bytes and the descriptor, which
        // all live longer than this function runs; and it returns only when every entry that was
        // submitted has been completed (below), after which the kernel uses none of them. The
        // kernel sees others only by another call, which no failed ring gets.
        let pushed = unsafe { ring.submission().push(&entry) };
        pushed.expect("the queue is empty when this begins, and as long as a batch");
    }
    let (mut submitted, mut completed, mut failures) = (0, 0, 0);
    while completed < batch.len() {
        let result = ring.submit_and_wait(batch.len() - completed);
        submitted += *result.as_ref().unwrap_or(&0);
        for completion in ring.completion() {
            let number = completion.user_data() as usize;
            batch[number].sent = sent(&completion);
            completed += 1;
        }
        // It fails if a signal arrives or the kernel is short of memory for a moment. Then it is
        // retried, and also while the kernel has something: to return would leave it with
        // dangling pointers.
        if let Err(error) = result {
            failures += 1;
            let is_lasting = !is_passing(&error) || failures >= FAILURES_MAX;
            if is_lasting && completed == submitted {
                // No send of something transfers nothing: these have no result yet.
                let unsubmitted = batch.iter_mut().filter(|it| matches!(it.sent, Ok(0)));
                unsubmitted.for_each(|it| it.sent = Err(ErrorKind::Interrupted.into()));
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Whether the same call may succeed the next time.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::INTR, Errno::AGAIN, Errno::BUSY, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
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

    fn accept(&mut self, listener: ListenerId) -> io::Result<Option<Accepted<OwnedFd>>> {
        self.epoll.accept(listener)
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
                self.send_batch(batch);
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::listen::SocketOptions;

    /// A batch of two sends, and what arrived of it.
    fn send_two(engine: &mut Uring) -> Vec<u8> {
        let (one, mut other) = UnixStream::pair().expect("a pair of sockets");
        let stream = OwnedFd::from(one);
        let send = |bytes| Outgoing { stream: &stream, partial_out: b"<", bytes, sent: Ok(0) };
        let mut batch = [send(b"first>"), send(b"second>")];
        engine.send(&mut batch);
        let sent = batch.map(|outgoing| outgoing.sent.expect("it is sent"));
        assert_eq!(sent, [7, 8]);
        drop(stream);
        let mut received = Vec::new();
        other.read_to_end(&mut received).expect("to the end");
        received
    }

    #[test]
    fn a_ring_that_fails_later_is_given_up_and_nothing_is_lost_or_sent_twice() {
        if Uring::probe().is_err() {
            return;
        }
        let options = SocketOptions {
            send_buffer_bytes: 1 << 16,
            unsent_bytes_max: 1 << 15,
            keepalive: None,
            user_timeout: None,
        };
        let listeners =
            Listeners::bind(&[], &options, &mut crate::passed::Passed::default()).expect("none");
        let (mut engine, _wake) = Uring::new(Arc::new(listeners)).expect("an engine");
        assert_eq!(send_two(&mut engine), b"<first><second>");
        assert!(engine.ring.is_some());
        // The ring's descriptor becomes something else's: every call on it fails from now on.
        let ring = engine.ring.as_ref().expect("it works").as_raw_fd();
        let null = std::fs::File::open("/dev/null").expect("it is there");
        // SAFETY: both descriptors are open, and the ring's is only ever closed afterwards.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), ring) }, ring);
        assert_eq!(send_two(&mut engine), b"<first><second>");
        assert!(engine.ring.is_none(), "it is not tried again");
        assert_eq!(send_two(&mut engine), b"<first><second>");
    }
}
