//! How the thread of administration asks a shard.
//!
//! The thread has descriptors of its own, so it can wake nobody, nor be woken, by a descriptor: the
//! numbers of the one mean others in the table of the other. So it leaves its question with the
//! shard, has the main thread notify that, and looks for the answer once in a while.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError, sync_channel};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use crate::http::{Answer, text};
use crate::questions::{Question, Reply};
use crate::shared::Shared;
use crate::supervision::Event;

/// How long a shard may take to answer.
const SHARD_TIME_MAX: Duration = Duration::from_secs(1);
/// How often its answer is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What is needed to ask shards.
#[derive(Clone)]
pub(crate) struct Asker {
    shared: Arc<Shared<OwnedFd>>,
    events: Sender<Event>,
}

impl Asker {
    pub(crate) fn new(shared: Arc<Shared<OwnedFd>>, events: Sender<Event>) -> Self {
        Self { shared, events }
    }

    pub(super) fn shared(&self) -> &Shared<OwnedFd> {
        &self.shared
    }

    /// Asks a shard, and waits for its answer; a refusal if there is none in time.
    pub(super) async fn ask<T>(
        &self,
        shard: usize,
        question: impl FnOnce(Reply<T>) -> Question,
    ) -> Result<T, Answer> {
        let silent = || {
            let reason = format!("shard {shard} does not answer\n");
            text(StatusCode::SERVICE_UNAVAILABLE, &reason)
        };
        let (reply, answer) = sync_channel(1);
        let deadline = Instant::now() + SHARD_TIME_MAX;
        if !self.shared.ask(shard, question(reply))
            || self.events.send(Event::Asked(shard)).is_err()
        {
            return Err(silent());
        }
        loop {
            match answer.try_recv() {
                Ok(answer) => return Ok(answer),
                Err(TryRecvError::Empty) if Instant::now() < deadline => sleep(LOOK_INTERVAL).await,
                Err(_) => return Err(silent()),
            }
        }
    }
}
