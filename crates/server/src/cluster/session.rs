//! A session: one connection to NATS, the room's stream, and a reader of it. Whatever goes wrong
//! ends it, and the next one begins with what the node knows.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::{ContextBuilder, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::{ConnectOptions, Event, ServerAddr};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::config::{ClusterConfig, Login};
use super::outgoing::Sending;
use super::progress::Progress;
use super::stream::{self, Start};
use crate::tls::tls_reason;

/// How long a connection may take to be made, and NATS to answer.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
/// How often NATS says that a reader to whom nothing comes is still served; after two of these
/// without a word it is not.
const HEARTBEAT: Duration = Duration::from_secs(2);
const PULL_TIME_MAX: Duration = Duration::from_secs(20);
/// How many bytes of the stream are on their way to this node at most.
const PULL_BYTES: usize = 4 * 1024 * 1024;
/// How long NATS keeps a reader whose node has gone.
const INACTIVE_TIME_MAX: Duration = Duration::from_secs(30);
/// What a message takes besides its batch, in bytes: headers.
const HEADERS_BYTES_MAX: usize = 1024;
/// How much is published at once, in bytes, if NATS takes so much.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Something that is under way beside reading.
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection on which everything is as it should be.
pub(super) struct Session {
    pub(super) messages: pull::Stream,
    /// What became of the connection.
    pub(super) events: UnboundedReceiver<Event>,
    pub(super) batch_bytes_max: usize,
    /// Which message of this reader is the next one, from 1 on.
    pub(super) reader_next: u64,
    pub(super) start: Start,
    context: Context,
    stream: Stream,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Published {
    /// It is in the stream, there.
    Stored(u64),
    /// It is not: the last batch of this node is another one, there; 0 if there is none.
    Behind(u64),
    /// It is not known, for this reason.
    Unknown(String),
}

impl Session {
    /// Connects, finds or makes the stream, and begins to read where the node has got to.
    ///
    /// # Errors
    /// One line that says why not, and what to do.
    pub(super) async fn open(config: &ClusterConfig, progress: &Progress) -> Result<Self, String> {
        let (sender, events) = unbounded_channel();
        let servers = config.servers.iter().map(|url| url.parse::<ServerAddr>());
        let servers: Vec<_> = servers.collect::<Result<_, _>>().map_err(|it| it.to_string())?;
        let options = options(config).event_callback(move |event| {
            // Nobody hears it after the session.
            let _ = sender.send(event);
            std::future::ready(())
        });
        let client = options.connect(servers).await.map_err(|error| {
            tls_reason(&error, "--cluster-ca-file").unwrap_or_else(|| error.to_string())
        })?;
        let room_for_batch = client.max_payload().saturating_sub(HEADERS_BYTES_MAX);
        let context = ContextBuilder::new().timeout(ANSWER_TIME_MAX).build(client);
        let stream = stream::open(&context, config).await?;
        let start = stream::start(&stream, progress).await?;
        let (Start::At(start_sequence) | Start::Anew(start_sequence)) = start;
        let consumer = stream
            .create_consumer(pull::Config {
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
                ack_policy: AckPolicy::None,
                inactive_threshold: INACTIVE_TIME_MAX,
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            })
            .await
            .map_err(|error| format!("cannot read the stream: {error}"))?;
        let reading = consumer.stream().max_bytes_per_batch(PULL_BYTES).heartbeat(HEARTBEAT);
        let messages = reading.expires(PULL_TIME_MAX).messages().await;
        Ok(Self {
            messages: messages.map_err(|error| format!("cannot read the stream: {error}"))?,
            events,
            batch_bytes_max: BATCH_BYTES_MAX.min(room_for_batch),
            reader_next: 1,
            start,
            context,
            stream,
        })
    }

    /// Publishes a batch behind the last one of its node.
    pub(super) fn publish(
        &self,
        room: &str,
        sending: &Sending,
        last_sequence: u64,
    ) -> Pending<Published> {
        let (context, stream) = (self.context.clone(), self.stream.clone());
        let (id, frames) = (sending.id.message_id(), sending.frames.clone());
        let subject = stream::subject(room, &sending.id.node);
        Box::pin(async move {
            let message = PublishMessage::build()
                .payload(frames.into())
                .message_id(&id)
                .expected_last_subject_sequence(last_sequence);
            let stored = match context.send_publish(subject.clone(), message).await {
                Ok(answer) => answer.await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(answer) => Published::Stored(answer.sequence),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    find_last(&stream, &subject, &id).await
                }
                Err(error) => Published::Unknown(error.to_string()),
            }
        })
    }

    /// Asks whether the stream could store something.
    pub(super) fn check(&self) -> Pending<Result<(), String>> {
        let stream = self.stream.clone();
        Box::pin(async move {
            let info = stream.get_info().await.map_err(|error| error.to_string())?;
            stream::check_leader(&info)
        })
    }
}

/// What the stream holds last of a node: perhaps the batch with this id.
async fn find_last(stream: &Stream, subject: &str, id: &str) -> Published {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => match message.headers.get(NATS_MESSAGE_ID) {
            Some(found) if found.as_str() == id => Published::Stored(message.sequence),
            _ => Published::Behind(message.sequence),
        },
        Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
            Published::Behind(0)
        }
        Err(error) => Published::Unknown(error.to_string()),
    }
}

fn options(config: &ClusterConfig) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        .name(format!("zillions-server {}", config.room))
        .connection_timeout(CONNECT_TIME_MAX)
        .request_timeout(Some(ANSWER_TIME_MAX));
    options = match &config.login {
        None => options,
        Some(Login::Password(user, password)) => {
            options.user_and_password(user.clone(), password.clone())
        }
        Some(Login::Token(token)) => options.token(token.clone()),
    };
    match &config.ca {
        None => options,
        Some(path) => options.add_root_certificates(path.clone()).require_tls(true),
    }
}
