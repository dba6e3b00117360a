//! What one run remembers for the next, in the user's cache folder. Losing it costs time only.

use std::fs;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Values of one kind, a file each.
pub(crate) struct Cache {
    folder: PathBuf,
    schema: &'static str,
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    schema: String,
    value: T,
}

impl Cache {
    /// The values called `kind`, of the form that has the name and version `schema`; `None` if
    /// the user has no cache folder.
    pub(crate) fn open(kind: &str, schema: &'static str) -> Option<Self> {
        let folder = dirs::cache_dir()?.join("zillions").join(kind);
        Some(Self { folder, schema })
    }

    /// The value that was kept under `name`; `None` for any other content.
    pub(crate) fn recall<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let json = fs::read(self.folder.join(name)).ok()?;
        let kept: Kept<T> = serde_json::from_slice(&json).ok()?;
        (kept.schema == self.schema).then_some(kept.value)
    }

    /// Keeps a value. If that fails, the next run computes it again.
    pub(crate) fn remember<T: Serialize>(&self, name: &str, value: &T) {
        let kept = Kept { schema: self.schema.to_owned(), value };
        let path = self.folder.join(name);
        let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| serde_json::to_vec_pretty(&kept).map_err(Into::into))
            .and_then(|json| fs::write(&unfinished, json))
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
    }
}
