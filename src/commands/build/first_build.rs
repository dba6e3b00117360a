//! How long an entry takes to build where nothing of it is built yet.
//!
//! A second build does next to nothing, and its time says nothing. So the time of the one that
//! made the program is kept.

use serde::{Deserialize, Serialize};
use zillions_bench::program;
use zillions_harness::manifest::Entry;

use crate::cache::Cache;

/// Name and version of what is kept.
const SCHEMA: &str = "zillions.first-build/1";

#[derive(Serialize, Deserialize)]
struct Kept {
    schema: String,
    seconds: f64,
}

/// What can be known of the first build, found out before a build.
pub(super) enum FirstBuild {
    /// This is it; the time is kept under this name.
    Now(String),
    /// The command makes everything anew each time.
    EveryTime,
    /// It was then, and took this long; `None` if nobody looked.
    Past(Option<f64>),
}

/// Looks at `entry`, built by tools of these versions, before it is built.
pub(super) fn before(entry: &Entry, versions: &[String]) -> FirstBuild {
    let is_made_here = entry.manifest.run.first().is_some_and(|program| program.contains('/'));
    if !is_made_here {
        return FirstBuild::EveryTime;
    }
    let folder = entry.directory.display().to_string();
    let name = program::hash_of_texts(&[folder.as_str(), &versions.join("\0")]) + ".json";
    if entry.launch().is_err() {
        return FirstBuild::Now(name);
    }
    let kept: Option<Kept> = Cache::open("first-builds").and_then(|cache| cache.recall(&name));
    FirstBuild::Past(kept.filter(|kept| kept.schema == SCHEMA).map(|kept| kept.seconds))
}

impl FirstBuild {
    /// How long the first build took, if the one that was about to begin took `seconds`.
    pub(super) fn took(self, seconds: f64) -> Option<f64> {
        match self {
            Self::Now(name) => {
                if let Some(cache) = Cache::open("first-builds") {
                    cache.remember(&name, &Kept { schema: SCHEMA.to_owned(), seconds });
                }
                Some(seconds)
            }
            Self::EveryTime => Some(seconds),
            Self::Past(known) => known,
        }
    }
}
