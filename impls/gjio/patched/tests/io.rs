//! gjio's own tests, as published.
#![allow(warnings, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/crate/tests/io.rs"));
