//! The schema `zillions.results/3`: what a results folder holds.
//!
//! `run.json` is one [`RunRecord`]; each file in `trials/` is one [`TrialRecord`]. Units end the
//! names of fields. The doc comments are `docs/results-format.md`.

mod disturbance;
mod histogram;
mod run;
mod scenario;
mod target;
mod trial;
mod yardstick;

pub use disturbance::{DisturbancesRecord, ProgramRecord};
pub use histogram::{ArrivalsRecord, HistogramError, ScheduleLagRecord};
pub use run::{MachineRecord, RemoteRecord, RunRecord, SCHEMA, ToolRecord};
pub use scenario::{LoadRecord, RankBy, ScenarioRecord};
pub use target::{
    CaseRecord, ConformanceRecord, CostsRecord, IdleRecord, LinesRecord, SourceRecord,
    TargetRecord, TargetStatus,
};
pub use trial::{
    AnomaliesRecord, ExtrasRecord, GeneratorRecord, GeneratorThreadRecord, LostConnectionRecord,
    Measurement, OrderRecord, PairsRecord, Role, ServerRecord, TrialRecord, TrialResult,
};
pub use yardstick::{YardstickKind, YardstickRecord};
