//! The stream of a room: it is made if it is absent, and checked if it is there.

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{Context, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Error as JetStreamError, ErrorCode};
use std::time::Duration;

use super::config::{ClusterConfig, Storage};
use super::progress::Progress;

/// How long NATS recognizes a batch that is sent again by its id; later by its place.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Where reading begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// There, which is the end for a node that is new.
    At(u64),
    /// There, at the end: what the node had read is not what the stream holds. It was lost or
    /// deleted, and begun anew.
    Anew(u64),
}

/// The subject of one node's batches.
pub(super) fn subject(room: &str, node: &str) -> String {
    format!("zillions.{room}.{node}")
}

fn wanted(config: &ClusterConfig) -> Config {
    Config {
        name: format!("zillions-{}", config.room),
        description: Some("The order of a room of zillions-server".into()),
        subjects: vec![subject(&config.room, "*")],
        storage: match config.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        num_replicas: config.replicas,
        max_bytes: i64::try_from(config.bytes_max).unwrap_or(i64::MAX),
        discard: DiscardPolicy::Old,
        retention: RetentionPolicy::Limits,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    }
}

/// The room's stream, as it is now; made if there is none.
///
/// # Errors
/// One line that says why not, and what to do.
pub(super) async fn open(context: &Context, config: &ClusterConfig) -> Result<Stream, String> {
    let wanted = wanted(config);
    let stream = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                create(context, &wanted).await?
            }
            GetStreamErrorKind::JetStream(cause) => return Err(explain(&cause, &wanted)),
            _ => return Err(no_jetstream(&error)),
        },
    };
    check(stream.cached_info(), &wanted)?;
    Ok(stream)
}

async fn create(context: &Context, wanted: &Config) -> Result<Stream, String> {
    let error = match context.create_stream(wanted.clone()).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    match error.kind() {
        // Another node was faster.
        CreateStreamErrorKind::JetStream(cause)
            if cause.error_code() == ErrorCode::STREAM_NAME_EXIST =>
        {
            context.get_stream(&wanted.name).await.map_err(|error| error.to_string())
        }
        CreateStreamErrorKind::JetStream(cause) => Err(explain(&cause, wanted)),
        _ => Err(no_jetstream(&error)),
    }
}

fn no_jetstream(error: &dyn std::error::Error) -> String {
    format!(
        "JetStream does not answer: is it enabled on the NATS servers (nats-server -js), and are \
         most of them there? ({error})"
    )
}

/// What NATS says, and what to do.
fn explain(cause: &JetStreamError, wanted: &Config) -> String {
    let advice = match cause.error_code() {
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            "; enable JetStream (nats-server -js)"
        }
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED => {
            "; one NATS server alone holds one replica: --cluster-replicas 1"
        }
        ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED => {
            "; give JetStream more (max_file_store, max_memory_store), or use a smaller \
             --max-cluster-bytes"
        }
        ErrorCode::STREAM_SUBJECT_OVERLAP => {
            "; another stream takes this room's subjects: choose another --cluster-room"
        }
        _ => "",
    };
    format!("stream '{}': {cause}{advice}", wanted.name)
}

/// Whether a stream that is there is as this node wants it.
fn check(info: &Info, wanted: &Config) -> Result<(), String> {
    let found = &info.config;
    let differences = [
        ("subjects", format!("{:?}", found.subjects), format!("{:?}", wanted.subjects)),
        ("replicas", found.num_replicas.to_string(), wanted.num_replicas.to_string()),
        ("storage", format!("{:?}", found.storage), format!("{:?}", wanted.storage)),
        ("max_bytes", found.max_bytes.to_string(), wanted.max_bytes.to_string()),
        ("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard)),
        ("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention)),
    ];
    for (what, found, wanted_value) in differences {
        if found != wanted_value {
            return Err(format!(
                "stream '{}' has {what} {found}, and this node wants {wanted_value}: use the same \
                 --cluster options on all nodes, change the stream, or choose another \
                 --cluster-room",
                wanted.name
            ));
        }
    }
    if found.sealed || found.mirror.is_some() || found.no_ack {
        return Err(format!("stream '{}' is sealed, a mirror, or confirms nothing", wanted.name));
    }
    Ok(())
}

/// Whether there is somebody to store what is published.
pub(super) fn check_leader(info: &Info) -> Result<(), String> {
    match &info.cluster {
        // Of a single server there is no such information, or no name.
        Some(cluster) if info.config.num_replicas > 1 && cluster.leader.is_none() => {
            Err("the stream has no leader: are most of the NATS servers there?".into())
        }
        _ => Ok(()),
    }
}

/// Where reading begins: where it ended, if the stream is the same, and at its end if not.
///
/// # Errors
/// One line, when NATS does not say.
pub(super) async fn start(stream: &Stream, progress: &Progress) -> Result<Start, String> {
    let info = stream.cached_info();
    check_leader(info)?;
    let end = info.state.last_sequence + 1;
    let next = progress.next();
    if next == 0 {
        return Ok(Start::At(end));
    }
    if end < next {
        return Ok(Start::Anew(end));
    }
    let Some(last_id) = progress.last_id() else { return Ok(Start::At(next)) };
    match stream.get_raw_message(next - 1).await {
        Ok(message) => {
            let id = message.headers.get(NATS_MESSAGE_ID).map(|id| id.as_str());
            let is_same = id == Some(last_id);
            Ok(if is_same { Start::At(next) } else { Start::Anew(end) })
        }
        Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
            Ok(Start::At(next))
        }
        Err(error) => Err(error.to_string()),
    }
}
