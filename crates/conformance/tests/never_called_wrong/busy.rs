//! A busy machine: processes that do nothing but keep processors busy. They are processes of
//! their own, since what this one does counts as the suite's own work.

use std::io::{self, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

/// The argument that makes this executable a busy loop.
pub(crate) const SPIN: &str = "--spin";
/// Busy loops beside the server on a busy machine.
const LOOPS: usize = 4;

/// Loops that end when this is dropped.
pub(crate) struct BusyLoops(Vec<Child>);

impl BusyLoops {
    pub(crate) fn start() -> io::Result<Self> {
        let mut loops = Self(Vec::with_capacity(LOOPS));
        for _ in 0..LOOPS {
            let mut command = Command::new(std::env::current_exe()?);
            loops.0.push(command.arg(SPIN).stdin(Stdio::piped()).spawn()?);
        }
        Ok(loops)
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Spins until standard input ends, so that a loop never outlives the test, however that ends.
pub(crate) fn spin() -> ExitCode {
    thread::spawn(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    let _ = io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
