//! What ARCHITECTURE.md, CONTRIBUTING.md and docs/ claim of this repository,
//! held by tests: documents that are not tested drift from the code.
//!
//! Each test names every offender with file and line. Where a rule has an
//! exception, it stands beside the rule with its reason, and an exception that
//! nothing needs any more is an offender too.

mod cases;
mod docs;
mod english;
mod files;
mod gallery;
mod impl_toml;
mod invariants;
mod measured;
mod modules;
mod packages;
mod rust;
mod styles;
mod tree;
