//! The server's side of WebSocket (RFC 6455) for the chat protocol, without I/O: bytes that were
//! received go in, bytes of chat frames and bytes to send come out.
//!
//! A [`Connection`] begins with the HTTP request that opens it ([`handshake`]) and goes on with
//! WebSocket frames ([`Decoder`]). Only binary messages carry chat frames, one or many, and each
//! carries whole ones. The other way a [`header`](message_header) and any number of whole chat
//! frames are one message. To a browser that asks for `/` the server answers with a chat page
//! ([`page`]).
//!
//! Why it is built so: `docs/design/0017-websocket.md`.

#![forbid(unsafe_code)]

mod close;
mod connection;
mod decode;
mod encode;
pub mod handshake;
mod mask;
pub mod page;
mod policy;
mod violation;

pub use close::{CloseCode, CloseReason};
pub use connection::{Connection, Flow};
pub use decode::{CONTROL_BYTES_MAX, Decoder, Event};
pub use encode::{HEADER_BYTES_MAX, MessageHeader, close_frame, message_header, pong_frame};
pub use policy::{InvalidPolicy, Origins, Policy, Token};
pub use violation::Violation;
