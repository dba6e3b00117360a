//! Ctrl-C, SIGTERM and SIGHUP: stop every server, say what was kept, exit.
//!
//! The handler runs on a thread of its own and ends the process, so that no
//! loop of a tool has to look at a flag. Threads that notice a dying server
//! meanwhile are held back ([`wait_if_pending`]): the user asked for the end
//! and must not be told about a failure.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use zillions_signals::not_ignored;

use crate::address::NO_FORK;

/// Servers get this long to end by themselves after ctrl-C.
const GRACE_SECONDS: f64 = 1.0;

/// What is stopped on an interrupt.
pub(crate) trait Stop: Send + Sync {
    /// Asks it to end, and kills it after `grace_seconds`.
    fn stop(&self, grace_seconds: f64);
}

static RUNNING: Mutex<Vec<Weak<dyn Stop>>> = Mutex::new(Vec::new());
static HOOKS: Mutex<Vec<Box<dyn FnOnce() + Send>>> = Mutex::new(Vec::new());
static PENDING: AtomicBool = AtomicBool::new(false);

/// Starts listening for those of the three signals that are not ignored; later calls do nothing.
///
/// # Errors
/// When the handler cannot be installed.
pub fn install() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = start_handler());
    result
}

/// Registers `hook`, run once after the servers have been stopped and before
/// the process exits: to restore the terminal, to say where results are.
pub fn before_exit(hook: impl FnOnce() + Send + 'static) {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
}

/// Whether an interrupt is being carried out.
pub fn is_pending() -> bool {
    PENDING.load(Ordering::SeqCst)
}

/// Holds the calling thread for good if an interrupt is being carried out.
pub fn wait_if_pending() {
    while is_pending() {
        thread::park();
    }
}

/// Ends the process with `code` as an interrupt does: what was started is stopped first, and no
/// thread starts anything more.
pub fn end(code: i32) -> ! {
    PENDING.store(true, Ordering::SeqCst);
    end_politely(code)
}

/// Stops `started` on an interrupt, for as long as it exists.
pub(crate) fn register(started: &Arc<impl Stop + 'static>) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|it| it.strong_count() > 0);
    let weak = Arc::downgrade(started);
    running.push(weak);
}

fn start_handler() -> io::Result<()> {
    let mut signals = Signals::new(not_ignored(&[SIGINT, SIGTERM, SIGHUP]))?;
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if PENDING.swap(true, Ordering::SeqCst) {
                // A second ctrl-C: do not even wait for the servers' grace.
                stop_all(0.0);
                std::process::exit(128 + signal);
            }
            thread::spawn(move || end_politely(128 + signal));
        }
    })?;
    Ok(())
}

fn end_politely(code: i32) -> ! {
    // For good: a thread that is starting a server has registered it before we get this lock,
    // and none starts one from then on.
    let _no_fork = NO_FORK.lock().unwrap_or_else(PoisonError::into_inner);
    stop_all(GRACE_SECONDS);
    let hooks = std::mem::take(&mut *HOOKS.lock().unwrap_or_else(PoisonError::into_inner));
    for hook in hooks {
        hook();
    }
    std::process::exit(code)
}

fn stop_all(grace_seconds: f64) {
    let running: Vec<_> = {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().filter_map(Weak::upgrade).collect()
    };
    thread::scope(|scope| {
        for started in &running {
            scope.spawn(|| started.stop(grace_seconds));
        }
    });
}
