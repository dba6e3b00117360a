//! The command line, for the program of this crate and for others that embed it.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use zillions_console::Patient;

use crate::calibration::Calibration;
use crate::fault::Fault;
use crate::knobs::Knobs;
use crate::{deviation, run_argument};

/// Exit code of a server that could not start or go on.
const EXIT_FAILED: u8 = 1;

/// How the faults are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum ListFormat {
    /// A table for people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// The arguments of a server with or without a fault.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The address to listen on.
    #[arg(
        value_name = "HOST:PORT",
        help = "The address to listen on, such as 127.0.0.1:8080 or [::1]:8080"
    )]
    pub address: Option<String>,

    /// The fault of the server; without one it is correct
    #[arg(long, value_name = "NAME")]
    pub fault: Option<Fault>,

    /// A deviation of known size, to calibrate measurements with
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "fault")]
    pub calibration: Option<Calibration>,

    /// Unusual settings of a correct server.
    #[command(flatten)]
    pub knobs: Knobs,

    /// List all faults and exit
    #[arg(long)]
    pub list_faults: bool,

    /// Format of the list
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, requires = "list_faults")]
    pub format: ListFormat,
}

impl Arguments {
    /// Does what the arguments ask for, until it is done or a signal stops the server.
    /// Errors are one line on standard error, after `program`.
    #[must_use]
    pub fn execute(&self, program: &str) -> ExitCode {
        let done = if self.list_faults {
            let mut out = BufWriter::new(Patient(io::stdout()));
            match write_list(self.format, &mut out) {
                // Its reader has gone: nobody wants the rest.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written.map_err(|error| error.to_string()),
            }
        } else {
            let address = self.address.as_deref();
            let deviation = deviation(self.fault, self.calibration);
            run_argument(deviation, &self.knobs, address).map_err(|error| error.to_string())
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                // With standard error closed the exit code must do.
                let _ = writeln!(io::stderr(), "{program}: error: {message}");
                ExitCode::from(EXIT_FAILED)
            }
        }
    }
}

#[derive(Serialize)]
struct List {
    schema: &'static str,
    version: u32,
    faults: Vec<Fault>,
}

fn write_list(format: ListFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        ListFormat::Json => {
            let faults = Fault::all().collect();
            let list = List { schema: "zillions-faults", version: 2, faults };
            serde_json::to_writer_pretty(&mut *out, &list)?;
            writeln!(out)?;
        }
        ListFormat::Human => {
            let width = Fault::all().map(|fault| fault.name.len()).max().unwrap_or(0);
            for fault in Fault::all() {
                let rare = if fault.rare { " (rare)" } else { "" };
                writeln!(out, "{:width$}  {:9}  {}{rare}", fault.name, fault.breaks, fault.what)?;
            }
        }
    }
    out.flush()
}
