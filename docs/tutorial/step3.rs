//! Step 3: whole frames. A frame is read to its end before anybody gets it.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, thread};

/// How long what was sent is gathered for the other clients.
const TICK: Duration = Duration::from_millis(10);

/// The socket of each client, by its number.
type Clients = Arc<Mutex<HashMap<u64, TcpStream>>>;
/// The number of a client, and a frame that it sent.
type Sent = (u64, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("expected one argument, HOST:PORT")?;
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    let clients = Clients::default();
    let everybody = Arc::clone(&clients);
    let (inbox, sent) = mpsc::channel();
    thread::spawn(move || deliver(&sent, &everybody));
    let mut id = 0;
    loop {
        let (stream, _) = listener.accept()?;
        id += 1;
        clients.lock().unwrap().insert(id, stream.try_clone()?);
        let inbox = inbox.clone();
        thread::spawn(move || serve(id, &stream, &inbox));
    }
}

fn serve(id: u64, mut stream: &TcpStream, inbox: &Sender<Sent>) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut buffer = [0; 1 + 255];
    loop {
        // Fails at the end of the stream, and then discards a frame that is not whole.
        input.read_exact(&mut buffer[..1])?;
        let end = 1 + usize::from(buffer[0]);
        input.read_exact(&mut buffer[1..end])?;
        let frame = &buffer[..end];
        stream.write_all(frame)?;
        let _ = inbox.send((id, frame.to_vec()));
    }
}

fn deliver(sent: &Receiver<Sent>, clients: &Clients) {
    loop {
        thread::sleep(TICK);
        for (id, frame) in sent.try_iter() {
            for (&other, socket) in clients.lock().unwrap().iter_mut() {
                if other != id {
                    let _ = socket.write_all(&frame); // This client may be gone.
                }
            }
        }
    }
}
