//! How long an entry takes to build where nothing of it is built yet.
//!
//! A second build does next to nothing, and its time says nothing. So the time of the one that
//! made the program is kept.

use zillions_harness::manifest::Entry;
use zillions_source::hash_of_texts;

use crate::cache::Cache;

/// The cache of the times of first builds, in seconds; `None` without a cache folder.
fn kept() -> Option<Cache> {
    Cache::open("first-builds", "zillions.first-build/2")
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
    let name = hash_of_texts([folder.as_str(), &versions.join("\0")]) + ".json";
    if entry.launch().is_err() {
        return FirstBuild::Now(name);
    }
    FirstBuild::Past(kept().and_then(|cache| cache.recall(&name)))
}

impl FirstBuild {
    /// How long the first build took, if the one that was about to begin took `seconds`.
    pub(super) fn took(self, seconds: f64) -> Option<f64> {
        match self {
            Self::Now(name) => {
                if let Some(cache) = kept() {
                    cache.remember(&name, &seconds);
                }
                Some(seconds)
            }
            Self::EveryTime => Some(seconds),
            Self::Past(known) => known,
        }
    }
}
