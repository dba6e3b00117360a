//! fringe 1.2.1 from the registry with `fringe.patch` applied, on our own context
//! switch: `arch.rs` replaces fringe's `src/arch/`.
#![no_std]
#![allow(warnings, clippy::all)] // 2016's idioms, not our code

mod arch;

include!(concat!(env!("OUT_DIR"), "/crate/src/lib.rs"));
