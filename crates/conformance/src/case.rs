//! What a case is.

use crate::context::CaseContext;
use crate::fixture::Fixture;
use crate::spec::{self, Clause};
use crate::traits::{Bound, Traits};
use crate::verdict::{Level, Outcome};

/// One thing that a server must do, and how that is tested.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Stable name, `group/what-holds`; never reused.
    pub id: &'static str,
    /// The clause of `docs/spec.md` that it tests.
    pub clause: &'static str,
    /// How much it weighs.
    pub level: Level,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What it needs and how it is scheduled.
    pub traits: Traits,
    /// Its function.
    pub run: Run,
}

/// The function of a case.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Acts on one fixture with a fresh server.
    WithFixture(fn(&mut Fixture) -> Outcome),
    /// Starts servers itself.
    WithContext(fn(&mut CaseContext) -> Outcome),
}

impl Case {
    /// A MUST case that runs beside others in a fixture of its own.
    pub(crate) const fn must(
        id: &'static str,
        clause: &'static str,
        summary: &'static str,
        run: fn(&mut Fixture) -> Outcome,
    ) -> Self {
        let traits = Traits::NONE;
        Self { id, clause, level: Level::Must, summary, traits, run: Run::WithFixture(run) }
    }

    /// A MUST case that starts, stops or measures servers itself.
    pub(crate) const fn must_launching(
        id: &'static str,
        clause: &'static str,
        summary: &'static str,
        run: fn(&mut CaseContext) -> Outcome,
    ) -> Self {
        let traits = Traits { launches: true, ..Traits::NONE };
        Self { id, clause, level: Level::Must, summary, traits, run: Run::WithContext(run) }
    }

    /// The same, weighing only as a SHOULD.
    pub(crate) const fn should(mut self) -> Self {
        self.level = Level::Should;
        self
    }

    /// The same, in the quick selection too.
    pub(crate) const fn quick(mut self) -> Self {
        self.traits.quick = true;
        self
    }

    /// The same, with nothing beside it but what waits.
    pub(crate) const fn alone(mut self) -> Self {
        self.traits.alone = true;
        self
    }

    /// The same, beside all others: it does nothing for seconds.
    pub(crate) const fn idling(mut self) -> Self {
        self.traits.idles = true;
        self
    }

    /// The same, for servers that the suite starts itself.
    pub(crate) const fn launching(mut self) -> Self {
        self.traits.launches = true;
        self
    }

    /// The same, at one address of a server that has several.
    pub(crate) const fn at_one_node(mut self) -> Self {
        self.traits.one_node = true;
        self
    }

    /// The same, sending as much as the server works off in about a second.
    pub(crate) const fn at_its_pace(mut self) -> Self {
        self.traits.bound = Bound::Pace;
        self
    }

    /// The same, sending as much as the kernel's buffers take.
    pub(crate) const fn filling_buffers(mut self) -> Self {
        self.traits.bound = Bound::Buffers;
        self
    }

    /// The same, sending so many bytes at once.
    pub(crate) const fn sending(mut self, bytes: u64) -> Self {
        self.traits.bound = Bound::Bytes(bytes);
        self
    }

    /// The part of the id before the slash.
    pub fn group(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }

    /// The clause's level and text, from the document.
    ///
    /// # Panics
    /// Never: a test holds every case to a clause that exists.
    pub fn clause(&self) -> &'static Clause {
        spec::clause(self.clause).expect("every case names a clause of the document")
    }
}
