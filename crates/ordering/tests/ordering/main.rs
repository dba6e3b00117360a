//! The checker against everything that can tell whether it is right.

mod accounting;
mod brute_force;
mod counterexamples;
mod files;
mod forgeries;
mod labelled;
mod oracle;
mod properties;
mod random;
mod recording;
