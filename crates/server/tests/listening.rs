//! What every accepted connection inherits from the listening socket.

use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;
use zillions_server::listen::{Listeners, SocketOptions};
use zillions_server::passed::Passed;

#[test]
fn an_accepted_connection_has_the_options_of_the_command_line() {
    let options = SocketOptions {
        send_buffer_bytes: 50_000,
        unsent_bytes_max: 12_345,
        keepalive: Some(Duration::from_secs(77)),
        user_timeout: Some(Duration::from_secs(88)),
    };
    let addresses = ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let listeners = Listeners::bind(&addresses, &options, &mut Passed::default()).unwrap();
    for (&address, listener) in listeners.addresses().iter().zip(0..) {
        let client = TcpStream::connect(address).unwrap();
        let accepted = listeners.accept(listener).unwrap().expect("a pending connection");
        assert_eq!(accepted.peer, client.local_addr().unwrap().ip());
        let socket = SockRef::from(&accepted.stream);
        assert!(socket.tcp_nodelay().unwrap());
        // Linux doubles what is asked for, to have room for its own records.
        assert_eq!(socket.send_buffer_size().unwrap(), 100_000);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 12_345);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(88)));
    }
    assert!(listeners.accept(0).unwrap().is_none());
    let bound = listeners.addresses();
    listeners.close();
    let refused = TcpStream::connect(bound[0]);
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}
