//! The tables of the design note are what the simulation says.

use std::path::Path;
use std::{env, fs};

use zillions_scale::calibration::{MEASURED, cpu_ns, latency_ns};
use zillions_scale::{Costs, tables};

const BEGIN: &str = "<!-- scale:begin -->\n";
const END: &str = "\n<!-- scale:end -->";

#[test]
fn the_tables_of_the_note_are_those_of_the_simulation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/design/0025-scale.md");
    let note = fs::read_to_string(&path).expect("the note");
    let (before, rest) = note.split_once(BEGIN).expect("the beginning of the tables");
    let (written, after) = rest.split_once(END).expect("their end");
    let tables = tables::all();
    if env::var_os("ZILLIONS_UPDATE").is_some() {
        fs::write(path, format!("{before}{BEGIN}{tables}{END}{after}")).expect("written");
        return;
    }
    assert_eq!(
        written, tables,
        "docs/design/0025-scale.md is out of date: run ZILLIONS_UPDATE=1 cargo test -p zillions-scale"
    );
}

/// The costs were fitted to the rows above; the last one says how good the model is.
#[test]
fn the_model_is_near_the_measured_tree_where_it_was_not_fitted() {
    let deepest = MEASURED.last().expect("rows");
    assert_eq!(deepest.fitted, [false, false]);
    let costs = Costs::measured();
    let latency = latency_ns(&costs, deepest) / deepest.latency_ns - 1.0;
    assert!(latency.abs() < 0.5, "the latency is wrong by {:.0} %", latency * 100.0);
    let cpu = cpu_ns(&costs, deepest) / deepest.cpu_ns - 1.0;
    assert!(cpu.abs() < 0.25, "the CPU time is wrong by {:.0} %", cpu * 100.0);
}
