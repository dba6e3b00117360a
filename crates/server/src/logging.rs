//! Log lines, to standard error.

use std::io;

use tracing::Level;
use tracing_subscriber::fmt;

use crate::options::{LogFormat, LogLevel, Options};

/// Installs the process's log as the options say. A process that already has one keeps it.
pub(crate) fn install(options: &Options) {
    let level = match options.log_level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let lines = fmt().with_max_level(level).with_writer(io::stderr).with_target(false);
    let _ = match options.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.with_ansi(false).finish()),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish())
        }
    };
}
