//! `zillions chat` on a real terminal, with real servers.

mod endings;
mod errors;
mod looks;
mod servers;
mod talking;
mod terminal;
mod tls;
mod web_socket;
