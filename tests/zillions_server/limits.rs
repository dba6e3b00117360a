//! How many clients there may be, for how long, and what they may do.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use zillions_harness::{PortLease, Signal};
use zillions_server::engines::ENGINES;

use crate::config::Configured;
use crate::metrics::value;
use crate::support::{Running, eventually, frame, read_until, receive, send};

#[test]
fn a_connection_beyond_the_limit_is_rejected_until_a_client_disconnects() {
    for limit in ["--max-clients", "--max-clients-per-ip"] {
        let running = Running::start(&[limit, "3", "--shards", "2"]);
        // The harness's own connection may not be closed yet.
        let mut clients = Vec::new();
        eventually("three clients are served", || {
            let mut client = running.connect();
            send(&mut client, b"in?");
            if receive(&mut client).is_some() {
                clients.push(client);
            }
            clients.len() == 3
        });
        assert_eq!(receive(&mut running.connect()), None, "a fourth");
        drop(clients.pop());
        eventually("another is accepted again", || {
            let mut client = running.connect();
            send(&mut client, b"in?");
            receive(&mut client).is_some()
        });
    }
}

#[test]
fn idle_clients_are_disconnected_and_active_ones_stay() {
    let running = Running::start(&["--idle-timeout-seconds", "1"]);
    let mut idle = running.join();
    let mut active = running.connect();
    let started = Instant::now();
    // The active client's messages keep arriving at the idle one, until it is disconnected.
    loop {
        send(&mut active, b"still here");
        assert_eq!(receive(&mut active).expect("it is still connected"), b"still here");
        if receive(&mut idle).is_none() {
            break;
        }
    }
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    running.hello(&mut active);
}

#[test]
fn time_in_which_the_process_was_stopped_makes_nobody_idle() {
    let running = Running::start(&["--idle-timeout-seconds", "1", "--shards", "1"]);
    let mut active = running.join();
    running.server.signal(Signal::STOP);
    send(&mut active, b"sent in time");
    assert!(running.server.wait(2.5).is_none(), "it is stopped, not ended");
    running.server.signal(Signal::CONT);
    assert_eq!(receive(&mut active).expect("it is still connected"), b"sent in time");
    running.hello(&mut active);
}

#[test]
fn a_client_that_is_not_read_because_another_is_slow_is_not_idle() {
    const MESSAGES: usize = 10_000;
    let running = Running::start(&[
        "--shards",
        "1",
        "--idle-timeout-seconds",
        "1",
        "--slow-reader",
        "backpressure",
        "--eviction-timeout-seconds",
        "4",
        "--ring-bytes",
        "64KiB",
        "--send-buffer-bytes",
        "8KiB",
    ]);
    let mut publisher = running.join();
    let mut stalled = running.join();
    running.hello(&mut publisher);
    let mut reader = publisher.try_clone().expect("another handle");
    let started = Instant::now();
    let reading = thread::spawn(move || {
        let received = std::iter::from_fn(|| receive(&mut reader));
        received.filter(|message| message.len() == 250).take(MESSAGES).count()
    });
    for number in 0..MESSAGES {
        // If it fails, the count shows it.
        let _ = publisher.write_all(&frame(&[number as u8; 250]));
        if number % 50 == 0 {
            // It does not read, but it is not idle either, until nobody is read.
            let _ = stalled.write_all(&frame(b""));
        }
    }
    assert_eq!(reading.join().expect("it counts"), MESSAGES, "it was disconnected");
    assert!(started.elapsed() >= Duration::from_secs(3), "nothing was held up");
}

#[test]
fn a_client_that_only_reads_is_not_idle_if_what_it_takes_counts() {
    let running = Running::start(&["--idle-timeout-seconds", "1", "--idle-traffic", "both"]);
    let mut reader = running.join();
    let mut publisher = running.join();
    running.hello(&mut reader);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2500) {
        running.hello(&mut publisher);
        receive(&mut reader).expect("it is still connected");
    }
    // Until nothing is sent any more.
    while receive(&mut reader).is_some() {}
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn when_descriptors_run_out_connected_clients_are_served_and_later_others_again() {
    let running = Running::start_with(&["--shards", "2"], Some(60));
    let mut witness = running.join();
    let mut crowd: Vec<_> = (0..100).map(|_| running.connect()).collect();
    eventually("it logs that it cannot accept", || {
        running.server.log_tail(20).iter().any(|line| line.contains("cannot accept"))
    });
    running.hello(&mut witness);
    crowd.clear();
    let mut next = running.join();
    send(&mut next, b"in again");
    crate::support::read_until(&mut witness, b"in again");
}

/// Calls `what` with the options of every engine that works here.
fn with_each_engine(what: impl Fn(&[&str])) {
    let engines = || ENGINES.iter().filter(|engine| engine.probe().is_ok());
    assert!(engines().count() > 0, "no engine works here");
    engines().for_each(|engine| what(&["--engine", engine.name, "--shards", "2"]));
}

/// A server with a room at three addresses: for all, for listeners and for publishers.
struct Feed {
    configured: Configured,
    addresses: [String; 3],
}

impl Feed {
    fn start(engine: &str, listeners: &str, more: &str) -> Self {
        let file = format!(
            "[server]\nengine = \"{engine}\"\nshards = 2\n[[room]]\nname = \"feed\"\n{more}\
             listen = [\"127.0.0.1:0\", {{ address = \"127.0.0.1:0\", {listeners} }},\n\
             {{ address = \"127.0.0.1:0\", role = \"publish-only\" }}]\n"
        );
        let mut configured = Configured::start(&file);
        let addresses = [(); 3].map(|()| configured.next_address());
        Self { configured, addresses }
    }
}

#[test]
fn listeners_hear_publishers_and_nobody_hears_a_listener() {
    for engine in ENGINES.iter().filter(|engine| engine.probe().is_ok()) {
        let feed = Feed::start(engine.name, "role = \"listen-only\"", "");
        let [mut member, mut listener, mut publisher] =
            feed.addresses.each_ref().map(|address| feed.configured.connect(address));
        for number in 0..200_u8 {
            listener.write_all(&frame(&[number; 250])).expect("it may send");
            publisher.write_all(&frame(&[number])).expect("it is sent");
        }
        send(&mut member, b"last");
        // From each publisher in its order, and nothing of the listener.
        for client in [&mut member, &mut listener] {
            let messages = std::iter::from_fn(|| receive(client));
            let heard: Vec<_> = messages.filter(|it| it != b"last").take(200).collect();
            let expected: Vec<_> = (0..200_u8).map(|number| vec![number]).collect();
            assert_eq!(heard, expected);
        }
        // It has been read all the while, and is told the end like everybody.
        publisher.shutdown(Shutdown::Write).expect("half a close");
        assert_eq!(receive(&mut publisher), None, "it receives nothing but the end");
        listener.write_all(b"\x09rest").expect("half a frame");
        listener.shutdown(Shutdown::Write).expect("half a close");
        while receive(&mut listener).is_some() {}
    }
}

#[test]
fn what_a_listener_sends_is_counted() {
    with_each_engine(|engine| {
        let options = ["--role", "listen-only", "--metrics", "127.0.0.1:0"];
        let running = Running::start(&[engine, &options].concat());
        let mut listener = running.connect();
        for body in [&b"one"[..], b"", b"three"] {
            send(&mut listener, body);
        }
        eventually("it is counted", || value(&running, "zillions_discarded_messages_total") == 3);
        assert_eq!(value(&running, "zillions_received_messages_total"), 0);
        assert_eq!(value(&running, "zillions_clients{"), 1, "it stays");
    });
}

#[test]
fn a_listener_that_sends_is_disconnected_if_so_chosen_and_others_stay() {
    with_each_engine(|engine| {
        let options = [
            "--role",
            "listen-only",
            "--unwanted-sender",
            "disconnect",
            "--metrics",
            "127.0.0.1:0",
        ];
        let running = Running::start(&[engine, &options].concat());
        let _silent = running.connect();
        let mut sender = running.connect();
        sender.write_all(b"\x03on").expect("no message yet");
        assert_eq!(value(&running, "reason=\"unwanted\""), 0);
        sender.write_all(b"e").expect("now it is one");
        assert_eq!(receive(&mut sender), None);
        eventually("it is counted", || value(&running, "reason=\"unwanted\"") == 1);
        assert_eq!(value(&running, "zillions_clients{"), 1);
    });
}

#[test]
fn an_address_has_limits_of_its_own_and_a_reload_changes_them() {
    let lease = PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
    let address = lease.address().to_string();
    let file = |rules: &str| {
        format!(
            "[[room]]\nname = \"a\"\nlisten = [\"127.0.0.1:0\", {{ address = \"{address}\"{rules} }}]\n"
        )
    };
    for limit in ["max_clients", "max_clients_per_ip"] {
        let mut configured = Configured::start(&file(&format!(", {limit} = 1")));
        let [other, limited] = [(); 2].map(|()| configured.next_address());
        let is_served = |client: &mut TcpStream| {
            client.write_all(&frame(b"in?")).is_ok() && receive(client).is_some()
        };
        let mut first = configured.connect(&limited);
        assert!(is_served(&mut first));
        assert!(!is_served(&mut configured.connect(&limited)), "{limit}: one is allowed");
        assert!(is_served(&mut configured.connect(&other)), "{limit}: elsewhere there is no limit");
        configured.reload(&file(&format!(", {limit} = 2")));
        configured.log_line_with("config file reloaded");
        let mut second = configured.connect(&limited);
        assert!(is_served(&mut second), "{limit}: two are allowed");
        configured.reload(&file(", role = \"listen-only\""));
        configured.log_line_with("config file reloaded");
        let mut listener = configured.connect(&limited);
        send(&mut listener, b"to nobody");
        send(&mut second, b"of a member");
        read_until(&mut listener, b"of a member");
        read_until(&mut first, b"of a member");
    }
}

#[test]
fn a_listener_is_not_idle_while_it_takes_what_it_is_sent() {
    let mut configured = Configured::start(
        "[clients]\nidle_timeout_seconds = 1\n[[room]]\nname = \"feed\"\n\
         listen = [{ address = \"127.0.0.1:0\", role = \"listen-only\" }, \"127.0.0.1:0\"]\n",
    );
    let [listeners, members] = [(); 2].map(|()| configured.next_address());
    let mut listener = configured.connect(&listeners);
    let mut member = configured.connect(&members);
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2500) {
        send(&mut member, b"news");
        assert_eq!(receive(&mut member).as_deref(), Some(&b"news"[..]));
        assert_eq!(receive(&mut listener).as_deref(), Some(&b"news"[..]), "it is still connected");
    }
    while receive(&mut listener).is_some() {}
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn what_exceeds_a_rate_waits_and_is_not_lost_and_holds_up_nobody() {
    // So many at once, and then so many a second; bodies of 99 bytes are frames of 100.
    for limit in [["--max-messages-per-second", "100"], ["--max-bytes-per-second", "10000"]] {
        with_each_engine(|engine| {
            let options = ["--metrics", "127.0.0.1:0"];
            let running = Running::start(&[engine, &limit, &options].concat());
            let mut witness = running.connect();
            running.hello(&mut witness);
            let passes = value(&running, "zillions_passes_total");
            let mut sender = running.connect();
            let started = Instant::now();
            let burst: Vec<u8> = (0..250_u8).flat_map(|number| frame(&[number; 99])).collect();
            sender.write_all(&burst).expect("it is sent");
            sender.shutdown(Shutdown::Write).expect("half a close");
            eventually("it waits", || value(&running, "zillions_throttles_total") > 0);
            // Nobody else does.
            let early = started.elapsed() < Duration::from_secs(1);
            send(&mut witness, b"meanwhile");
            let mut numbers = Vec::new();
            let mut others = Vec::new();
            while numbers.len() < 250 {
                let message = receive(&mut witness).expect("the stream continues");
                match message.len() {
                    99 => numbers.push(message[0]),
                    _ => others.push((message, numbers.len())),
                }
            }
            let elapsed = started.elapsed();
            assert_eq!(numbers, (0..250).collect::<Vec<u8>>(), "all of them, in order");
            assert!(elapsed >= Duration::from_millis(1490), "{limit:?}: {elapsed:?}");
            let [(message, before)] = &others[..] else { panic!("{others:?}") };
            assert_eq!(message, b"meanwhile");
            assert!(*before < 250 || !early, "it was held up");
            // The sender's end comes after its last message.
            let received = std::iter::from_fn(|| receive(&mut sender));
            assert_eq!(received.filter(|message| message.len() == 99).count(), 250);
            eventually("nobody waits", || value(&running, "zillions_throttled_clients") == 0);
            // A wake-up for 10 ms at most, and some for what arrives: no busy loop.
            let passes = value(&running, "zillions_passes_total") - passes;
            let most = 300 + 2 * started.elapsed().as_millis() as u64 / 10;
            assert!(passes <= most, "{passes} passes, {most} at most");
        });
    }
}

#[test]
fn a_sender_that_exceeds_its_rate_is_held_back_by_its_own_system() {
    let running = Running::start(&["--max-bytes-per-second", "10KiB", "--shards", "1"]);
    let mut sender = running.join();
    sender.set_nonblocking(true).expect("an option");
    let burst = frame(&[7; 255]).repeat(256);
    // A server that read it would take gigabytes in that time.
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut sent = 0;
    while Instant::now() < deadline {
        match sender.write(&burst) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    // What two sockets' buffers hold at most, with Linux's defaults.
    assert!(sent < 24 << 20, "{sent} bytes");
    running.hello(&mut running.connect());
}

#[test]
fn a_client_that_waits_for_its_turn_is_not_idle() {
    let running = Running::start(&["--idle-timeout-seconds", "1", "--max-bytes-per-second", "64"]);
    let mut sender = running.connect();
    let started = Instant::now();
    for number in [0, 1] {
        send(&mut sender, &[number; 255]);
    }
    // The first passes at once, the second when the rate has made up for it.
    assert_eq!(read_until(&mut sender, &[1; 255]).len(), 2);
    assert!(started.elapsed() >= Duration::from_millis(3990), "{:?}", started.elapsed());
}
