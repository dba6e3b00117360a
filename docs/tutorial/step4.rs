//! Step 4: one order. A frame is written to all clients, its sender included, under one lock.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::{env, thread};

/// The socket of each client, by its number.
type Clients = Arc<Mutex<HashMap<u64, TcpStream>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("expected one argument, HOST:PORT")?;
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    let clients = Clients::default();
    let mut id = 0;
    loop {
        let (stream, _) = listener.accept()?;
        id += 1;
        clients.lock().unwrap().insert(id, stream.try_clone()?);
        let clients = Arc::clone(&clients);
        thread::spawn(move || serve(&stream, &clients));
    }
}

fn serve(stream: &TcpStream, clients: &Clients) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut buffer = [0; 1 + 255];
    loop {
        // Fails at the end of the stream, and then discards a frame that is not whole.
        input.read_exact(&mut buffer[..1])?;
        let end = 1 + usize::from(buffer[0]);
        input.read_exact(&mut buffer[1..end])?;
        let frame = &buffer[..end];
        for socket in clients.lock().unwrap().values_mut() {
            let _ = socket.write_all(frame); // This client may be gone.
        }
    }
}
