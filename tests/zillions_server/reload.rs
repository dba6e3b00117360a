//! SIGHUP: what has changed in the config file is applied, and nobody else notices.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use zillions_harness::PortLease;
use zillions_testing::runs_all;

use crate::config::Configured;
use crate::support::{eventually, frame, receive, send};

/// How often the file is changed under load, and how often with all tests.
const RELOADS: u32 = 60;
const RELOADS_OF_ALL: u32 = 1000;

fn lease() -> PortLease {
    PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port")
}

fn room(name: &str, address: &str, more: &str) -> String {
    format!("[[room]]\nname = \"{name}\"\nlisten = [\"{address}\"]\n{more}")
}

/// Whether somebody answers there with what is sent.
fn answers(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    stream.write_all(&frame(b"there?")).is_ok() && receive(&mut stream).is_some()
}

#[test]
fn rooms_open_and_close_and_the_clients_of_others_lose_nothing() {
    let leases = [lease(), lease()];
    let [steady, passing] = leases.each_ref().map(|lease| lease.address().to_string());
    let always = format!("[server]\nshards = 2\n{}", room("steady", &steady, ""));
    let mut configured = Configured::start(&always);
    assert_eq!(configured.next_address(), steady);
    let mut receiver = configured.connect(&steady);
    let mut sender = configured.connect(&steady);
    let mut echo = sender.try_clone().expect("a descriptor");
    let stops = AtomicBool::new(false);
    thread::scope(|scope| {
        let sent = scope.spawn(|| {
            let mut sent = 0_u32;
            while !stops.load(Ordering::Relaxed) {
                send(&mut sender, &sent.to_le_bytes());
                assert_eq!(receive(&mut echo).as_deref(), Some(&sent.to_le_bytes()[..]));
                sent += 1;
            }
            send(&mut sender, b"end");
            sent
        });
        let received = scope.spawn(|| {
            let mut received = 0_u32;
            loop {
                let message = receive(&mut receiver).expect("it stays connected");
                if message == b"end" {
                    return received;
                }
                assert_eq!(message, received.to_le_bytes(), "nothing is lost");
                received += 1;
            }
        });
        for round in 0..if runs_all() { RELOADS_OF_ALL } else { RELOADS } {
            // A room whose ring is another is another room, at the same address.
            let more = format!("ring_bytes = \"{}KiB\"\n", 16 << (round % 2));
            configured.reload(&format!("{always}{}", room("passing", &passing, &more)));
            configured.log_line_with("config file reloaded");
            let mut client = configured.connect(&passing);
            send(&mut client, b"last words");
            assert_eq!(receive(&mut client).as_deref(), Some(&b"last words"[..]));
            if round % 3 > 0 {
                configured.reload(&always);
                assert_eq!(receive(&mut client), None, "its room closes");
                configured.log_line_with("config file reloaded");
                assert!(!answers(&passing), "nobody listens");
            }
        }
        stops.store(true, Ordering::Relaxed);
        let sent = sent.join().expect("it ends");
        assert_eq!(received.join().expect("it ends"), sent);
        assert!(sent > 0);
    });
}

#[test]
fn a_wrong_file_or_a_taken_address_changes_nothing_and_is_said_in_one_line() {
    let leases = [lease(), lease()];
    let [steady, other] = leases.each_ref().map(|lease| lease.address().to_string());
    let file = room("steady", &steady, "");
    let mut configured = Configured::start(&file);
    assert_eq!(configured.next_address(), steady);
    let mut client = configured.connect(&steady);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = taken.local_addr().expect("bound").to_string();
    let mut check = |text: &str, reason: &str| {
        configured.reload(text);
        let line = configured.log_line_with("not reloaded, nothing has changed");
        assert!(line.contains(reason), "{line}");
        send(&mut client, b"unchanged");
        assert_eq!(receive(&mut client).as_deref(), Some(&b"unchanged"[..]));
    };
    check("[sever]\n", ":1: unknown field `sever`");
    check(&format!("{file}{file}"), "another room has this name");
    let two = format!("{}{}", room("a", &other, ""), room("b", &busy, ""));
    check(&two, &format!("cannot listen on {busy}"));
    assert!(!answers(&other), "the address before the busy one is not served");
    drop(taken);
    configured.reload(&two);
    assert_eq!(receive(&mut client), None, "its room closes");
    eventually("both open", || answers(&other) && answers(&busy));
}

#[test]
fn limits_change_for_connections_to_come() {
    let lease = lease();
    let address = lease.address().to_string();
    let file =
        |clients: u32| format!("[clients]\nmax_clients = {clients}\n{}", room("a", &address, ""));
    let mut configured = Configured::start(&file(1));
    assert_eq!(configured.next_address(), address);
    let mut first = configured.connect(&address);
    send(&mut first, b"one");
    assert_eq!(receive(&mut first).as_deref(), Some(&b"one"[..]));
    assert_eq!(receive(&mut configured.connect(&address)), None);
    configured.reload(&file(2));
    eventually("two are allowed", || answers(&address));
    configured.reload(&file(1));
    eventually("one is allowed", || !answers(&address));
    send(&mut first, b"still here");
    let messages = std::iter::from_fn(|| receive(&mut first));
    assert!(messages.into_iter().any(|message| message == b"still here"));
}

#[test]
fn a_full_room_admits_nobody_until_its_limit_is_raised_and_other_rooms_do() {
    let leases = [lease(), lease()];
    let [small, other] = leases.each_ref().map(|lease| lease.address().to_string());
    let file = |clients: u32| {
        let limit = format!("max_clients = {clients}\n");
        format!("{}{}", room("small", &small, &limit), room("other", &other, ""))
    };
    let mut configured = Configured::start(&file(1));
    assert_eq!(configured.next_address(), small);
    let mut first = configured.connect(&small);
    send(&mut first, b"one");
    assert_eq!(receive(&mut first).as_deref(), Some(&b"one"[..]));
    assert!(!answers(&small), "the room is full");
    assert!(answers(&other) && answers(&other), "the other is not");
    configured.reload(&file(2));
    configured.log_line_with("config file reloaded");
    assert!(answers(&small), "one more is admitted");
    assert_eq!(receive(&mut first).as_deref(), Some(&b"there?"[..]), "the first has stayed");
}

#[test]
fn a_hangup_that_is_ignored_at_the_start_stays_ignored() {
    let lease = lease();
    let address = lease.address().to_string();
    let mut configured = Configured::start_with_hangup(&room("a", &address, ""), "IGN");
    assert_eq!(configured.next_address(), address);
    // It would say so if it read the file.
    configured.reload("[sever]\n");
    configured.terminate();
    let log = configured.rest_of_log();
    assert!(log.contains("stopped") && !log.contains("reloaded"), "{log}");
}
