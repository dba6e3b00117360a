//! The list of clients, in pages.

use std::time::SystemTime;

use serde::Serialize;

use super::asker::Asker;
use crate::http::Answer;
use crate::questions::{ClientState, Question};

/// How many clients one answer lists, unless the request says otherwise, and at most.
const CLIENTS_DEFAULT: usize = 1000;
pub(super) const CLIENTS_MAX: usize = 10_000;
/// How many a shard lists at once.
const CLIENTS_PER_QUESTION_MAX: usize = 500;

/// A client, as the answer has it.
#[derive(Serialize)]
struct ClientRow {
    id: String,
    address: String,
    room: String,
    protocol: &'static str,
    joined: String,
    sent_messages: u64,
    dropped_messages: u64,
    lag_messages: u64,
    lag_bytes: u64,
}

/// The answer to `GET /clients`.
#[derive(Serialize)]
pub(super) struct ClientList {
    clients: Vec<ClientRow>,
    /// What `after` of the next request is, if there may be more.
    next: Option<String>,
}

/// Which client: its shard and its key there, as `SHARD-KEY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientId {
    pub(super) shard: usize,
    pub(super) key: u64,
}

impl ClientId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (shard, key) = text.split_once('-')?;
        Some(Self { shard: shard.parse().ok()?, key: key.parse().ok()? })
    }

    pub(super) fn text(self) -> String {
        format!("{}-{}", self.shard, self.key)
    }
}

/// Which part of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    after: Option<ClientId>,
    limit: usize,
}

impl Page {
    /// `after` and `limit` of a query; `None` if it has anything else.
    pub(super) fn parse(query: &str) -> Option<Self> {
        let mut page = Self { after: None, limit: CLIENTS_DEFAULT };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=')? {
                ("after", id) => page.after = Some(ClientId::parse(id)?),
                ("limit", limit) => {
                    page.limit = limit.parse().ok().filter(|it| (1..=CLIENTS_MAX).contains(it))?;
                }
                _ => return None,
            }
        }
        Some(page)
    }
}

/// Asks one shard after the other.
pub(super) async fn list(asker: &Asker, page: Page) -> Result<ClientList, Answer> {
    let now = SystemTime::now();
    let mut clients: Vec<ClientRow> = Vec::new();
    let mut last = None;
    for shard in page.after.map_or(0, |id| id.shard)..asker.shared().shards() {
        let mut after = page.after.filter(|id| id.shard == shard).map(|id| id.key);
        loop {
            let limit = (page.limit - clients.len()).min(CLIENTS_PER_QUESTION_MAX);
            if limit == 0 {
                return Ok(ClientList { clients, next: last.map(ClientId::text) });
            }
            let question = |reply| Question::Clients { after, limit, reply };
            let states = asker.ask(shard, question).await?;
            let (listed, newest) = (states.len(), states.last().map(|state| state.key));
            clients.extend(states.into_iter().map(|state| row(shard, state, now)));
            let Some(key) = newest else { break };
            after = Some(key);
            last = Some(ClientId { shard, key });
            if listed < limit {
                break;
            }
        }
    }
    Ok(ClientList { clients, next: None })
}

fn row(shard: usize, state: ClientState, now: SystemTime) -> ClientRow {
    let joined = now.checked_sub(state.connected).unwrap_or(now);
    ClientRow {
        id: ClientId { shard, key: state.key }.text(),
        address: state.peer.to_string(),
        room: state.room,
        protocol: state.protocol,
        joined: humantime::format_rfc3339_seconds(joined).to_string(),
        sent_messages: state.sent_messages,
        dropped_messages: state.dropped_messages,
        lag_messages: state.lag_messages,
        lag_bytes: state.lag_bytes,
    }
}
