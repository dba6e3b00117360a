//! The engines that `--engine` can name, and the choice between them.
//!
//! A new engine is a file that implements [`SocketEngine`], and a row in [`ENGINES`]: options,
//! help and the tests of serving derive from the table.

use std::io;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::de::{Deserialize, Deserializer, Error as _};
use tracing::info;

use crate::epoll::Epoll;
use crate::error::Error;
use crate::io_uring::Uring;
use crate::serve::{Core, Prepared, Unprepared};
use crate::socket_engine::SocketEngine;

/// Every engine; `auto` takes the first that works.
pub const ENGINES: [EngineEntry; 2] = [EngineEntry::of::<Uring>(), EngineEntry::of::<Epoll>()];

const AUTO: &str = "auto";

/// A row of the table of engines.
#[derive(Clone, Copy, Debug)]
pub struct EngineEntry {
    /// As the command line names it.
    pub name: &'static str,
    summary: &'static str,
    probe: fn() -> io::Result<()>,
    advice: fn(&io::Error) -> &'static str,
    prepare: fn(Box<Core>) -> Result<Prepared, Unprepared>,
}

impl EngineEntry {
    const fn of<E: SocketEngine>() -> Self {
        Self {
            name: E::NAME,
            summary: E::SUMMARY,
            probe: E::probe,
            advice: E::advice,
            prepare: Core::prepare::<E>,
        }
    }

    /// Whether it works on this system.
    ///
    /// # Errors
    /// Why not.
    pub fn probe(&self) -> io::Result<()> {
        (self.probe)()
    }
}

/// What `--engine` says.
#[derive(Clone, Copy, Debug)]
pub enum EngineChoice {
    /// The first that works here.
    Auto,
    /// This one.
    Named(EngineEntry),
}

impl<'de> Deserialize<'de> for EngineChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| {
            let names = ENGINES.map(|engine| engine.name).join(", ");
            D::Error::custom(format!("invalid engine '{name}': write {AUTO}, {names}"))
        })
    }
}

impl EngineChoice {
    /// Parses the option's value.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        let auto = PossibleValue::new(AUTO).help("The best that works here");
        let named =
            ENGINES.iter().map(|engine| PossibleValue::new(engine.name).help(engine.summary));
        PossibleValuesParser::new(std::iter::once(auto).chain(named))
            .map(|name| Self::named(&name).expect("a possible value"))
    }

    fn named(name: &str) -> Option<Self> {
        let named = ENGINES.into_iter().find(|engine| engine.name == name);
        named.map(Self::Named).or_else(|| (name == AUTO).then_some(Self::Auto))
    }

    /// Prepares a server with the engine to use; logs which and why.
    pub(crate) fn prepare(self, core: Core) -> Result<Prepared, Error> {
        let mut core = Box::new(core);
        let (engines, option): (&[EngineEntry], _) = match &self {
            Self::Named(engine) => (std::slice::from_ref(engine), ""),
            Self::Auto => (&ENGINES, " auto"),
        };
        let mut failures = String::new();
        let mut last = None;
        for engine in engines {
            match (engine.prepare)(core) {
                Ok(prepared) => {
                    info!(engine = engine.name, "engine chosen by --engine{option}{failures}");
                    return Ok(prepared);
                }
                Err(unprepared) => {
                    core = unprepared.core;
                    let source = unprepared.source;
                    let advice = (engine.advice)(&source);
                    failures += &format!("; {} does not work here: {source}{advice}", engine.name);
                    last = Some(Error::Engine { name: engine.name, advice, source });
                }
            }
        }
        Err(last.expect("at least one engine was tried"))
    }
}
