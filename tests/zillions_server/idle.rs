//! What clients cost that say nothing: little memory each, and no processor time.

use std::net::TcpStream;

use zillions_harness::limits::ensure_descriptors;

use crate::support::Running;

/// As many as are tried; fewer where the descriptor limit is lower.
const CLIENTS_MAX: u64 = 15_000;
const CLIENTS_MIN: u64 = 200;
/// What one client may cost in the server's own memory, the ring aside.
const BYTES_PER_CLIENT_MAX: u64 = 1024;
/// Processor time is counted in steps of 10 ms.
const CPU_SECONDS_MAX: f64 = 0.011;

/// The process's memory that is its own: neither the ring, which is shared, nor files.
fn own_bytes(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.server.pid()));
    let status = status.expect("the server lives");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    let kibibytes: u64 = line.trim_end_matches("kB").trim().parse().expect("a number");
    kibibytes * 1024
}

/// As many clients as this process, and a server like it, may have.
fn clients_allowed() -> u64 {
    (1..=CLIENTS_MAX / CLIENTS_MIN)
        .map(|part| CLIENTS_MAX / part)
        .find(|&clients| ensure_descriptors(clients + 500).is_ok())
        .unwrap_or(CLIENTS_MIN)
}

/// Connects until there are `wanted`; the last one is in, so those before it are.
fn fill(running: &Running, clients: &mut Vec<TcpStream>, wanted: u64) {
    while (clients.len() as u64) + 1 < wanted {
        let stream = TcpStream::connect(running.server.address()).expect("a connection");
        clients.push(stream);
    }
    clients.push(running.join());
}

/// `cargo test --release --test zillions_server idle -- --nocapture` shows the figures.
#[test]
fn a_silent_client_costs_less_than_a_kilobyte_and_no_processor_time() {
    let wanted = clients_allowed();
    for engine in ["epoll", "auto"] {
        let running = Running::start(&["--engine", engine, "--shards", "1"]);
        let mut clients = Vec::new();
        fill(&running, &mut clients, CLIENTS_MIN / 2);
        let few = own_bytes(&running);
        fill(&running, &mut clients, wanted);
        let many = own_bytes(&running);
        let per_client = many.saturating_sub(few) / (wanted - CLIENTS_MIN / 2);
        // What the last newcomer said has long been delivered when a whole second has passed in
        // which nothing was to be done; the server does not end in it either.
        let cpu_seconds = || running.server.sample().expect("a sample").cpu_seconds;
        assert!(running.server.wait(0.5).is_none());
        let before = cpu_seconds();
        assert!(running.server.wait(1.0).is_none());
        let used = cpu_seconds() - before;
        eprintln!("{engine}: {wanted} clients, {per_client} bytes each, {used:.3} s of CPU in 1 s");
        assert!(per_client <= BYTES_PER_CLIENT_MAX, "{engine}: {per_client} bytes per client");
        assert!(used <= CPU_SECONDS_MAX, "{engine}: {used} s of processor time in an idle second");
    }
}
