//! Idle clients cost little memory each, and no CPU time.

use std::net::TcpStream;

use zillions_harness::limits::ensure_descriptors;

use crate::support::Running;

/// How many are tried; fewer where the descriptor limit is lower.
const CLIENTS_MAX: u64 = 15_000;
const CLIENTS_MIN: u64 = 200;
/// What one client may cost of the server's own memory, besides the ring.
const BYTES_PER_CLIENT_MAX: u64 = 1024;
/// CPU time is counted in steps of 10 ms.
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

/// Connects until there are `wanted`; once the last is registered, those before it are too.
fn fill(running: &Running, clients: &mut Vec<TcpStream>, wanted: u64) {
    while (clients.len() as u64) + 1 < wanted {
        let stream = TcpStream::connect(running.server.address()).expect("a connection");
        clients.push(stream);
    }
    clients.push(running.join());
}

/// `cargo test --release --test zillions_server idle -- --nocapture` shows the figures.
#[test]
fn an_idle_client_costs_less_than_a_kilobyte_and_no_cpu_time() {
    let wanted = clients_allowed();
    for engine in ["epoll", "auto"] {
        let running = Running::start(&["--engine", engine, "--shards", "1"]);
        let mut clients = Vec::new();
        fill(&running, &mut clients, CLIENTS_MIN / 2);
        let few = own_bytes(&running);
        fill(&running, &mut clients, wanted);
        let many = own_bytes(&running);
        let per_client = many.saturating_sub(few) / (wanted - CLIENTS_MIN / 2);
        // After half a second the message of the last client has long been delivered; then there
        // is a whole second with nothing to do. The server does not end meanwhile.
        let cpu_seconds = || running.server.sample().expect("a sample").cpu_seconds;
        assert!(running.server.wait(0.5).is_none());
        let before = cpu_seconds();
        assert!(running.server.wait(1.0).is_none());
        let used = cpu_seconds() - before;
        eprintln!("{engine}: {wanted} clients, {per_client} bytes each, {used:.3} s of CPU in 1 s");
        assert!(per_client <= BYTES_PER_CLIENT_MAX, "{engine}: {per_client} bytes per client");
        assert!(used <= CPU_SECONDS_MAX, "{engine}: {used} s of CPU time in an idle second");
    }
}
