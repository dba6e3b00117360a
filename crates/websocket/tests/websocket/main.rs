//! What clients send, right and wrong, and what they are answered.

mod both_decoders;
mod connection;
mod handshake;
mod page;
mod properties;
mod refused;
mod streams;
