//! fringe's own tests, as published, except for `fpe.rs`, which needs a nightly compiler.
#![allow(warnings, clippy::all)]

extern crate fringe;

mod generator {
    include!(concat!(env!("OUT_DIR"), "/crate/tests/generator.rs"));
}

mod iterator {
    include!(concat!(env!("OUT_DIR"), "/crate/tests/iterator.rs"));
}

mod stack {
    include!(concat!(env!("OUT_DIR"), "/crate/tests/stack.rs"));
}
