//! Reaching a server: the connection, TLS, and the WebSocket's handshake, within a bounded time.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tungstenite::client::{ClientRequestBuilder, client_with_config};
use tungstenite::handshake::HandshakeError;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error as WebSocketError, WebSocket};
use zillions_client::connect;

use crate::address::{Carrier, ServerAddress};
use crate::socket::Socket;
use crate::tls;
use crate::transport::{Stream, Transport};

/// How long the handshakes after the connection may take together.
const HANDSHAKE_SECONDS_MAX: u64 = 10;

/// The largest WebSocket message that is accepted, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Whom to reach, and with what.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: ServerAddress,
    /// There if the address needs it.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) token: Option<String>,
}

/// Connects and shakes hands. The error is one line that names the address.
pub(crate) fn dial(target: &Target) -> Result<Transport, String> {
    let stream = connect(&target.address.host)?;
    let deadline = Instant::now() + Duration::from_secs(HANDSHAKE_SECONDS_MAX);
    let reached = Socket::until(stream, deadline)
        .map_err(|error| error.to_string())
        .and_then(|socket| shake_hands(target, socket));
    reached.map_err(|reason| format!("cannot connect to {}: {reason}", target.address))
}

fn shake_hands(target: &Target, socket: Socket) -> Result<Transport, String> {
    let stream = match &target.tls {
        Some(config) => {
            Stream::Tls(Box::new(tls::shake_hands(config, target.address.host.host(), socket)?))
        }
        None => Stream::Plain(socket),
    };
    let polled = |stream: &mut Stream| stream.set_polled().map_err(|error| error.to_string());
    match &target.address.carrier {
        Carrier::Stream => {
            let mut stream = stream;
            polled(&mut stream)?;
            Ok(Transport::Stream { stream, unsent: Vec::new() })
        }
        Carrier::WebSocket { .. } => {
            let mut socket = upgrade(target, stream)?;
            polled(socket.get_mut())?;
            Ok(Transport::WebSocket(Box::new(socket)))
        }
    }
}

fn upgrade(target: &Target, stream: Stream) -> Result<WebSocket<Stream>, String> {
    let uri: Uri = target.address.to_string().parse().map_err(|error| format!("{error}"))?;
    let mut request = ClientRequestBuilder::new(uri);
    if let Some(token) = &target.token {
        request = request.with_header("Authorization", format!("Bearer {token}"));
    }
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MESSAGE_BYTES_MAX);
    config.max_frame_size = Some(MESSAGE_BYTES_MAX);
    match client_with_config(request, stream, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(error)) => Err(reason(&error)),
        Err(HandshakeError::Interrupted(_)) => Err(timed_out()),
    }
}

fn timed_out() -> String {
    "the WebSocket handshake timed out".to_owned()
}

/// What went wrong, and what to do where that is known.
fn reason(error: &WebSocketError) -> String {
    match error {
        WebSocketError::Http(response) => {
            let status = response.status();
            match status.as_u16() {
                401 | 403 => {
                    format!("the server answered {status}: give a token with --token-file")
                }
                _ => format!("the server answered {status}: no WebSocket is at this address"),
            }
        }
        WebSocketError::Io(error) if error.kind() == io::ErrorKind::TimedOut => timed_out(),
        WebSocketError::Io(error) => error.to_string(),
        WebSocketError::HttpFormat(_) | WebSocketError::Protocol(_) => {
            format!("the server does not speak WebSocket here ({error})")
        }
        error => error.to_string(),
    }
}
