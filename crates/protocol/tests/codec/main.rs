//! The codec from outside: the spec's test vectors and what holds for every stream.

mod in_pieces;
mod properties;
mod spec_vectors;
