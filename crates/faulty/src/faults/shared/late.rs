//! A deviation that makes some deliveries a moment later than others.

use std::time::Duration;

use crate::client::{Client, ClientId, End, Message, State};
use crate::deviation::{Deviation, correct};
use crate::error::Error;
use crate::faults::shared::held::Held;
use crate::server_state::{Context, ServerState};

/// How much later than others some receivers get a message.
const LATE: Duration = Duration::from_millis(1);

/// What decides whether a delivery is late.
#[derive(Default)]
pub(crate) struct Delivery {
    pub(crate) sender: ClientId,
    pub(crate) receiver: ClientId,
    pub(crate) body_bytes: usize,
    /// How many clients there are, and whether one has left.
    pub(crate) clients: usize,
    pub(crate) someone_left: bool,
}

impl Delivery {
    /// Every other client belongs to the other half.
    pub(crate) fn is_other_half(&self) -> bool {
        self.sender % 2 != self.receiver % 2
    }
}

/// Makes some deliveries at once, and the rest a moment later.
pub(crate) struct Late {
    held: Held,
    delivery: Delivery,
    is_late: fn(&Delivery) -> bool,
}

impl Late {
    pub(crate) fn make(is_late: fn(&Delivery) -> bool) -> Box<dyn Deviation> {
        Box::new(Self { held: Held::new(LATE), delivery: Delivery::default(), is_late })
    }
}

impl Deviation for Late {
    fn enqueue(&mut self, client: &mut Client, message: &Message, context: &Context) {
        self.delivery.sender = message.sender;
        self.delivery.receiver = client.id;
        self.delivery.body_bytes = message.body().len();
        if client.state == State::Open && (self.is_late)(&self.delivery) {
            self.held.hold(client.id, message.clone());
        } else {
            correct::enqueue(self, client, message, context);
        }
    }

    fn turn(&mut self, state: &mut ServerState) -> Result<(), Error> {
        self.delivery.clients = state.clients.len();
        self.held.release(state);
        Ok(())
    }

    fn left(&mut self, _state: &mut ServerState, client: Client, _end: End) {
        self.delivery.someone_left = true;
        drop(client);
    }

    fn wait_max(&self) -> Option<Duration> {
        self.held.wait_max()
    }

    fn holds_back_for(&self, id: ClientId) -> bool {
        self.held.holds_for(id)
    }
}
