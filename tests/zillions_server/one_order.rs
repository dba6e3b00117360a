//! Clients that talk all at once, and the one order that all of them must see.

use std::net::TcpStream;
use std::thread;

use crate::support::{read_until, receive, send};

/// How many messages each client sends, beside its number as the first byte.
pub(crate) const MESSAGES: u8 = 100;

/// All clients talk at once, each from a thread of its own, and receive everything in one order.
pub(crate) fn talk(mut clients: Vec<TcpStream>) {
    // All have what was said so far: it ends with this, which only they can tell.
    send(&mut clients[0], b"now");
    clients.iter_mut().for_each(|client| drop(read_until(client, b"now")));
    let total = clients.len() * usize::from(MESSAGES);
    let streams: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
        let talk = |(number, mut client): (usize, TcpStream)| {
            scope.spawn(move || {
                for message in 0..MESSAGES {
                    send(&mut client, &[number as u8, message]);
                }
                (0..total).map(|_| receive(&mut client).expect("a message")).collect()
            })
        };
        let talking: Vec<_> = clients.into_iter().enumerate().map(talk).collect();
        talking.into_iter().map(|it| it.join().expect("it does not panic")).collect()
    });
    assert_one_order(&streams);
}

/// Each stream is what one of the clients received.
pub(crate) fn assert_one_order(streams: &[Vec<Vec<u8>>]) {
    for stream in streams {
        assert!(*stream == streams[0], "two clients disagree about the order");
    }
    for number in 0..streams.len() {
        let own = streams[0].iter().filter(|it| it[0] == number as u8).map(|it| it[1]);
        assert!(own.eq(0..MESSAGES), "client {number}: not in the order in which it was sent");
    }
}
