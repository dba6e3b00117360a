//! A chat server of a few lines, in the test's own process, with at most one fault.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use zillions_load::body;

/// What the server does wrong. Every "tenth" goes by the sequence of the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Every tenth message goes to nobody.
    DropTenth,
    /// Every tenth message goes out twice.
    DuplicateTenth,
    /// Every tenth message is held back until after the next one of its sender.
    SwapTenth,
    /// The last byte of every tenth message is changed.
    FlipTenth,
    /// At message 100 of the first sender, nothing happens for this long.
    FreezeOnce(Duration),
    /// At message 100 of the first sender, the last client is closed.
    CloseOne,
    /// At message 100 of the first sender, everybody is closed.
    CloseAll,
    /// It accepts and reads, and sends nothing.
    Silent,
}

/// Closes its listener and every connection when dropped.
pub(crate) struct FakeServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

struct State {
    fault: Fault,
    clients: Vec<TcpStream>,
    /// A frame held back, and its sender.
    held: Option<(u16, Vec<u8>)>,
}

impl FakeServer {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let state = Arc::new(Mutex::new(State { fault, clients: Vec::new(), held: None }));
        let acceptor = thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                client.set_nodelay(true).unwrap();
                state.lock().unwrap().clients.push(client.try_clone().unwrap());
                let state = Arc::clone(&state);
                thread::spawn(move || serve(client, &state));
            }
            for client in &state.lock().unwrap().clients {
                let _ = client.shutdown(std::net::Shutdown::Both);
            }
        });
        Self { address, stopping, acceptor: Some(acceptor) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(mut client: TcpStream, state: &Mutex<State>) {
    let mut header = [0];
    while client.read_exact(&mut header).is_ok() {
        let mut frame = vec![0; 1 + usize::from(header[0])];
        frame[0] = header[0];
        if client.read_exact(&mut frame[1..]).is_err() {
            return;
        }
        state.lock().unwrap().pass_on(frame);
    }
}

impl State {
    fn pass_on(&mut self, mut frame: Vec<u8>) {
        if frame.len() <= body::BODY_BYTES_MIN {
            return self.write(&frame);
        }
        let sequence = u32::from_le_bytes(*frame[9..].first_chunk().unwrap());
        let sender = u16::from_le_bytes(*frame[13..].first_chunk().unwrap());
        let is_probe = sender == body::PROBE_SENDER;
        let is_tenth = sequence % 10 == 3 && !is_probe;
        let is_moment = sequence == 100 && sender == 0;
        match self.fault {
            Fault::Silent => return,
            Fault::DropTenth if is_tenth => return,
            Fault::DuplicateTenth if is_tenth => self.write(&frame),
            Fault::FlipTenth if is_tenth => *frame.last_mut().unwrap() ^= 0x20,
            Fault::FreezeOnce(time) if is_moment => thread::sleep(time),
            Fault::SwapTenth if is_tenth && self.held.is_none() => {
                self.held = Some((sender, frame));
                return;
            }
            Fault::CloseOne if is_moment => close(self.clients.last().unwrap()),
            Fault::CloseAll if is_moment => self.clients.iter().for_each(close),
            _ => {}
        }
        self.write(&frame);
        if let Some((_, held)) = self.held.take_if(|(from, _)| *from == sender) {
            self.write(&held);
        }
    }

    fn write(&self, frame: &[u8]) {
        for mut client in &self.clients {
            // A client that has closed must not affect the others.
            let _ = client.write_all(frame);
        }
    }
}

fn close(client: &TcpStream) {
    let _ = client.shutdown(std::net::Shutdown::Both);
}
