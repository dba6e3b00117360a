//! The connections of an HTTP endpoint, each bounded in time and memory, and their number too.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::answer::Answer;

/// How many connections there may be; one more closes the oldest, which had the most time.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take, from its start to its end.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);
/// How many bytes a request may have before its body.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How many bytes after it are read and discarded, so that a client that still sends sees the
/// answer and not a reset.
const DISCARDED_BYTES_MAX: u64 = 64 * 1024;
/// How long accepting pauses after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts for ever, and gives each request to `answer`.
pub(super) async fn serve<F, R>(listener: TcpListener, name: &'static str, answer: F)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let mut connections: VecDeque<JoinHandle<()>> = VecDeque::new();
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                failing = false;
                connections.retain(|connection| !connection.is_finished());
                if connections.len() >= CONNECTIONS_MAX {
                    close_oldest(&mut connections);
                }
                let answer = answer.clone();
                connections.push_back(tokio::spawn(async move {
                    // Too late or not, it is over.
                    let _ = timeout(CONNECTION_TIME_MAX, converse(stream, answer)).await;
                }));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "cannot accept connections for {name}; retrying");
                }
                close_oldest(&mut connections);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn close_oldest(connections: &mut VecDeque<JoinHandle<()>>) {
    if let Some(oldest) = connections.pop_front() {
        oldest.abort();
    }
}

/// One request, its answer, and the end: nothing is kept for a client that is silent, or that
/// sends requests and does not read.
async fn converse<F, R>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Answer>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // An error is the client's: it has been answered, or is gone.
    let ended = connection.without_shutdown().await;
    let Ok(mut stream) = ended.map(|parts| parts.io.into_inner()) else { return };
    if stream.shutdown().await.is_ok() {
        let mut rest = tokio::io::AsyncReadExt::take(stream, DISCARDED_BYTES_MAX);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
}
