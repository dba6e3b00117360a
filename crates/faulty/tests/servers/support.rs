//! A server process and its clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use socket2::{Domain, SockRef, Socket, Type};

/// The correct server gets all the time that a busy machine may need, one with a
/// fault no more than it takes to tell.
const PATIENCE_CORRECT: Duration = Duration::from_secs(60);
const PATIENCE_FAULTY: Duration = Duration::from_secs(1);

/// How many attempts a fault has to show.
pub(crate) const SHOWINGS_MAX: usize = 5;

/// After how long without a message one is sent again.
const AGAIN: Duration = Duration::from_millis(100);

/// What a probe saw: nothing wrong, or what was.
pub(crate) type Seen = Result<(), String>;

/// How to run the server that a probe looks at.
pub(crate) struct Probe {
    arguments: Vec<String>,
    /// How long to wait for anything.
    pub(crate) patience: Duration,
}

impl Probe {
    /// A server with a fault.
    pub(crate) fn with_fault(fault: &str) -> Self {
        Self { arguments: vec![format!("--fault={fault}")], patience: PATIENCE_FAULTY }
    }

    /// A correct server with other settings.
    pub(crate) fn with_knobs(arguments: impl IntoIterator<Item = String>) -> Self {
        Self { arguments: arguments.into_iter().collect(), patience: PATIENCE_CORRECT }
    }

    /// The command, with standard output and error piped.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zillions-faulty"));
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A server on a port of the system's choice.
    pub(crate) fn start(&self) -> Result<Server, String> {
        self.start_with(&[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Result<Server, String> {
        let mut command = self.command();
        command.args(arguments).arg("127.0.0.1:0");
        Server::spawn(command, self.patience)
    }
}

/// Fails with `seen` unless `holds`.
pub(crate) fn ensure(holds: bool, seen: impl Into<String>) -> Seen {
    if holds { Ok(()) } else { Err(seen.into()) }
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Standard output after the first line.
    pub(crate) output: Option<BufReader<ChildStdout>>,
    pub(crate) line: String,
    pub(crate) patience: Duration,
}

impl Server {
    /// Starts it and waits for its line.
    pub(crate) fn spawn(mut command: Command, patience: Duration) -> Result<Self, String> {
        let mut child = command.stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, output: None, line: String::new(), patience };
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = output.read_line(&mut line);
            let _ = sender.send((line, output));
        });
        let first = receiver.recv_timeout(patience);
        let (line, output) = first.map_err(|_| "no line in time".to_owned())?;
        server.line = line;
        server.output = Some(output);
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address in its line.
    pub(crate) fn address(&self) -> Result<SocketAddr, String> {
        let address = self.line.trim().strip_prefix("listening on ").ok_or("no such line")?;
        address.parse().map_err(|_| format!("no address: {address}"))
    }

    pub(crate) fn connect(&self) -> Result<Client, String> {
        Client::connect(self.address()?, None, self.patience)
    }

    /// A client that the kernel buffers little for.
    pub(crate) fn connect_small(&self) -> Result<Client, String> {
        Client::connect(self.address()?, Some(4096), self.patience)
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, String> {
        wait(&mut self.child, self.patience)
    }

    /// The resident set now, in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Its threads, and the processes that it has started and not given up.
    pub(crate) fn threads_and_children(&self) -> Result<usize, String> {
        let pid = self.pid();
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| e.to_string())?;
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.map_err(|error| error.to_string())?;
        Ok(tasks.count() + children.split_whitespace().count())
    }

    pub(crate) fn descriptors(&self) -> usize {
        let directory = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        directory.map_or(0, Iterator::count)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the server soon holds no more than `allowed` descriptors. It closes a connection when
/// it next looks at it, which may be after it has read what `client` sends meanwhile.
pub(crate) fn gives_back(server: &Server, client: &mut Client, allowed: usize) -> Seen {
    /// Messages that go back and forth meanwhile.
    const ROUND_TRIPS: usize = 100;
    for _ in 0..ROUND_TRIPS {
        if server.descriptors() <= allowed {
            return Ok(());
        }
        client.round_trip(b"is it gone?")?;
    }
    Err(format!("{} descriptors, and {allowed} at most before", server.descriptors()))
}

/// Waits for a process's end.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Result<ExitStatus, String> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => return Ok(status),
            None if Instant::now() > until => return Err("it goes on".into()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(
        address: SocketAddr,
        buffer_bytes: Option<usize>,
        patience: Duration,
    ) -> Result<Self, String> {
        let open = || {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            if let Some(bytes) = buffer_bytes {
                socket.set_recv_buffer_size(bytes)?;
            }
            socket.connect_timeout(&address.into(), patience)?;
            socket.set_tcp_nodelay(true)?;
            socket.set_read_timeout(Some(patience))?;
            socket.set_write_timeout(Some(patience))?;
            let stream = TcpStream::from(socket);
            let reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
            Ok(Self { stream, reader })
        };
        open().map_err(|error: std::io::Error| format!("connecting: {error}"))
    }

    /// Writes bytes as they are, in one go.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Seen {
        self.stream.write_all(bytes).map_err(|error| format!("sending: {error}"))
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, body: &[u8]) -> Seen {
        self.write(&frame(body))
    }

    /// Receives a message.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, String> {
        let mut header = [0];
        self.reader.read_exact(&mut header).map_err(|error| format!("a header: {error}"))?;
        let mut body = vec![0; usize::from(header[0])];
        self.reader.read_exact(&mut body).map_err(|error| format!("a body: {error}"))?;
        Ok(body)
    }

    /// Receives exactly this message.
    pub(crate) fn expect(&mut self, body: &[u8]) -> Seen {
        let heard = self.receive()?;
        ensure(heard == body, format!("heard {heard:?} instead of {body:?}"))
    }

    /// Sends a message and receives it: by then the server has seen what was sent
    /// before.
    pub(crate) fn round_trip(&mut self, body: &[u8]) -> Seen {
        self.send(body)?;
        self.expect(body)
    }

    /// Sends a message again and again until it comes back, as it may be dropped
    /// while much is under way. Returns how many other messages came before.
    pub(crate) fn send_until_received(
        &mut self,
        body: &[u8],
        patience: Duration,
    ) -> Result<usize, String> {
        let (mut others, begin) = (0, Instant::now());
        while begin.elapsed() < patience {
            self.send(body)?;
            while let Some(heard) = self.receive_within(AGAIN)? {
                if heard == body {
                    return Ok(others);
                }
                others += 1;
            }
        }
        Err("nothing new comes".into())
    }

    /// Closes the sending side.
    pub(crate) fn half_close(&mut self) -> Seen {
        self.stream.shutdown(Shutdown::Write).map_err(|error| format!("closing: {error}"))
    }

    /// The stream ends here.
    pub(crate) fn expect_end(&mut self) -> Seen {
        let count = self.reader.read(&mut [0]).map_err(|error| format!("the end: {error}"))?;
        ensure(count == 0, "more than expected")
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Receives what has arrived or arrives within `wait`, if anything does.
    pub(crate) fn receive_within(&mut self, wait: Duration) -> Result<Option<Vec<u8>>, String> {
        if self.reader.buffer().is_empty() {
            let patience = self.stream.read_timeout().unwrap();
            self.stream.set_read_timeout(Some(wait.max(Duration::from_micros(1)))).unwrap();
            let filled = loop {
                // A machine that is halted for a moment interrupts a read with a time limit.
                match self.reader.fill_buf().map(<[u8]>::len) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    filled => break filled,
                }
            };
            self.stream.set_read_timeout(patience).unwrap();
            match filled {
                Ok(0) => return Err("the end of the stream".into()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(format!("hearing: {error}")),
            }
        }
        self.receive().map(Some)
    }
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![body.len() as u8];
    frame.extend_from_slice(body);
    frame
}

/// Lets this process open as many sockets as it may.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Two messages that are sent together arrive in the same order at both senders.
pub(crate) fn two_agree(server: &Server, first: &mut Client, second: &mut Client) -> Seen {
    for _ in 0..20 {
        first.send(b"from the first")?;
        second.send(b"from the second")?;
        let seen = [first.receive()?, first.receive()?];
        let other = [second.receive()?, second.receive()?];
        ensure(seen == other, format!("{seen:?} and {other:?} from {}", server.line))?;
        ensure(seen[0] != seen[1], "one of them twice")?;
    }
    Ok(())
}

/// Connects `count` clients; the first two have received a message of the last.
pub(crate) fn many(server: &Server, count: usize) -> Result<Vec<Client>, String> {
    let clients = (0..count).map(|_| server.connect()).collect::<Result<Vec<Client>, _>>();
    let mut clients = clients?;
    clients[count - 1].round_trip(b"all are there")?;
    clients[..2].iter_mut().try_for_each(|client| client.expect(b"all are there"))?;
    Ok(clients)
}
