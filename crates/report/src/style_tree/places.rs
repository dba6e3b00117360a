//! Where each style stands: the one definition of the family tree and of the table of styles.

/// What stops the code of one client where it has to wait, and lets it go on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspender {
    /// Code never waits.
    Nobody,
    /// The program makes a value of what is left to do.
    Program,
    /// The compiler, at a mark in the source.
    Compiler,
    /// A runtime or a library, in any call, with the stack.
    Runtime,
    /// The kernel, a whole thread.
    Kernel,
}

/// What decides whose code runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// A loop that the program contains, on one thread.
    OwnLoop,
    /// The loop of a library or of the language, on one thread.
    EventLoop,
    /// A runtime that takes turns on one thread, by time.
    TimeSlices,
    /// A library or a runtime that hands tasks to a pool of threads.
    Pool,
    /// The kernel.
    Kernel,
}

/// Where the messages of a client that sends too fast are held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastSender {
    /// Its code waits in a call: a send, a lock, an entry, a claim.
    BlockingCall,
    /// It gets leave for so many, and sends no more.
    Demand,
    /// Nobody reads them, so they stay in the socket.
    KernelBuffers,
}

/// What a client misses that reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullQueue {
    /// The messages that have no room.
    DropsNewest,
    /// Those that have waited the longest.
    DropsOldest,
}

/// The place of one style: that of its representative in the gallery.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The style, as its section in docs/styles.md is called.
    pub style: &'static str,
    /// What suspends.
    pub suspender: Suspender,
    /// What schedules.
    pub scheduler: Scheduler,
    /// Back-pressure before the sequencing point.
    pub fast_sender: FastSender,
    /// Back-pressure behind it.
    pub full_queue: FullQueue,
    /// The same for the table, in words, for all entries of the style: what a wait suspends, who
    /// schedules and where, what becomes of a fast sender, and what one client holds.
    pub words: [&'static str; 4],
}

use FastSender::{BlockingCall, Demand, KernelBuffers};
use FullQueue::{DropsNewest, DropsOldest};
use Scheduler::{EventLoop, OwnLoop, Pool, TimeSlices};
use Suspender::{Compiler, Nobody, Program, Runtime};

const fn place(
    style: &'static str,
    (suspender, scheduler): (Suspender, Scheduler),
    (fast_sender, full_queue): (FastSender, FullQueue),
    words: [&'static str; 4],
) -> Place {
    Place { style, suspender, scheduler, fast_sender, full_queue, words }
}

const THREADS: (Suspender, Scheduler) = (Suspender::Kernel, Scheduler::Kernel);
const LOOP: &str = "nothing: it would stop the loop";
const KERNEL: &str = "the kernel, anywhere";

/// Every style, in the order of docs/styles.md.
pub const PLACES: [Place; 24] = [
    place(
        "threads + channels",
        THREADS,
        (BlockingCall, DropsNewest),
        ["a thread", KERNEL, "blocks in a full channel", "two threads"],
    ),
    place(
        "threads + locks",
        THREADS,
        (BlockingCall, DropsNewest),
        ["a thread", KERNEL, "waits for the lock", "two threads"],
    ),
    place(
        "monitors",
        THREADS,
        (BlockingCall, DropsNewest),
        ["a thread, at a guarded entry", KERNEL, "queues up at an entry", "two threads"],
    ),
    place(
        "processes",
        THREADS,
        (BlockingCall, DropsOldest),
        ["a process", KERNEL, "waits for the lock", "one or two processes"],
    ),
    place(
        "readiness loop",
        (Nobody, OwnLoop),
        (KernelBuffers, DropsNewest),
        [LOOP, "the program's loop, between events", "is read once per round", "a struct"],
    ),
    place(
        "completion loop",
        (Nobody, OwnLoop),
        (KernelBuffers, DropsNewest),
        [
            LOOP,
            "the program's loop, between completions",
            "finds no buffer to receive into",
            "a struct, and buffers lent to the kernel",
        ],
    ),
    place(
        "callbacks",
        (Nobody, EventLoop),
        (KernelBuffers, DropsNewest),
        [
            LOOP,
            "a library's loop, between callbacks",
            "is read once per round, or paused",
            "an object with handlers",
        ],
    ),
    place(
        "stackful coroutines",
        (Runtime, OwnLoop),
        (KernelBuffers, DropsNewest),
        [
            "a small stack",
            "a loop in the program or a library, at each call that waits",
            "yields after each read",
            "one or two stacks",
        ],
    ),
    place(
        "futures",
        (Program, EventLoop),
        (KernelBuffers, DropsNewest),
        ["a value", "a library, when a poll returns", "yields between messages", "one value"],
    ),
    place(
        "promises",
        (Nobody, EventLoop),
        (KernelBuffers, DropsNewest),
        [
            "a callback",
            "a library, between callbacks",
            "is read again at the end of its chain",
            "a chain of closures",
        ],
    ),
    place(
        "reactive streams",
        (Nobody, Pool),
        (Demand, DropsNewest),
        [
            "nothing: demand is withheld",
            "the executor of the stages",
            "is read only on demand",
            "a subscription",
        ],
    ),
    place(
        "dataflow",
        (Nobody, EventLoop),
        (KernelBuffers, DropsNewest),
        [
            "nothing: values are pushed",
            "a loop, or the scheduler of the nodes",
            "is read once per round, or waits for a node",
            "a few nodes of the graph",
        ],
    ),
    place(
        "CSP",
        (Runtime, Pool),
        (BlockingCall, DropsNewest),
        [
            "a goroutine",
            "a runtime, at channels and calls",
            "waits until the hub receives",
            "two goroutines",
        ],
    ),
    place(
        "synchronous events",
        (Runtime, TimeSlices),
        (BlockingCall, DropsNewest),
        [
            "a green thread, on a choice of events",
            "a runtime, anywhere",
            "waits until the hub takes part",
            "one green thread",
        ],
    ),
    place(
        "green threads",
        (Runtime, Pool),
        (BlockingCall, DropsNewest),
        [
            "a green thread",
            "a runtime, at each call that waits",
            "waits for a lock, or yields",
            "two green threads",
        ],
    ),
    place(
        "green threads + STM",
        (Runtime, Pool),
        (BlockingCall, DropsNewest),
        ["a green thread", "a runtime, anywhere", "waits for its transaction", "two green threads"],
    ),
    place(
        "generators",
        (Compiler, OwnLoop),
        (KernelBuffers, DropsNewest),
        [
            "a frame",
            "the program's trampoline, at each `yield`",
            "is read once per turn",
            "two frames",
        ],
    ),
    place(
        "effect handlers",
        (Program, OwnLoop),
        (KernelBuffers, DropsNewest),
        [
            "a delimited continuation",
            "the program's handler, at each effect",
            "yields after each read",
            "two continuations",
        ],
    ),
    place(
        "async/await",
        (Compiler, Pool),
        (KernelBuffers, DropsOldest),
        ["a task", "a library, at each `await`", "waits for a lock, or yields", "one or two tasks"],
    ),
    place(
        "structured concurrency",
        (Compiler, EventLoop),
        (KernelBuffers, DropsNewest),
        [
            "a task, and with it its scope",
            "a library, at each `await`",
            "is read again when its messages are queued",
            "a scope with two tasks",
        ],
    ),
    place(
        "actors",
        (Runtime, Pool),
        (Demand, DropsNewest),
        [
            "an actor",
            "the kernel or a runtime, between mails",
            "waits for a reply, or for space in a mailbox",
            "one or two actors, or part of one",
        ],
    ),
    place(
        "ring buffer",
        THREADS,
        (BlockingCall, DropsNewest),
        ["a thread, on a sequence number", KERNEL, "waits for a free slot", "a backlog"],
    ),
    place(
        "shared log",
        (Nobody, OwnLoop),
        (KernelBuffers, DropsOldest),
        [
            "a reader at the log's end",
            "whatever runs the readers",
            "is read once per round",
            "an offset",
        ],
    ),
    place(
        "pure core",
        (Nobody, EventLoop),
        (KernelBuffers, DropsNewest),
        [
            "nothing: a function returns",
            "the shell, between events",
            "is read once per round",
            "a value",
        ],
    ),
];
