//! mioco 0.8.1 from the registry with `mioco.patch` applied.
#![allow(warnings, clippy::all)] // 2016's idioms, not our code

include!(concat!(env!("OUT_DIR"), "/crate/lib.rs"));
