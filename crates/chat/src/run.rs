//! The whole client: from the check of the terminal to the exit.

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;

use crate::address::ServerAddress;
use crate::chat::{Action, Chat};
use crate::dial::{Target, dial};
use crate::event::{Event, News};
use crate::outbox::Outbox;
use crate::screen::{Screen, is_given_back, size};
use crate::tls::{TrustError, trust};
use crate::{keys, link, view};

/// Events that wait to be shown; the connection's are up to 16 KiB of frames each.
const EVENTS_MAX: usize = 64;

/// Without an event, the terminal is looked after so often.
const TICK_SECONDS: u64 = 1;

/// How long the end waits for what was sent to arrive.
const END_SECONDS_MAX: u64 = 1;

/// What a chat needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to chat.
    pub address: ServerAddress,
    /// The name before each message; see [`check_name`](crate::check_name).
    pub name: String,
    /// Certificates (PEM) of the authorities to trust, in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// What `Authorization: Bearer` of a WebSocket's handshake says.
    pub token: Option<String>,
    /// Whether colours are wanted.
    pub colours: bool,
}

/// Why a chat did not come about, or did not end well.
#[derive(Debug, Error)]
pub enum ChatError {
    /// There is no terminal to chat on.
    #[error("{0}: use 'commandline-client HOST:PORT' in pipes, scripts and on simple terminals")]
    NoTerminal(&'static str),
    /// Nobody can be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The server was not reached; the line names it.
    #[error("{0}")]
    Unreachable(String),
    /// The terminal or the system failed.
    #[error("cannot use the terminal: {0}")]
    Terminal(#[from] io::Error),
    /// What was typed did not all leave before the end.
    #[error("some messages were not sent: the server did not take them")]
    NotSent,
}

/// Chats until the user ends it.
///
/// The terminal is the client's from the first connection on. It is restored at the end, on an
/// error, and on a panic; for signals, call [`restore_terminal`](crate::restore_terminal) before
/// the process ends.
///
/// # Errors
/// See [`ChatError`]; the terminal has been restored.
pub fn run(options: Options) -> Result<(), ChatError> {
    check_terminal()?;
    let Options { address, name, tls_ca, token, colours } = options;
    let tls = match address.is_tls() {
        true => Some(trust(tls_ca.as_deref())?),
        false => None,
    };
    let shown = address.to_string();
    let target = Target { address, tls, token };
    let transport = dial(&target).map_err(ChatError::Unreachable)?;

    let outbox = Arc::new(Outbox::new()?);
    let (sender, events) = sync_channel(EVENTS_MAX);
    // NO_COLOR has been obeyed by the caller, who also knows when it is overruled.
    crossterm::style::force_color_output(colours);
    let mut screen = Screen::open()?;
    link::start(target, transport, Arc::clone(&outbox), sender.clone())?;
    thread::Builder::new().name("keyboard".to_owned()).spawn(move || read_keys(&sender))?;
    let mut client = Client { chat: Chat::new(name, shown), outbox, colours };
    let end = client.show(&mut screen, &events);
    drop(screen);
    let all_sent = client.finish(&events);
    end?;
    if all_sent { Ok(()) } else { Err(ChatError::NotSent) }
}

/// Whether both ends of the conversation with the user are a terminal that can be drawn on.
fn check_terminal() -> Result<(), ChatError> {
    if !io::stdin().is_terminal() {
        return Err(ChatError::NoTerminal("chat needs a terminal, and standard input is none"));
    }
    if !io::stdout().is_terminal() {
        return Err(ChatError::NoTerminal("chat needs a terminal, and standard output is none"));
    }
    match env::var("TERM") {
        Ok(name) if name == "dumb" => {
            Err(ChatError::NoTerminal("chat needs a terminal with a cursor, and TERM is 'dumb'"))
        }
        _ => Ok(()),
    }
}

fn read_keys(sender: &SyncSender<Event>) {
    loop {
        let event = match crossterm::event::read() {
            Ok(event) => Event::Terminal(event),
            Err(error) => Event::NoKeyboard(error),
        };
        let over = matches!(event, Event::NoKeyboard(_));
        if sender.send(event).is_err() || over {
            return;
        }
    }
}

/// The loop that shows what happens.
struct Client {
    chat: Chat,
    outbox: Arc<Outbox>,
    colours: bool,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Redraw,
    End,
}

impl Client {
    fn show(&mut self, screen: &mut Screen, events: &Receiver<Event>) -> io::Result<()> {
        self.resize();
        loop {
            screen.draw(|frame| {
                let cursor = view::draw(&self.chat, self.colours, frame.buffer_mut());
                frame.set_cursor_position(cursor);
            })?;
            // Whatever has come meanwhile is drawn at once.
            let first = wait(events)?;
            for event in std::iter::once(first).chain(events.try_iter().take(EVENTS_MAX)) {
                match self.take(event)? {
                    Next::GoOn => {}
                    Next::Redraw => {
                        screen.redraw()?;
                        self.resize();
                    }
                    Next::End => return Ok(()),
                }
            }
        }
    }

    fn resize(&mut self) {
        let (columns, rows) = view::history_size(size());
        self.chat.resize(columns, rows);
    }

    fn take(&mut self, event: Event) -> io::Result<Next> {
        match event {
            Event::Terminal(event) => Ok(keys::action(event).map_or(Next::GoOn, |it| self.act(it))),
            Event::NoKeyboard(error) => Err(error),
            Event::News(news) => {
                self.hear(news);
                Ok(Next::GoOn)
            }
        }
    }

    fn act(&mut self, action: Action) -> Next {
        let next = match action {
            Action::Quit => Next::End,
            Action::Redraw | Action::Resize => Next::Redraw,
            _ => Next::GoOn,
        };
        let submit = action == Action::Submit;
        self.chat.act(action);
        if submit && let Some(bodies) = self.chat.submit() {
            match self.outbox.send(&bodies) {
                Ok(()) => self.chat.sent(),
                Err(_) => self.chat.set_note("not sent: the server does not read"),
            }
        }
        next
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Connection(connection) => self.chat.set_connection(connection),
            News::Messages(messages) => messages.into_iter().for_each(|it| self.chat.hear(it)),
            News::NotSent(1) => self.chat.tell("1 message was not sent".to_owned()),
            News::NotSent(number) => self.chat.tell(format!("{number} messages were not sent")),
            News::AllSent | News::Ended { .. } => {}
        }
    }

    /// Lets the connection send what waits, for a bounded time. Returns whether all was sent.
    fn finish(self, events: &Receiver<Event>) -> bool {
        self.outbox.close();
        let until = Instant::now() + Duration::from_secs(END_SECONDS_MAX);
        let mut all_sent = false;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match events.recv_timeout(left) {
                Ok(Event::News(News::AllSent)) => all_sent = true,
                Ok(Event::News(News::Ended { not_sent })) => return not_sent == 0,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        all_sent
    }
}

/// The next event. An error tells that the terminal has gone meanwhile.
fn wait(events: &Receiver<Event>) -> io::Result<Event> {
    loop {
        match events.recv_timeout(Duration::from_secs(TICK_SECONDS)) {
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) if !has_gone() && !is_given_back() => {}
            Err(_) => return Err(io::Error::other("it has gone")),
        }
    }
}

/// Whether nobody is at the other end of the terminal, where no signal tells of it.
fn has_gone() -> bool {
    let stdin = io::stdin();
    let mut files = [PollFd::new(&stdin, PollFlags::IN)];
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    match poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => files[0].revents().intersects(gone),
        Err(_) => false,
    }
}
