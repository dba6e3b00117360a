//! What is counted of each room.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::thread;

use zillions_harness::PortLease;

use crate::config::Configured;
use crate::metrics::get;
use crate::promlint::lint;
use crate::support::{eventually, frame, read_until, send};

/// How many rooms have metrics of their own, as the operator's page says.
const ROOMS_WITH_METRICS: usize = 100;

/// A server with metrics.
struct Counted {
    configured: Configured,
    endpoint: String,
    _lease: PortLease,
}

fn lease() -> PortLease {
    PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port")
}

fn room(name: &str, address: &str, ring: &str) -> String {
    format!("[[room]]\nname = \"{name}\"\nlisten = [\"{address}\"]\nring_bytes = \"{ring}\"\n")
}

/// The config file of a server whose metrics are at this address.
fn config(endpoint: &str, rooms: &str) -> String {
    format!(
        "[server]\nshards = 2\ndrain_timeout_seconds = 600\nmetrics = \"{endpoint}\"\n\
         [clients]\nsend_buffer_bytes = 4096\n{rooms}"
    )
}

impl Counted {
    fn start(rooms: &str) -> Self {
        let lease = lease();
        let endpoint = lease.address().to_string();
        let configured = Configured::start(&config(&endpoint, rooms));
        Self { configured, endpoint, _lease: lease }
    }

    fn text(&self) -> String {
        let (status, text) = get(&self.endpoint, "/metrics");
        assert_eq!(status, 200);
        text
    }

    /// The value of a metric of a room.
    fn of(&self, room: &str, metric: &str) -> u64 {
        let text = self.text();
        let start = format!("zillions_room_{metric}{{room=\"{room}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start}in {text}")).parse().expect("a number")
    }
}

/// So many messages of 255 bytes and a last one, with which the client catches up. It may miss some
/// of its own, too.
fn chatter(client: &TcpStream, number: usize) {
    let mut writer = client.try_clone().expect("a descriptor");
    let writing = thread::spawn(move || {
        writer.write_all(&frame(&[1; 255]).repeat(number)).expect("it is sent");
        send(&mut writer, b"last");
    });
    read_until(&mut client.try_clone().expect("a descriptor"), b"last");
    writing.join().expect("no panic");
}

#[test]
fn each_room_is_counted_apart() {
    let rooms = room("flooded", "127.0.0.1:0", "16KiB") + &room("quiet", "127.0.0.1:0", "16KiB");
    let mut counted = Counted::start(&rooms);
    let (flooded, quiet) = (counted.configured.next_address(), counted.configured.next_address());
    let mut clients = [(); 2].map(|()| counted.configured.connect(&quiet));
    for number in 0..10_u8 {
        send(&mut clients[0], &[number]);
    }
    clients.iter_mut().for_each(|client| drop(read_until(client, &[9])));

    let _stalled = counted.configured.connect(&flooded);
    let speaker = counted.configured.connect(&flooded);
    eventually("both are counted", || counted.of("flooded", "clients") == 2);
    chatter(&speaker, 4_000);
    // Until the stalled one's buffers in the kernel are full: what is dropped before may be the
    // speaker's own, and then nobody is behind once it has caught up.
    eventually("only the stalled one is behind, and misses messages", || {
        chatter(&speaker, 100);
        let [lagging, lag, dropped] =
            ["lagging_clients", "lag_max_bytes", "dropped_messages_total"]
                .map(|metric| counted.of("flooded", metric));
        lagging == 1 && lag > 0 && dropped > 0
    });
    let ordered = counted.of("flooded", "messages_total");
    assert!(ordered > 4_000, "{ordered}");
    let passed = ["sent_messages_total", "dropped_messages_total"];
    let [sent, dropped] = passed.map(|metric| counted.of("flooded", metric));
    // The rest is what the slow one is still to be sent.
    assert!(sent > 0 && sent + dropped <= 2 * ordered, "{sent} and {dropped}, of {ordered} to two");

    for (metric, expected) in [
        ("clients", 2),
        ("messages_total", 10),
        ("message_bytes_total", 20),
        ("sent_messages_total", 20),
        ("dropped_messages_total", 0),
        ("lagging_clients", 0),
        ("lag_max_bytes", 0),
    ] {
        assert_eq!(counted.of("quiet", metric), expected, "{metric}");
    }
}

#[test]
fn of_many_rooms_only_so_many_have_metrics_of_their_own() {
    let rooms = ROOMS_WITH_METRICS + 3;
    let names = (0..rooms).map(|number| format!("room-{number}"));
    let config: String = names.map(|name| room(&name, "127.0.0.1:0", "16KiB")).collect();
    let mut counted = Counted::start(&config);
    (0..rooms).for_each(|_| drop(counted.configured.next_address()));
    let text = counted.text();
    assert_eq!(lint(&text), Vec::<String>::new());
    let series = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(series("zillions_room_clients{"), ROOMS_WITH_METRICS);
    assert_eq!(series("zillions_room_"), 7 * ROOMS_WITH_METRICS);
    assert!(text.contains(&format!("\nzillions_rooms {rooms}\n")), "{text}");
}

#[test]
fn a_room_that_a_reload_replaces_is_exported_once() {
    let lease = lease();
    let address = lease.address().to_string();
    let mut counted = Counted::start(&room("lobby", &address, "1MiB"));
    assert_eq!(counted.configured.next_address(), address);
    let stalled = counted.configured.connect(&address);
    let speaker = counted.configured.connect(&address);
    eventually("both are there", || counted.of("lobby", "clients") == 2);
    chatter(&speaker, 2_000);
    eventually("one is behind", || counted.of("lobby", "lagging_clients") == 1);
    drop(speaker);

    counted.configured.reload(&config(&counted.endpoint, &room("lobby", &address, "2MiB")));
    // The new room is empty; the old one still has to send its last client what is due to it.
    eventually("it is replaced", || counted.of("lobby", "messages_total") == 0);
    let text = counted.text();
    let clients = text.lines().filter(|line| line.starts_with("zillions_clients{"));
    let clients: u64 =
        clients.map(|it| it.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert!(clients > 0, "the old room is not gone: {text}");
    assert_eq!(lint(&text), Vec::<String>::new());
    drop(stalled);
}
