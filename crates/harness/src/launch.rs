//! What to start: a program, its arguments before the address, and its limits.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::broker::Broker;

/// A server that can be started. By the spec, the address is appended as the last argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The executable.
    pub program: PathBuf,
    /// Arguments that come before the address.
    pub arguments: Vec<OsString>,
    /// Further addresses that it is told to listen on, after the first; the spec knows none, and
    /// `zillions-server` takes them.
    pub more_addresses: Vec<SocketAddr>,
    /// Whether `tls://` stands before the address, on the command line and in its line; the spec knows
    /// no TLS, and `zillions-server` speaks it there.
    pub tls: bool,
    /// The working directory; the tool's own if `None`.
    pub directory: Option<PathBuf>,
    /// Most descriptors that the server may have open (soft and hard limit);
    /// the tool's own limit if `None`.
    pub descriptor_limit: Option<u64>,
    /// Whether variables that would change an entry of the gallery are kept from it; a program from
    /// elsewhere gets all of the user's.
    pub clean_environment: bool,
    /// How it is told its address and shows that it is ready, if not by the spec.
    pub broker: Option<Broker>,
}

/// Why something cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No such file.
    #[error("no executable at '{}': check the path, or build it first", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A directory, a device.
    #[error("'{}' is not a file that can be executed", path.display())]
    NotAFile {
        /// The path as given.
        path: PathBuf,
    },
    /// The x bit is missing.
    #[error("'{}' is not executable: chmod +x it, or name the built program", path.display())]
    NotExecutable {
        /// The path as given.
        path: PathBuf,
    },
    /// Its metadata cannot be read.
    #[error("cannot look at '{}': {source}", path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The file that a shell would run for `program`: one without a folder is looked for in `PATH`.
#[must_use]
pub fn locate(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

impl Launch {
    /// A launch of `program`, wherever it is, with no arguments but the address.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            more_addresses: Vec::new(),
            tls: false,
            directory: None,
            descriptor_limit: None,
            clean_environment: false,
            broker: None,
        }
    }

    /// A launch of the executable at `path`, with no arguments but the address.
    ///
    /// The path is made absolute, so that it stays right in any directory.
    ///
    /// # Errors
    /// When there is no executable file at `path`.
    pub fn executable(path: impl AsRef<Path>) -> Result<Self, LaunchError> {
        let path = path.as_ref().to_owned();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LaunchError::Missing { path });
            }
            Err(source) => return Err(LaunchError::Unreadable { path, source }),
        };
        if !metadata.is_file() {
            return Err(LaunchError::NotAFile { path });
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(LaunchError::NotExecutable { path });
        }
        // Not resolved any further: a program may look at the link it was
        // called by (Python's virtual environments do).
        let program = std::path::absolute(&path)
            .map_err(|source| LaunchError::Unreadable { path, source })?;
        Ok(Self::new(program))
    }

    /// What stands before the address.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls { "tls://" } else { "" }
    }

    /// The command line without the address, for people and results.
    pub fn command(&self) -> Vec<String> {
        std::iter::once(self.program.as_os_str())
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }
}
