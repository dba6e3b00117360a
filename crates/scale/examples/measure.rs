//! Measures what the simulation is calibrated with: a server alone, a tree of a root, two edges and
//! four edges below them on loopback, and a cluster of one node on NATS, if a NATS server is named.
//!
//! ```sh
//! cargo build --release -p zillions --bin zillions-server
//! cargo build --release -p zillions-scale --example measure
//! sudo unshare --net sh -c 'ip link set lo up &&
//!     target/release/examples/measure target/release/zillions-server [nats-server]'
//! ```
//!
//! Bytes are those of the loopback device: in a network namespace of its own nobody else's are among
//! them. CPU time is that of the servers' threads, in nanoseconds as the scheduler counts it.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Length of a frame with a body of 64 bytes.
const FRAME: usize = 65;
const CLIENTS: usize = 16;
const IDLE_CLIENTS: u64 = 2000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn server(program: &str, port: u16, arguments: &[&str]) -> Result<Self> {
        let address = format!("127.0.0.1:{port}");
        let mut child = Command::new(program)
            .args([&address, "--engine", "epoll", "--shards", "1"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or("standard output is a pipe")?;
        BufReader::new(output).read_line(&mut String::new())?;
        Ok(Self(child))
    }

    /// CPU time of all its threads, in nanoseconds.
    fn cpu(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            sum += text.split(' ').next().ok_or("a schedstat")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Private memory that is resident, in bytes.
    fn memory(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let line =
            text.lines().find(|line| line.starts_with("Private_Dirty:")).ok_or("its line")?;
        let kib: u64 = line.split_whitespace().nth(1).ok_or("its figure")?.parse()?;
        Ok(kib * 1024)
    }
}

/// Bytes of all IP packets that went over loopback.
fn bytes_on_loopback() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/net/dev")?;
    let line =
        text.lines().find_map(|line| line.trim().strip_prefix("lo:")).ok_or("no loopback")?;
    Ok(line.split_whitespace().next().ok_or("its bytes")?.parse()?)
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Returns when what is said to each of `ports` comes back, which it does over the root only.
fn await_ready(ports: &[u16]) -> Result<()> {
    for &port in ports {
        let mut stream = connect(port)?;
        stream.write_all(&frame())?;
        stream.read_exact(&mut [0; FRAME])?;
    }
    Ok(())
}

fn frame() -> [u8; FRAME] {
    let mut frame = [b'x'; FRAME];
    frame[0] = 64;
    frame
}

/// `rounds` times, one of the clients at `ports` says `burst` messages at once and all receive them
/// before the next one speaks. Prints a line.
fn measure(
    name: &str,
    ports: &[u16],
    servers: &[&Process],
    rounds: usize,
    burst: usize,
) -> Result<()> {
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        clients.push(connect(ports[index % ports.len()])?);
    }
    // The accept order is not the connect order: all are served once the last one is.
    for _ in 0..2 {
        for client in &mut clients {
            client.write_all(&frame())?;
            client.read_exact(&mut [0; FRAME])?;
        }
    }
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_millis(500)))?;
        while client.read(&mut [0; 4096]).is_ok() {}
        client.set_read_timeout(Some(PATIENCE))?;
    }
    let words = frame().repeat(burst);
    let mut heard = vec![0; words.len()];
    let cpu = |servers: &[&Process]| -> Result<u64> { servers.iter().map(|it| it.cpu()).sum() };
    let (cpu_before, bytes_before) = (cpu(servers)?, bytes_on_loopback()?);
    let mut latencies = Vec::new();
    for round in 0..rounds {
        let start = Instant::now();
        clients[round % CLIENTS].write_all(&words)?;
        let observer = (round * 7 + 3) % CLIENTS;
        clients[observer].read_exact(&mut heard)?;
        latencies.push(start.elapsed());
        for (index, client) in clients.iter_mut().enumerate() {
            if index != observer {
                client.read_exact(&mut heard)?;
            }
        }
    }
    let deliveries = (rounds * burst * CLIENTS) as f64;
    latencies.sort_unstable();
    let at = |share: f64| latencies[(rounds as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{name}, {burst} at once: p10 {:.0} p50 {:.0} p90 {:.0} p99 {:.0} µs; \
         {:.0} ns of CPU and {:.1} bytes per delivery",
        at(0.1),
        at(0.5),
        at(0.9),
        at(0.99),
        (cpu(servers)? - cpu_before) as f64 / deliveries,
        (bytes_on_loopback()? - bytes_before) as f64 / deliveries,
    );
    Ok(())
}

fn idle_memory(program: &str) -> Result<()> {
    let server = Process::server(program, 7900, &[])?;
    let fill = |clients: &mut Vec<TcpStream>| -> Result<()> {
        for _ in 0..IDLE_CLIENTS {
            clients.push(connect(7900)?);
        }
        await_ready(&[7900])
    };
    let mut clients = Vec::new();
    fill(&mut clients)?;
    let few = server.memory()?;
    fill(&mut clients)?;
    let more = server.memory()?.saturating_sub(few);
    println!(
        "an idle client: {:.0} bytes of the server's memory",
        more as f64 / IDLE_CLIENTS as f64
    );
    Ok(())
}

fn tree(program: &str) -> Result<()> {
    let root = Process::server(program, 7000, &[])?;
    measure("alone", &[7000], &[&root], 500, 1)?;
    measure("alone", &[7000], &[&root], 100, 100)?;
    let mut servers = vec![root];
    for port in 7001..=7006_u16 {
        let upstream =
            format!("127.0.0.1:{}", if port < 7003 { 7000 } else { 7001 + (port - 7003) / 2 });
        servers.push(Process::server(program, port, &["--upstream", &upstream])?);
    }
    await_ready(&[7001, 7002, 7003, 7004, 7005, 7006])?;
    let servers: Vec<&Process> = servers.iter().collect();
    for (name, ports) in [
        ("root of the tree", &[7000][..]),
        ("its edges", &[7001, 7002]),
        ("their edges", &[7003, 7004, 7005, 7006]),
    ] {
        measure(name, ports, &servers, 500, 1)?;
        measure(name, ports, &servers, 100, 100)?;
    }
    Ok(())
}

/// A cluster of one node on as many NATS servers as there are replicas, which store in `folder`.
fn cluster(program: &str, nats: &str, replicas: u16, folder: &Path) -> Result<()> {
    let routes: Vec<_> =
        (0..replicas).map(|it| format!("nats://127.0.0.1:{}", 6222 + it)).collect();
    let mut brokers = Vec::new();
    for index in 0..replicas {
        let mut command = Command::new(nats);
        command.args(["--jetstream", "--addr", "127.0.0.1", "--name", &format!("n{index}")]);
        command.args(["--port", &(4222 + index).to_string(), "--store_dir"]);
        command.arg(folder.join(index.to_string())).stderr(Stdio::null());
        if replicas > 1 {
            command.args(["--cluster_name", "z", "--routes", &routes.join(",")]);
            command.args(["--cluster", &routes[usize::from(index)]]);
        }
        brokers.push(Process(command.spawn()?));
    }
    let addresses: Vec<_> = (0..replicas).map(|it| format!("127.0.0.1:{}", 4222 + it)).collect();
    let of_cluster =
        ["--cluster", &addresses.join(","), "--cluster-replicas", &replicas.to_string()];
    let _node = Process::server(program, 7100, &of_cluster)?;
    await_ready(&[7100])?;
    let brokers: Vec<&Process> = brokers.iter().collect();
    let name = format!("cluster with {replicas} replicas, CPU of NATS");
    measure(&name, &[7100], &brokers, 200, 1)?;
    measure(&name, &[7100], &brokers, 50, 100)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (program, nats) = match &arguments[..] {
        [program] => (program, None),
        [program, nats] => (program, Some(nats)),
        _ => return Err("usage: measure ZILLIONS-SERVER [NATS-SERVER]".into()),
    };
    println!("{} processors", thread::available_parallelism()?);
    idle_memory(program)?;
    tree(program)?;
    if let Some(nats) = nats {
        for replicas in [1, 3] {
            let folder = env::temp_dir().join(format!("zillions-scale-{}", std::process::id()));
            let measured = cluster(program, nats, replicas, &folder);
            fs::remove_dir_all(&folder)?;
            measured?;
        }
    }
    Ok(())
}
