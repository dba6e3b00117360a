//! Step 6: a bounded queue for each client. A client whose queue is full misses the message.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::{env, thread};

/// Frames that wait for one client.
const QUEUE_LIMIT: usize = 64;

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
        let (stream, _) = listener.accept()?;
        id += 1;
        let (sender, queue) = sync_channel(QUEUE_LIMIT);
        clients.lock().unwrap().insert(id, sender);
        let output = stream.try_clone()?;
        thread::spawn(move || write_frames(&output, &queue));
        let clients = Arc::clone(&clients);
        thread::spawn(move || read_frames(&stream, &clients));
    }
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

fn write_frames(mut stream: &TcpStream, queue: &Receiver<Frame>) {
    for frame in queue {
        let _ = stream.write_all(&frame); // This client may be gone.
    }
}
