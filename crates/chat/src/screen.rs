//! The terminal while it is the client's, and how it becomes the user's again.
//!
//! Restoring does not depend on who does it: the end of [`Screen`], a panic on any thread, or the
//! handler of a signal ([`restore_terminal`]). It happens once, and nothing is drawn after it.

use std::io::{self, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
};
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, event, queue, style};
use ratatui_core::layout::{Rect, Size};
use ratatui_core::terminal::{Frame, Terminal, TerminalOptions, Viewport};
use ratatui_crossterm::CrosstermBackend;
use rustix::termios::tcgetwinsize;
use zillions_console::Patient;

/// Of a terminal that does not tell.
const SIZE_UNKNOWN: Size = Size { width: 80, height: 24 };

/// Whether the terminal is the client's. Held while something is written to it.
static IS_OURS: Mutex<bool> = Mutex::new(false);

fn is_ours() -> MutexGuard<'static, bool> {
    IS_OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the terminal the user's again, if it is not: the screen as it was, the cursor visible,
/// lines and ctrl-C as a shell has them. Nothing is drawn afterwards.
pub fn restore_terminal() {
    let mut is_ours = is_ours();
    if std::mem::take(&mut *is_ours) {
        let mut bytes = Vec::new();
        // Writing to a vector does not fail.
        let _ = queue!(
            bytes,
            style::ResetColor,
            DisableFocusChange,
            DisableBracketedPaste,
            LeaveAlternateScreen,
            cursor::Show
        );
        // If the terminal has gone, there is nothing to restore.
        let _ = write_out(&bytes);
        let _ = disable_raw_mode();
    }
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    Patient(io::stdout()).write_all(bytes)
}

/// The terminal, restored when this is dropped.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Frames>>,
}

impl Screen {
    /// Takes the terminal: the alternate screen, every key as it is typed, pastes as such.
    pub(crate) fn open() -> io::Result<Self> {
        restore_on_panic();
        // From here on a change of the window's size is noticed, before the size is read.
        event::poll(Duration::ZERO)?;
        let mut ours = is_ours();
        enable_raw_mode()?;
        *ours = true;
        drop(ours);
        // From here on its end restores.
        let backend = CrosstermBackend::new(Frames::default());
        let options = TerminalOptions { viewport: Viewport::Fixed(area()) };
        let terminal =
            Terminal::with_options(backend, options).inspect_err(|_| restore_terminal())?;
        let mut screen = Self { terminal };
        let writer = screen.terminal.backend_mut();
        queue!(writer, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        screen.redraw()?;
        Ok(screen)
    }

    /// Forgets what the terminal shows, and asks it for its size.
    pub(crate) fn redraw(&mut self) -> io::Result<()> {
        self.terminal.resize(area())
    }

    /// Draws a frame, of which only the changes are written.
    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(render)?;
        match is_given_back() {
            true => Err(io::Error::other("it was given back")),
            false => Ok(()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Whether the terminal is the user's again, as after a panic on another thread.
pub(crate) fn is_given_back() -> bool {
    !*is_ours()
}

/// The size of the screen in columns and rows.
pub(crate) fn size() -> Size {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size::new(size.ws_col, size.ws_row),
        _ => SIZE_UNKNOWN,
    }
}

fn area() -> Rect {
    Rect::from(size())
}

/// A panic's message goes to the user's screen, not to one that vanishes.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore_terminal();
            show(info);
        }));
    });
}

/// Writes a frame as a whole, and nothing if the terminal is the user's again.
#[derive(Debug, Default)]
struct Frames {
    frame: Vec<u8>,
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = std::mem::take(&mut self.frame);
        let is_ours = is_ours();
        if *is_ours { write_out(&frame) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::{Command, Stdio};

    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::tcgetattr;

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "ZILLIONS_CHAT_TEST_PANICS";

    /// The test runs itself once more, on a terminal, and that run panics in the middle of a chat.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_shown() {
        if std::env::var_os(PANICS).is_some() {
            let mut screen = Screen::open().expect("a terminal");
            let text = |frame: &mut Frame<'_>| {
                let style = ratatui_core::style::Style::new();
                frame.buffer_mut().set_string(0, 0, "drawn", style);
            };
            screen.draw(text).expect("a frame");
            panic!("in the middle of a chat");
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = openpt(flags).expect("a terminal");
        grantpt(&terminal).expect("its other end");
        unlockpt(&terminal).expect("its other end");
        let other_end = ioctl_tiocgptpeer(&terminal, flags).expect("its other end");
        let modes = |file| format!("{:?}", tcgetattr(file).expect("its modes"));
        let before = modes(&terminal);
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let this = "screen::tests::a_panic_gives_the_terminal_back_before_it_is_shown";
        command.args(["--exact", this, "--nocapture"]).env(PANICS, "1");
        let copy = || Stdio::from(other_end.try_clone().expect("a copy"));
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn();
        drop((command, other_end));
        let mut written = Vec::new();
        // It ends with an error once nobody has the other end.
        let _ = File::from(terminal.try_clone().expect("a copy")).read_to_end(&mut written);
        assert_eq!(child.expect("it starts").wait().expect("an end").code(), Some(101));

        let written = String::from_utf8_lossy(&written);
        let place =
            |what: &str| written.find(what).unwrap_or_else(|| panic!("{what}: {written:?}"));
        assert!(place("\x1b[?1049h") < place("drawn"), "{written:?}");
        assert!(place("drawn") < place("\x1b[?1049l"), "{written:?}");
        assert!(place("\x1b[?2004l") < place("in the middle of a chat"), "{written:?}");
        assert!(place("\x1b[?1049l") < place("in the middle of a chat"), "{written:?}");
        // Nothing is drawn afterwards, not even by the end of the screen.
        assert_eq!(written.matches("\x1b[?1049").count(), 2, "{written:?}");
        assert_eq!(modes(&terminal), before);
    }
}
