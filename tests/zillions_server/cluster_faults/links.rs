//! The way of each node to NATS, over a relay of its own which a test may stop, cut and repair.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::nats::Nats;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections are taken and stay; nothing that is sent arrives, until it is whole again.
    Stopped,
    /// What is under way is lost, and so are the connections; new ones are closed at once.
    Cut,
}

/// The way of one node to all NATS servers.
pub(crate) struct Link {
    addresses: Vec<SocketAddr>,
    relay: Arc<Relay>,
}

struct Relay {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    state: State,
    /// Both ends of each connection, those that have ended included.
    sockets: Vec<TcpStream>,
}

impl Link {
    /// A way that is whole.
    pub(crate) fn new(nats: &Nats, members: usize) -> Self {
        let inner = Inner { state: State::Whole, sockets: Vec::new() };
        let relay = Arc::new(Relay { inner: Mutex::new(inner), changed: Condvar::new() });
        let listen = |member| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let (relay, target) = (Arc::clone(&relay), nats.address(member));
            thread::spawn(move || {
                listener.incoming().map_while(Result::ok).for_each(|it| relay.carry(it, target));
            });
            address
        };
        Self { addresses: (0..members).map(listen).collect(), relay }
    }

    /// The addresses, as `--cluster` wants them.
    pub(crate) fn urls(&self) -> String {
        let urls = self.addresses.iter().map(|address| format!("nats://{address}"));
        urls.collect::<Vec<_>>().join(",")
    }

    pub(crate) fn stop(&self) {
        self.relay.set(State::Stopped);
    }

    pub(crate) fn cut(&self) {
        self.relay.set(State::Cut);
    }

    /// What was stopped arrives now, if it was not cut since.
    pub(crate) fn repair(&self) {
        self.relay.set(State::Whole);
    }
}

impl Relay {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody has panicked")
    }

    fn set(&self, state: State) {
        let mut inner = self.inner();
        inner.state = state;
        if state == State::Cut {
            for socket in inner.sockets.drain(..) {
                // It may have ended already.
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    fn carry(self: &Arc<Self>, client: TcpStream, target: SocketAddr) {
        // A NATS server that has been killed refuses; then the client's connection ends, too.
        let Ok(server) = TcpStream::connect(target) else { return };
        let handle = |stream: &TcpStream| stream.try_clone().expect("a handle");
        {
            let mut inner = self.inner();
            if inner.state == State::Cut {
                return;
            }
            inner.sockets.extend([handle(&client), handle(&server)]);
        }
        for (from, to) in [(handle(&client), handle(&server)), (server, client)] {
            let relay = Arc::clone(self);
            thread::spawn(move || relay.pass_on(from, to));
        }
    }

    /// Whatever comes, until one side ends.
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let inner = self.inner();
            let is_stopped = |inner: &mut Inner| inner.state == State::Stopped;
            drop(self.changed.wait_while(inner, is_stopped).expect("nobody has panicked"));
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
