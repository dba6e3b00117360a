//! Step 2: echo to all. A lock guards the list of clients.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Read, Write};
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
        thread::spawn(move || serve(id, stream, &clients));
    }
}

fn serve(id: u64, mut stream: TcpStream, clients: &Clients) -> io::Result<()> {
    let mut bytes = [0; 1024];
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(()); // The client has closed the connection.
        }
        stream.write_all(&bytes[..count])?;
        for (&other, socket) in clients.lock().unwrap().iter_mut() {
            if other != id {
                let _ = socket.write_all(&bytes[..count]); // This client may be gone.
            }
        }
    }
}
