//! gjio 0.1.3 from the registry with `gjio.patch` applied.
#![allow(warnings, clippy::all)] // 2016's idioms, not our code

include!(concat!(env!("OUT_DIR"), "/crate/src/lib.rs"));
