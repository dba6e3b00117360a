//! A room of a real zillions-server, for pages and programs. This test is the server, too, in a
//! process of its own: when it is called with [`ROLE`].

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser as _;
use zillions_harness::PortLease;
use zillions_server::Options;

/// The first argument of the process that is the server; those of zillions-server follow.
pub(crate) const ROLE: &str = "--zillions-server";

/// No answer for so long is a failure; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Is the server, until a signal ends it.
pub(crate) fn serve() -> ExitCode {
    let options = Options::parse_from(env::args().skip(1));
    match zillions_server::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// It ends when it is dropped.
pub(crate) struct Room {
    server: Child,
    programs: PortLease,
    pages: PortLease,
}

impl Room {
    pub(crate) fn start() -> Self {
        let lease = || PortLease::take(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
        let (programs, pages) = (lease(), lease());
        Self { server: serve_at(&programs, &pages), programs, pages }
    }

    /// The address of the page.
    pub(crate) fn address(&self) -> String {
        format!("http://{}/", self.pages.address())
    }

    /// A program that has joined.
    pub(crate) fn join(&self) -> TcpStream {
        let stream = TcpStream::connect(self.programs.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// A program says this, at once, and sees that it was put in order.
    pub(crate) fn say(&self, bodies: &[&[u8]]) {
        let frames: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        let mut program = self.join();
        program.write_all(&frames).expect("it is sent");
        assert!(hear(&mut program, frames.len()) == frames, "nobody else speaks");
    }

    /// The server ends without a word, and another one serves at its addresses.
    pub(crate) fn replace(&mut self) {
        self.end();
        self.server = serve_at(&self.programs, &self.pages);
    }

    fn end(&mut self) {
        // Of no effect on one that has ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.end();
    }
}

/// As the protocol has it.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("a body that fits");
    [&[length][..], body].concat()
}

/// The next bytes that a program receives.
pub(crate) fn hear(program: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut heard = vec![0; bytes];
    program.read_exact(&mut heard).expect("it is heard");
    heard
}

/// A server that listens.
fn serve_at(programs: &PortLease, pages: &PortLease) -> Child {
    let mut command = Command::new(env::current_exe().expect("its path"));
    command.args([ROLE, "--log-level", "error", &programs.address().to_string()]);
    command.arg(format!("ws://{}", pages.address())).stdout(Stdio::piped());
    let mut server = command.spawn().expect("it starts");
    let lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    let listening =
        lines.map_while(Result::ok).take(2).filter(|it| it.starts_with("listening on "));
    assert_eq!(listening.count(), 2, "it listens at both addresses");
    server
}
