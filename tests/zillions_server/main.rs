//! `zillions-server` as a user and an operator see it: a process, sockets, signals.

mod admin;
mod clients;
mod cluster;
mod cluster_faults;
mod config;
mod edges;
mod ending;
mod endpoint;
mod engines;
mod idle;
mod lame_duck;
mod limits;
mod log;
mod manager;
mod manual;
mod metrics;
mod nats;
mod promlint;
mod refusals;
mod reload;
mod rooms;
mod serving;
mod slow_readers;
mod support;
mod tls;
mod websocket;
