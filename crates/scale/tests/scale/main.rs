//! The simulation's properties, and the tables of its design note.

mod note;
mod outcomes;
mod topologies;
