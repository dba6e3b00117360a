//! A small chat server of WebSocket clients only, on what `zillions-websocket` makes of them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use zillions_websocket::{CloseCode, Connection, Flow, Origins, Policy, message_header};

/// It ends with the test's process; its clients end when it is dropped.
pub(crate) struct Hub {
    address: SocketAddr,
    clients: Clients,
}

type Clients = Arc<Mutex<Vec<TcpStream>>>;

impl Hub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let clients = Clients::default();
        let all = Arc::clone(&clients);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let all = Arc::clone(&all);
                thread::spawn(move || serve(stream, &all));
            }
        });
        Self { address, clients }
    }

    /// The address of the page.
    pub(crate) fn address(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Sends all clients these bodies in one message.
    pub(crate) fn say(&self, bodies: &[&[u8]]) {
        let frames = bodies.iter().flat_map(|body| {
            let length = u8::try_from(body.len()).expect("a body that fits");
            std::iter::once(length).chain(body.iter().copied())
        });
        broadcast(&self.clients, &frames.collect::<Vec<u8>>());
    }

    /// Ends all connections without a word.
    pub(crate) fn close_all(&self) {
        for client in lock(&self.clients).drain(..) {
            // One that has ended is what is wanted.
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.close_all();
    }
}

fn lock(clients: &Clients) -> MutexGuard<'_, Vec<TcpStream>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broadcast(clients: &Clients, frames: &[u8]) {
    let message = [message_header(frames.len()).as_bytes(), frames].concat();
    lock(clients).retain_mut(|client| client.write_all(&message).is_ok());
}

fn serve(mut stream: TcpStream, clients: &Clients) {
    let policy =
        Policy { origins: Origins::Own, token: None, page: true, message_bytes_max: 64 * 1024 };
    let mut connection = Connection::new(Arc::new(policy));
    let (mut buffer, mut is_member) = ([0; 4096], false);
    loop {
        let Ok(received @ 1..) = stream.read(&mut buffer) else { return };
        let (mut frames, mut output) = (Vec::new(), Vec::new());
        let (flow, _) = connection.receive(&mut buffer[..received], &mut frames);
        if flow == Flow::Ended {
            connection.finish(CloseCode::Normal);
        }
        connection.take_output(&mut output);
        // Together with others' messages only under the lock, so that none is cut in two.
        let mut members = lock(clients);
        if stream.write_all(&output).is_err() {
            return;
        }
        if flow == Flow::Open && !std::mem::replace(&mut is_member, true) {
            members.push(stream.try_clone().expect("a descriptor"));
        }
        drop(members);
        if !frames.is_empty() {
            broadcast(clients, &frames);
        }
        if flow == Flow::Ended {
            let _ = stream.shutdown(Shutdown::Write);
            return;
        }
    }
}
