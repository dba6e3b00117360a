//! The command lines of Zillions. Thin: they parse arguments, call the crates,
//! and print what comes back.
//!
//! [`cli`] is the definition that help, completions and manual pages come
//! from; [`commands`] has one file per subcommand, none of which uses another's; what they share
//! is in [`options`], `addresses`, `building`, `checking`, `progress` and `table`; [`selection`] decides which
//! entries of the gallery are meant, and [`targets`] turns what a user names into something that
//! can be started; [`failure`] is the one way to say that something went wrong.

mod addresses;
mod building;
mod cache;
mod checking;
pub mod cli;
pub mod commands;
pub mod failure;
mod gallery_table;
pub mod options;
pub mod output;
mod preflight;
mod progress;
pub mod selection;
pub mod stresstest;
mod table;
pub mod targets;
mod tool;
