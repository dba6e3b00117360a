//! Results in the forms that people and other tools read.

pub mod human;
pub mod junit;
