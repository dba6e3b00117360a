//! Step 8: an end of descriptors or threads is not the end of the server.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, thread};

/// Frames that wait for one client.
const QUEUE_LIMIT: usize = 64;
/// How long to wait until descriptors or threads are free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Header and body; all queues share one copy.
type Frame = Arc<[u8]>;
/// The queue of each client, by its number.
type Clients = Arc<Mutex<HashMap<u64, SyncSender<Frame>>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("expected one argument, HOST:PORT")?;
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    let clients = Clients::default();
    let mut id = 0;
    loop {
        id += 1;
        let accepted = listener.accept().and_then(|(stream, _)| admit(id, stream, &clients));
        if let Err(error) = accepted {
            eprintln!("cannot accept a client: {error}");
            thread::sleep(ACCEPT_PAUSE);
        }
    }
}

fn admit(id: u64, stream: TcpStream, clients: &Clients) -> io::Result<()> {
    let stream = Arc::new(stream);
    let (sender, queue) = sync_channel(QUEUE_LIMIT);
    let output = Arc::clone(&stream);
    thread::Builder::new().spawn(move || {
        let _ = write_frames(&output, &queue);
        let _ = output.shutdown(Shutdown::Both);
    })?;
    clients.lock().unwrap().insert(id, sender);
    let everybody = Arc::clone(clients);
    let reader = thread::Builder::new().spawn(move || {
        let _ = read_frames(&stream, &everybody);
        everybody.lock().unwrap().remove(&id); // Ends the queue, behind what is in it.
    });
    if reader.is_err() {
        clients.lock().unwrap().remove(&id);
    }
    reader.map(drop)
}

fn read_frames(stream: &TcpStream, clients: &Clients) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut buffer = [0; 1 + 255];
    loop {
        // Fails at the end of the stream, and then discards a frame that is not whole.
        input.read_exact(&mut buffer[..1])?;
        let end = 1 + usize::from(buffer[0]);
        input.read_exact(&mut buffer[1..end])?;
        let frame = Frame::from(&buffer[..end]);
        for queue in clients.lock().unwrap().values() {
            let _ = queue.try_send(Arc::clone(&frame)); // Fails if the queue is full.
        }
    }
}

fn write_frames(mut stream: &TcpStream, queue: &Receiver<Frame>) -> io::Result<()> {
    for frame in queue {
        stream.write_all(&frame)?;
    }
    Ok(())
}
