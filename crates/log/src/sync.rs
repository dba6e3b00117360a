//! The synchronisation primitives: the standard ones, or loom's, which try every
//! interleaving and every stale read that the memory model allows.

#[cfg(loom)]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
    sync::{Arc, Mutex, MutexGuard},
};
#[cfg(not(loom))]
pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
    sync::{Arc, Mutex, MutexGuard},
};

/// A value that shares its cache lines with no other, so that one thread's
/// stores do not slow another's loads. 128: processors fetch lines in pairs.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Padded<T>(pub(crate) T);
