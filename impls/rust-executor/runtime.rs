//! The runtime, which a library would provide otherwise: an executor, a reactor, and the
//! futures in which every chain of `await`s ends. `server.rs` says how they play together.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;

pub struct Runtime {
    tasks: RefCell<HashMap<u64, Task>>,
    /// The tasks to be polled, each at most once.
    ready: Arc<Ready>,
    epoll: OwnedFd,
    /// For each source, who waits to read and who waits to write.
    waiting: RefCell<HashMap<u64, [Option<Waker>; 2]>>,
    timers: RefCell<Vec<(Instant, Waker)>>,
    /// Keys of tasks and sources are never reused.
    key_last: Cell<u64>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

/// The inside of a task's `Waker`. That type promises to work from any thread, hence the
/// lock and the atomic variable.
struct Signal {
    task: u64,
    is_queued: AtomicBool,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct Ready(Mutex<VecDeque<Arc<Signal>>>);

impl Ready {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Signal>>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.ready.queue().push_back(Arc::clone(&self));
        }
    }
}

impl Runtime {
    pub fn new() -> io::Result<Rc<Runtime>> {
        Ok(Rc::new(Runtime {
            tasks: RefCell::default(),
            ready: Arc::default(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            waiting: RefCell::default(),
            timers: RefCell::default(),
            key_last: Cell::new(0),
        }))
    }

    fn new_key(&self) -> u64 {
        self.key_last.set(self.key_last.get() + 1);
        self.key_last.get()
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task = self.new_key();
        let (is_queued, ready) = (AtomicBool::new(false), Arc::clone(&self.ready));
        let waker = Waker::from(Arc::new(Signal { task, is_queued, ready }));
        waker.wake_by_ref();
        self.tasks.borrow_mut().insert(task, Task { future: Box::pin(future), waker });
    }

    /// The executor: polls each ready task once, then waits for more to become ready.
    pub fn run(&self) -> io::Result<Infallible> {
        loop {
            let round = mem::take(&mut *self.ready.queue());
            for signal in round {
                signal.is_queued.store(false, Ordering::Release);
                // While it is being polled it is not in the map: it may spawn others.
                let task = self.tasks.borrow_mut().remove(&signal.task);
                if let Some(mut task) = task {
                    let context = &mut Context::from_waker(&task.waker);
                    if task.future.as_mut().poll(context).is_pending() {
                        self.tasks.borrow_mut().insert(signal.task, task);
                    }
                }
            }
            self.wait()?;
        }
    }

    /// The reactor: wakes the tasks whose sources are ready or whose timers are due. Waits
    /// for that, unless a task is ready to run.
    fn wait(&self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        let idle = self.ready.queue().is_empty();
        let next = self.timers.borrow().iter().map(|(due, _)| *due).min();
        let timeout = match next.filter(|_| idle) {
            Some(due) => Some(due.saturating_duration_since(Instant::now())),
            None => (!idle).then_some(Duration::ZERO),
        };
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).expect("it is short"));
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()))?;
        for event in events {
            let (data, flags) = (event.data, event.flags);
            if let Some([reader, writer]) = self.waiting.borrow_mut().get_mut(&data.u64()) {
                let broken = epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                if flags.intersects(broken | epoll::EventFlags::IN | epoll::EventFlags::RDHUP) {
                    reader.take().into_iter().for_each(Waker::wake);
                }
                if flags.intersects(broken | epoll::EventFlags::OUT) {
                    writer.take().into_iter().for_each(Waker::wake);
                }
            }
        }
        let now = Instant::now();
        let due =
            self.timers.borrow_mut().extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>();
        due.into_iter().for_each(|(_, waker)| waker.wake());
        Ok(())
    }
}

/// A socket that tasks can wait for.
pub struct Source<T> {
    pub of: T,
    key: u64,
    runtime: Rc<Runtime>,
}

#[derive(Clone, Copy)]
pub enum For {
    Reading,
    Writing,
}

impl<T: AsFd> Source<T> {
    pub fn new(runtime: &Rc<Runtime>, of: T) -> io::Result<Source<T>> {
        let key = runtime.new_key();
        let edges = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&runtime.epoll, &of, epoll::EventData::new_u64(key), edges)?;
        runtime.waiting.borrow_mut().insert(key, [None, None]);
        Ok(Source { of, key, runtime: Rc::clone(runtime) })
    }

    /// The leaf of all I/O: tries, and if that would block, again after the next event.
    /// epoll is edge-triggered, so there will be one.
    pub async fn attempt<'a, R>(
        &'a self,
        what: For,
        mut operation: impl FnMut(&'a T) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|context| match operation(&self.of) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut waiting = self.runtime.waiting.borrow_mut();
                let both = waiting.get_mut(&self.key).expect("inserted by new");
                both[what as usize] = Some(context.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        })
        .await
    }
}

impl<T> Drop for Source<T> {
    fn drop(&mut self) {
        self.runtime.waiting.borrow_mut().remove(&self.key);
    }
}

pub async fn sleep(runtime: &Runtime, duration: Duration) {
    let due = Instant::now() + duration;
    poll_fn(|context| {
        if Instant::now() >= due {
            return Poll::Ready(());
        }
        runtime.timers.borrow_mut().push((due, context.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// Lets all other ready tasks run first.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
